"""How many entries with their readings each store takes a second, durably: one group after another, meters in turn.

PostgreSQL is measured where WATTSEAL_BENCH_POSTGRES says an empty schema: postgresql://user@host/database?schema=bench
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.store import rows
from wattseal.log.port import Store
from wattseal.log.postgres import PostgresStore
from wattseal.log.sqlite import SqliteStore

GROUP: Final = int(os.environ.get("WATTSEAL_BENCH_GROUP", "1000"))
GROUPS: Final = int(os.environ.get("WATTSEAL_BENCH_GROUPS", "100"))


def _rate(store: Store) -> str:
    took = []
    for number in range(GROUPS):
        entries, readings = rows(number * GROUP, GROUP)
        begin = time.perf_counter()
        with store.write() as tx:
            tx.add_entries(entries)
            tx.add_readings(readings)
        took.append(time.perf_counter() - begin)
    took.sort()
    each = sum(took) / GROUPS / GROUP
    return f"{1 / each:9,.0f}/s | {each * 1e6:6.1f} µs | median group {took[GROUPS // 2] * 1e3:5.1f} ms"


def run() -> Iterator[str]:
    """Fill both; WATTSEAL_BENCH_GROUP and WATTSEAL_BENCH_GROUPS say how much."""
    yield f"{GROUPS} groups of {GROUP}: entries, each with its reading | each"
    with (
        TemporaryDirectory(prefix="wattseal-bench-") as folder,
        closing(SqliteStore.open(Path(folder, "store.db"), create=True)) as sqlite,
    ):
        yield f"SQLite     {_rate(sqlite)}"
    if url := os.environ.get("WATTSEAL_BENCH_POSTGRES"):
        with closing(PostgresStore.open(url, create=True)) as postgres:
            yield f"PostgreSQL {_rate(postgres)}"
