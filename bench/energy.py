"""How fast energy is summed: a year by day of one meter, and a month by device of a site with 200 meters.

BENCH_RECORDS records (10 million by default) of 250 meters, a quarter hour each, over as many days as they fill; the
entries' rows are written in bulk with small bodies and without a tree, and the rollups are made from them by the
writer's own code. Asked through the function behind GET /api/v1/energy, and once more with its JSON.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from statistics import median

from bench._postgres import postgres
from wattseal.api.energy import energy_answer, energy_groups
from wattseal.core.registry import Meter
from wattseal.log.port import EntryRow, Store
from wattseal.log.postgres import PostgresStore
from wattseal.log.rollup import Advance
from wattseal.log.sqlite import SqliteStore
from wattseal.log.zones import Zones

RECORDS = int(os.environ.get("BENCH_RECORDS", "10000000"))
METERS = 250
ASKED_METERS = 200
INTERVAL_S = 900
BEGIN_S = 1_735_686_000  # 2025-01-01 in Zurich
DAY_S = 86_400
ROWS = 16_384
TARGETS_MS = {"a year by day of one meter": 50, "a month by device of 200 meters": 200}


def names(meter: int) -> tuple[str, str, str]:
    """Site, device and meter: the first 200 stand at one site."""
    return ("plant" if meter <= ASKED_METERS else "park", f"gw-{meter:03}", "main")


def entry(idx: int, schema: str, body: bytes) -> EntryRow:
    """A row of the store that is no part of a tree."""
    digest = sha256(b"%d" % idx).digest()
    return EntryRow(idx, digest[:16], schema, 1, digest, digest, body, BEGIN_S)


def record(idx: int, place: int) -> EntryRow:
    """The record number `place`: of each meter in turn."""
    start = BEGIN_S + place // METERS * INTERVAL_S
    kind = "device" if place % METERS % 10 else "reported"
    digest = sha256(b"%d" % idx).digest()
    body = b"x" * 400
    head = (idx, digest[:16], "emlog-1.1", 1, digest, digest, body, start)
    energy = 1_000_000 + place
    return EntryRow._make((*head, 1 + place % METERS, kind, start, start + INTERVAL_S, energy, 0, 300_000, 300, "ok"))


def fill(store: Store) -> str:
    """Register the meters and write all records; what that took."""
    with store.write() as tx:
        for meter in range(1, METERS + 1):
            tx.add_meter(*names(meter))
            document = Meter(*names(meter), "consumption", (), INTERVAL_S, "Europe/Zurich", BEGIN_S)
            tx.add_entries([entry(meter - 1, "meter-1", document.body())])
        advance = Advance(tx)
    written = rolled = 0.0
    for first in range(0, RECORDS, ROWS):
        begun = time.perf_counter()
        with store.write() as tx:
            tx.add_entries([record(METERS + place, place) for place in range(first, min(first + ROWS, RECORDS))])
        middle = time.perf_counter()
        for _ in range(2):
            with store.write() as tx:
                done = advance.step(tx, ROWS // 2)
            advance.done = done
        written, rolled = written + middle - begun, rolled + time.perf_counter() - middle
    with store.write() as tx:
        advance.step(tx)
    return f"{RECORDS:,} records written in {written:.0f} s; rollups: {rolled * 1e6 / RECORDS:.2f} µs a record"


def measured(name: str, ask: Callable[[], object]) -> str:
    """The median of five."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        ask()
        times.append((time.perf_counter() - begun) * 1_000)
    target = TARGETS_MS.get(name)
    aim = "" if target is None else f" (target {target} ms)"
    return f"{name}: {median(times):.1f} ms{aim}; slowest {max(times):.1f} ms"


def run() -> Iterator[str]:
    """Build, ask, and remove, with each store."""
    folder = Path(tempfile.mkdtemp(prefix="wattseal-bench-"))
    try:
        yield "SQLite:"
        with closing(SqliteStore.open(folder / "log.db", create=True)) as sqlite:
            yield from _measured(sqlite)
    finally:
        shutil.rmtree(folder)
    with postgres() as url:
        if url is None:
            yield "PostgreSQL is not installed here"
        else:
            yield "PostgreSQL:"
            with closing(PostgresStore.open(url, create=True)) as store:
                yield from _measured(store)


def _measured(store: Store) -> Iterator[str]:
    yield f"  {fill(store)}"
    zones = Zones()
    one = {1: "/".join(names(1))}
    site = {meter: "/".join(names(meter)) for meter in range(1, ASKED_METERS + 1)}
    questions: Sequence[tuple[str, dict[int, str], int, list[str]]] = (
        ("a year by day of one meter", one, 365, ["day"]),
        ("a month by device of 200 meters", site, 31, ["device"]),
        ("a month by day and device of 200 meters", site, 31, ["day", "device"]),
        ("a year by month of 200 meters", site, 365, ["month"]),
        ("a week by hour of one meter", one, 7, ["hour"]),
    )
    for name, meters, days, keys in questions:

        def ask(meters: dict[int, str] = meters, days: int = days, keys: list[str] = keys) -> object:
            with store.read() as read:
                groups = energy_groups(read, zones, meters, BEGIN_S, BEGIN_S + days * DAY_S, keys)
            return energy_answer(groups, BEGIN_S, BEGIN_S + days * DAY_S, keys)

        yield f"  {measured(name, ask)}"
