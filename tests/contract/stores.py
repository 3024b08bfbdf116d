"""The stores that the contract suite runs over, rows for them, and processes that use them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from wattseal.log.port import (
    BOUNDARY,
    AttestationRow,
    BatchRow,
    EntryRow,
    InboxRow,
    ReadingRow,
    Store,
    TokenRow,
    Write,
)
from wattseal.log.postgres import PostgresStore
from wattseal.log.sqlite import SqliteStore

ROOT: Final = Path(__file__).resolve().parents[2]
RECORD: Final = "emlog-1.1"
URL_FILE: Final = "url"
"""In a folder of a store on PostgreSQL: where it is."""
START: Final = 1_800_000_000


def _open_sqlite(folder: Path, *, create: bool, read_only: bool) -> Store:
    return SqliteStore.open(folder / "wattseal.db", create=create, read_only=read_only)


def _open_postgres(folder: Path, *, create: bool, read_only: bool) -> Store:
    return PostgresStore.open((folder / URL_FILE).read_text(), create=create, read_only=read_only)


KINDS: Final[dict[str, Callable[..., Store]]] = {"sqlite": _open_sqlite, "postgres": _open_postgres}
"""A new implementation is added here, and must pass all of this folder."""


def open_store(kind: str, folder: Path, *, create: bool = False, read_only: bool = False) -> Store:
    """The store that is kept in this folder, or that this folder says how to reach."""
    return KINDS[kind](folder, create=create, read_only=read_only)


def digest(*parts: object) -> bytes:
    """32 bytes that are always the same for the same parts."""
    return hashlib.sha256(repr(parts).encode()).digest()


def entry(idx: int, schema: str = "meter-1", **changes: Any) -> EntryRow:  # noqa: ANN401 - of any column
    """An entry that is no record."""
    slots = digest("start", idx), digest("end", idx)
    row = EntryRow(idx, digest("id", idx)[:16], schema, 1, *slots, b'{"n":%d}' % idx, START + idx)
    return row._replace(**changes)


def record(
    idx: int,
    meter_no: int = 1,
    start_s: int | None = None,
    interval_s: int = 300,
    **changes: Any,  # noqa: ANN401 - of any column
) -> EntryRow:
    """A record; without `start_s`, the one that follows in time on that with the index before."""
    start = START + 300 * idx if start_s is None else start_s
    row = entry(idx, RECORD)._replace(
        meter_no=meter_no,
        kind="device",
        start_s=start,
        end_s=start + interval_s,
        energy_mwh=1_000_000 + idx,
        export_mwh=idx,
        price_msat=300_000,
        amount_msat=300_000 + idx,
        status="ok",
    )
    return row._replace(**changes)


def reading(
    seq: int,
    chain_no: int | None = 1,
    epoch: int = 1,
    state: str = BOUNDARY,
    **changes: Any,  # noqa: ANN401 - of any column
) -> ReadingRow:
    """A reading."""
    place = (chain_no, epoch, seq)
    row = ReadingRow(
        *place,
        time_s=START + 60 * seq,
        import_mwh=10**9 + seq,
        export_mwh=seq,
        digest=digest("reading", place),
        cose=b"cose" + digest("cose", place),
        received_s=START + 60 * seq + 1,
        state=state,
        bridged=False,
    )
    return row._replace(**changes)


def batch(number: int, first_idx: int, last_idx: int) -> BatchRow:
    return BatchRow(number, first_idx, last_idx, START + number, digest("root", number), None)


def attestation(of_batch: int) -> AttestationRow:
    return AttestationRow(
        attestation_no=0,
        batch=of_batch,
        digest=digest("checkpoint", of_batch),
        kind="bitcoin",
        chain="simulated",
        state="planned",
        reference=None,
        height=None,
        block_hash=None,
        fee_sat=None,
        simulated=True,
        evidence=None,
        created_s=START,
        changed_s=START,
    )


def token(name: str) -> TokenRow:
    return TokenRow(digest("token", name), name, "operator", "", START, None, None)


def write_everywhere(tx: Write, number: int) -> None:
    """Add something to every table; `number` counts the calls from 0."""
    size = tx.size()
    tx.put_meta("number", b"%d" % number)
    meter_no = tx.add_meter("PLANT-01", "gw-01", f"MTR-{number}")
    chain_no = tx.add_chain(b"kid", meter_no)
    tx.add_secret(meter_no, START, None, digest("secret", number))
    rows = [entry(size), *(record(size + place, meter_no) for place in range(1, 10)), entry(size + 10, "batch-1")]
    tx.add_entries(rows)
    tx.add_readings([reading(seq, chain_no) for seq in range(10)])
    tx.mark_superseded([(size, size + 10)])
    tx.add_raw([(size + 1, b"raw", "note")])
    tx.put_tiles([(-1, 0, b"entries" * (number + 1)), (0, 0, b"leaves" * (number + 1)), (0, number + 1, b"more")])
    tx.add_batch(batch(number, size, size + 10))
    tx.set_checkpoint(number, f"checkpoint {number}")
    tx.add_attestation(attestation(number))
    tx.put_blocks(number, [b"block %d" % number])
    tx.add_token(token(f"token {number}"))
    tx.add_inbox(InboxRow(START, "malformed", "192.0.2.1", b"bytes"), keep=10_000)


def counts_after(calls: int) -> dict[str, int]:
    """What counts() says after so many calls of write_everywhere."""
    single = ("meter", "chain", "secret", "superseded", "raw", "batch", "attestation", "block", "token", "inbox")
    counts = {"entry": 11 * calls, "reading": 10 * calls, "meta": min(calls, 1), **dict.fromkeys(single, calls)}
    return counts | {"tile": 2 + calls if calls else 0}


def calls_stored(kind: str, folder: Path) -> int:
    """How many calls of write_everywhere the store holds, all of each."""
    store = open_store(kind, folder, read_only=True)
    try:
        with store.read() as read:
            calls = len(read.batches(limit=10**9))
            assert read.counts() == counts_after(calls)
            assert read.meta("number") == (b"%d" % (calls - 1) if calls else None)
            checkpoints = [row.checkpoint for row in read.batches(limit=10**9)]
            assert checkpoints == [f"checkpoint {number}" for number in range(calls)]
            assert [row.idx for row in read.entries(0, 11 * calls + 1)] == list(range(11 * calls))
            assert read.tile(0, 0) == (b"leaves" * calls or None)
            for meter in read.meters():
                rows = read.records_of_meter(meter.meter_no, 0, 2**40)
                assert [row.idx for row in rows] == list(range(11 * meter.meter_no - 10, 11 * meter.meter_no - 1))
                assert len(read.readings_after(meter.meter_no, 0, 0)) == 10
            return calls
    finally:
        store.close()


class Child:
    """A process that has the store open. It tells lines and is told to go on; it is killed at the end at the latest."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        if pipe is None:
            raise RuntimeError("the process has no such pipe")
        return pipe

    def hears(self) -> str:
        """The next line that it says."""
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"the process ended with {self._process.wait()} and said nothing")
        return line.rstrip("\n")

    def go_on(self) -> None:
        """Let it leave wait()."""
        pipe = self._pipe(self._process.stdin)
        pipe.write("\n")
        pipe.flush()

    def kill(self) -> list[str]:
        """SIGKILL; what it had said and nobody had heard."""
        self._process.kill()
        rest = self._pipe(self._process.stdout).read().splitlines()
        self._process.wait()
        return rest


_PROLOGUE: Final = """
import sys
from pathlib import Path
from tests.contract.stores import *
kind, folder = sys.argv[1], Path(sys.argv[2])
def say(text): print(text, flush=True)
def wait(): sys.stdin.readline()
"""


@contextmanager
def child(kind: str, folder: Path, program: str) -> Iterator[Child]:
    """A process that runs `program` with `kind`, `folder`, `say`, `wait` and everything of this module."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROLOGUE + program, kind, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])},
    )
    with process:
        try:
            yield Child(process)
        finally:
            process.kill()
