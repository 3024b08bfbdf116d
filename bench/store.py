"""What the SQLite store takes for one entry and one reading, durably: groups of 5,000, meters in turn.

The cost must not grow with the store: the last line is measured over the fullest store. Bytes are all that the process
hands to the system, for the WAL and the file together, and for the page that each index changes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from wattseal.log.port import BOUNDARY, EntryRow, ReadingRow
from wattseal.log.sqlite import SqliteStore

GROUP = 5_000
ROWS = int(os.environ.get("WATTSEAL_BENCH_ROWS", "300000"))
METERS = int(os.environ.get("WATTSEAL_BENCH_METERS", "1000"))
LINES = 5
BODY = bytes(760)  # about a record
COSE = bytes(250)  # about a reading
START_S = 1_800_000_000


class Cost(NamedTuple):
    """Seconds of wall time, and bytes written, for one group."""

    entries: float
    readings: float
    rest: float
    written: int


def _written_bytes() -> int:
    counts = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in counts if line.startswith("wchar:"))


def rows(first: int, count: int) -> tuple[list[EntryRow], list[ReadingRow]]:
    """Entries from index `first` on, as records are, and a reading for each."""
    entries, readings = [], []
    now_ms = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    for idx in range(first, first + count):
        meter, round_no = idx % METERS, idx // METERS
        start, digest = START_S + 300 * round_no, os.urandom(32)
        entry_id, end_slot, record = now_ms + os.urandom(10), os.urandom(32), (12_340_000, 0, 300_000, 3_702_000, "ok")
        plain = (idx, entry_id, "emlog-1.1", meter + 1, digest, end_slot, BODY, start)
        entries.append(EntryRow._make((*plain, meter + 1, "device", start, start + 300, *record)))
        register = 10**9 * meter + 12_340_000 * round_no
        readings.append(
            ReadingRow(meter + 1, 1, round_no, start, register, 0, digest, COSE, start, BOUNDARY, bridged=False)
        )
    return entries, readings


def _measure(store: SqliteStore, first: int) -> Cost:
    entries, readings = rows(first, GROUP)
    written = _written_bytes()
    begin = time.perf_counter()
    with store.write() as tx:
        at_entries = time.perf_counter()
        tx.add_entries(entries)
        at_readings = time.perf_counter()
        tx.add_readings(readings)
        done = time.perf_counter()
    end = time.perf_counter()
    rest = at_entries - begin + end - done
    return Cost(at_readings - at_entries, done - at_readings, rest, _written_bytes() - written)


def run() -> Iterator[str]:
    """Fill a store; WATTSEAL_BENCH_ROWS and WATTSEAL_BENCH_METERS say how much."""
    with TemporaryDirectory(prefix="wattseal-bench-") as folder:
        store = SqliteStore.open(Path(folder, "store.db"), create=True)
        yield f"{METERS} meters, µs each: up to row | entry | reading | commit, checkpoint | both, all | bytes written"
        step = max(ROWS // LINES // GROUP, 1)
        for line in range(LINES):
            costs = [_measure(store, (line * step + group) * GROUP) for group in range(step)]
            entries, readings, rest, written = (sum(column) / step / GROUP for column in zip(*costs, strict=True))
            micros = [seconds * 1e6 for seconds in (entries, readings, rest, entries + readings + rest)]
            yield (
                f"{(line + 1) * step * GROUP:>9,} | {micros[0]:5.1f} | {micros[1]:5.1f} | {micros[2]:5.1f} | "
                f"{micros[3]:5.1f} | {written:,.0f}"
            )
        size = Path(folder, "store.db").stat().st_size
        yield f"the file has {size / (LINES * step * GROUP):,.0f} bytes for each entry with its reading"
        store.close()
