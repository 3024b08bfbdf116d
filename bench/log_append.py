"""What the log takes for one entry: the bare tree with its tiles, with rows, and until it is signed; proofs; fsck.

Everything is durable (SQLite, synchronous=FULL) and in groups, as the writer makes them. Each figure is the median of
five; the best and the worst show how noisy the machine is.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import cast

from wattseal.core.emlog import Record, body
from wattseal.core.entry import Slots, derive_salts
from wattseal.core.evidence import Evidence
from wattseal.core.merkle import inclusion_path, leaf_hash, verify_inclusion
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.sorted_map import map_root
from wattseal.core.tiles import NodeReader
from wattseal.log.fsck import check_store
from wattseal.log.guard import Guard, read_guard
from wattseal.log.ids import new_ids
from wattseal.log.port import EntryRow, Write
from wattseal.log.sequencer import Draft, RegistryCommitment, Sequencer
from wattseal.log.sqlite import SqliteStore
from wattseal.log.static import export_log
from wattseal.log.tail import edge_at, tile_reader

RUNS = 5
ENTRIES = int(os.environ.get("WATTSEAL_BENCH_ENTRIES", "200000"))
"""Entries of one run of the bare tree; five of them make the log that proofs are made from."""
RECORDS = int(os.environ.get("WATTSEAL_BENCH_RECORDS", "20000"))
GROUPS = (5_000, 10_000)
PROOFS = 200
METERS = 100
ORIGIN = "bench.example/log"
SIGNER = Ed25519Signer(ORIGIN, bytes(32))
SECRET = bytes(range(32))
START_S = 1_764_547_200


class NullWrite:
    """A transaction that keeps nothing: what is left is our own work."""

    def size(self) -> int:
        """Never anything."""
        return 0

    def add_entries(self, rows: Sequence[EntryRow]) -> None:
        """Forget them."""

    def put_tiles(self, tiles: Sequence[tuple[int, int, bytes]]) -> None:
        """Forget them."""


@contextmanager
def _log(folder: Path) -> Iterator[tuple[SqliteStore, Sequencer]]:
    store = SqliteStore.open(folder / "log.db", create=True)
    try:
        with Guard(folder / "guard") as guard:
            yield store, Sequencer.open(store, origin=ORIGIN, signer=SIGNER, guard=guard, now=START_S)
    finally:
        store.close()


def _seconds(job: Callable[[], object]) -> float:
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin


def _line(what: str, seconds: Sequence[float], count: int) -> str:
    each = sorted(one / count * 1e6 for one in seconds)
    middle = statistics.median(each)
    return f"{what:46} {middle:8.2f} µs  {1e6 / middle:10,.0f}/s   ({each[0]:.2f} to {each[-1]:.2f})"


def _drafts(first: int, count: int) -> list[Draft]:
    drafts = []
    for number, entry_id in enumerate(new_ids(START_S * 1000, count), first):
        meter, slot = number % METERS, number // METERS
        begin = START_S + 300 * slot
        evidence = Evidence("device", "ab" * 16, (1, 1), (slot, slot + 1))
        record = Record("S", "D", f"M{meter}", begin, begin + 300, 123_456, 0, "ok", evidence, 100_000, "t/1")
        slots = Slots(*(hashlib.sha256(b"%d %d" % (meter, time_s)).digest() for time_s in (begin, begin + 300)))
        plain = Draft(entry_id, "emlog-1.1", 1, derive_salts(SECRET, entry_id), slots, body(record), begin)
        columns = (meter + 1, "device", begin, begin + 300, 123_456, 0, 100_000, record.amount_msat, "ok")
        drafts.append(Draft._make((*plain[:7], *columns)))
    return drafts


def _ids() -> Iterator[str]:
    for count in (1, 64, 5_000):
        rounds = max(20_000 // count, 1)
        seconds = [_seconds(lambda: [new_ids(START_S, count) for _ in range(rounds)]) for _ in range(RUNS)]  # noqa: B023
        yield _line(f"new_ids, {count} at a time", seconds, rounds * count)


def _overhead() -> Iterator[str]:
    drafts, null = _drafts(0, 5_000), cast("Write", NullWrite())
    rows, tiles = [], []
    for _ in range(RUNS):
        with TemporaryDirectory(prefix="wattseal-bench-") as folder, _log(Path(folder)) as (_, sequencer):
            sequencer._tx = null  # noqa: SLF001 - to time the two parts of a transaction apart
            rows.append(_seconds(lambda: sequencer.append(null, drafts)))
            tiles.append(_seconds(lambda: sequencer._grow(null)))  # noqa: SLF001
    yield _line("append: entry hash, row (no store)", rows, 5_000)
    yield _line("       leaf, tree, tiles (no store)", tiles, 5_000)


def _bare() -> Iterator[str]:
    entries = [number.to_bytes(32) for number in range(ENTRIES)]
    for group in GROUPS:
        with TemporaryDirectory(prefix="wattseal-bench-") as folder, _log(Path(folder)) as (store, sequencer):

            def append_all(sequencer: Sequencer = sequencer, group: int = group) -> None:
                for first in range(0, ENTRIES, group):
                    with sequencer.write() as tx:
                        sequencer.append_hashes(tx, entries[first : first + group])

            seconds = [_seconds(append_all) for _ in range(RUNS)]
            yield _line(f"append_hashes, durable, groups of {group:,}", seconds, ENTRIES)
            if group == GROUPS[-1]:
                yield from _proofs(store, entries, sequencer.next_idx)


def _proofs(store: SqliteStore, entries: list[bytes], size: int) -> Iterator[str]:
    random, cold = Random(1), []
    for _ in range(PROOFS):
        index = random.randrange(size)
        begin = time.perf_counter()
        with store.read() as read:
            path = inclusion_path(NodeReader(tile_reader(read), size), index, size)
        cold.append(time.perf_counter() - begin)
        with store.read() as read:
            verify_inclusion(leaf_hash(entries[index % ENTRIES]), index, size, path, edge_at(read, size).root())
    worst = sorted(cold)[-PROOFS // 100]
    yield _line(f"inclusion proof from {size:,} entries, cold", cold, 1) + f"  99 % below {worst * 1e3:.2f} ms"
    with store.read() as read:
        nodes = NodeReader(tile_reader(read), size)
        seconds = [
            _seconds(lambda: [inclusion_path(nodes, size - 1 - index, size) for index in range(1_000)])
            for _ in range(RUNS)
        ]
    yield _line("the same, of 1,000 neighbours by one reader", seconds, 1_000)


def _records() -> Iterator[str]:
    empty = map_root([])
    commitment = RegistryCommitment(empty.size, empty.root, frozenset(), frozenset())
    with TemporaryDirectory(prefix="wattseal-bench-") as name, _log(Path(name)) as (store, sequencer):
        with sequencer.write() as tx:
            tx.add_secret(None, 0, None, SECRET)
            for meter in range(METERS):
                tx.add_meter("S", "D", f"M{meter}")
        appended, closed = [], []
        for run in range(RUNS):
            drafts = _drafts(run * RECORDS // METERS * METERS, RECORDS // METERS * METERS)

            def append_all(drafts: list[Draft] = drafts) -> None:
                for first in range(0, len(drafts), GROUPS[0]):
                    with sequencer.write() as tx:
                        sequencer.append(tx, drafts[first : first + GROUPS[0]])

            appended.append(_seconds(append_all))
            closed.append(_seconds(lambda: sequencer.close_batch(START_S, commitment)))
        yield _line(f"append of records, durable, groups of {GROUPS[0]:,}", appended, RECORDS // METERS * METERS)
        yield _line("close_batch: entry, proof, signature, guard", closed, 1)
        held = read_guard(Path(name, "guard"))
        seconds = _seconds(lambda: check_store(store, held, SIGNER.verifier))
        yield _line(f"fsck of {sequencer.next_idx:,} entries", [seconds], sequencer.next_idx)
        with store.read() as read:
            seconds = _seconds(lambda: export_log(read, Path(name, "out")))
        yield _line("export of them as static files", [seconds], sequencer.next_idx)


def run() -> Iterator[str]:
    """Measure it all in about a minute; WATTSEAL_BENCH_ENTRIES and WATTSEAL_BENCH_RECORDS say how much."""
    yield from _ids()
    yield from _overhead()
    yield from _bare()
    yield from _records()
