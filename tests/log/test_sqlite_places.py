"""What a question costs does not grow with the store (docs/adr/0010)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.contract.stores import batch, entry, reading, record
from wattseal.log import sqlite_places
from wattseal.log.port import EntryRow, Read, RecordFilter
from wattseal.log.sqlite import SqliteStore
from wattseal.log.sqlite_records import runs_of_records


def late(read: Read, ago: int) -> tuple[int, int]:
    """A time in which one of the last records begins."""
    begin = 300 * (read.size() - ago)
    return begin, begin + 300


QUESTIONS: dict[str, Callable[[Read], object]] = {
    "records of a meter": lambda read: read.records_of_meter(3, 0, 2**40),
    "records of a meter and a time": lambda read: read.records_of_meter(1, 600, 1_000),
    "records of a meter and a late time": lambda read: read.records_of_meter(1, *late(read, 698)),
    "records of a meter and a recent time": lambda read: read.records_of_meter(1, *late(read, 100)),
    "a page": lambda read: read.records(RecordFilter(limit=10)),
    "a page of a meter": lambda read: read.records(RecordFilter(meter_nos=frozenset({1}), limit=10)),
    "the newest of a meter": lambda read: read.records(
        RecordFilter(meter_nos=frozenset({2}), limit=10, newest_first=True)
    ),
    "a page of gaps": lambda read: read.records(RecordFilter(status="gap")),
    "a page of a time": lambda read: read.records(RecordFilter(from_s=600, to_s=9_000, limit=10)),
    "a page of a late time": lambda read: read.records(RecordFilter(from_s=late(read, 650)[0], limit=10)),
    "totals of a range": lambda read: read.disclosed_totals(40, 90, frozenset({1})),
    "a reading": lambda read: read.reading(1, 1, 40),
    "readings after": lambda read: read.readings_after(1, 1, 40, 10),
    "the tail of a chain": lambda read: read.chain_tail(1),
    "a batch": lambda read: read.batch_of_index(50),
    "an entry": lambda read: read.entry_by_id(entry(17).entry_id),
    "entries of a schema": lambda read: read.entries_of_schema("meter-1"),
    "counts": lambda read: read.counts(),
}


@pytest.fixture(scope="module")
def of_two_sizes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqliteStore, SqliteStore]]:
    """Two stores, one with twenty times the rows; in both, the places of the last 500 are not sorted yet."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sqlite_places, "RUN_ROWS", 50)
        stores = []
        for size in (1_300, 29 * 800 + 500):
            store = SqliteStore.open(tmp_path_factory.mktemp("store") / "wattseal.db", create=True)
            for first in range(0, size, 50):
                with store.write() as tx:
                    tx.add_entries([_entry(idx) for idx in range(first, first + 50)])
                    tx.add_readings([reading(idx, idx % 2 + 1) for idx in range(first, first + 50)])
                    tx.add_batch(batch(first // 50, first, first + 49))
            stores.append(store)
        yield stores[0], stores[1]
        for store in stores:
            store.close()


def _entry(idx: int) -> EntryRow:
    if idx == 20:
        return entry(idx)
    meter_no = 3 if idx in {30, 600} else idx % 2 + 1
    return record(idx, meter_no, 300 * idx, status="gap" if idx in {40, 500} else "ok")


def steps(store: SqliteStore, ask: Callable[[Read], object]) -> int:
    """How many tens of steps SQLite's machine takes for an answer."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    with store.read() as read:
        read._connection.set_progress_handler(step, 10)  # type: ignore[attr-defined]
        ask(read)
        read._connection.set_progress_handler(None, 10)  # type: ignore[attr-defined]
    return count


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_the_cost_does_not_grow_with_the_store(
    of_two_sizes: tuple[SqliteStore, SqliteStore], question: Callable[[Read], object]
) -> None:
    small, large = (steps(store, question) for store in of_two_sizes)
    with of_two_sizes[0].read() as read:
        assert question(read) not in ([], None)
    assert large <= small * 3 // 2 + 60


def test_totals_of_each_single_record(of_two_sizes: tuple[SqliteStore, SqliteStore]) -> None:
    """Also where a run begins or ends."""
    with of_two_sizes[0].read() as read:
        size = read.size()
        for row in read.entries(size - 600, 600):
            totals = read.disclosed_totals(row.idx, row.idx, frozenset({1, 2, 3}))
            assert totals == [(row.meter_no, row.energy_mwh, row.export_mwh)]


@pytest.mark.parametrize(
    ("low", "high", "runs"),
    [
        (0, 5, []),
        (0, 10, []),
        (0, 11, [0]),
        (12, 13, [0]),
        (19, 20, [0]),
        (19, 21, [0, 1]),
        (20, 30, [1]),
        (20, 31, [1, 2]),
        (30, 10**9, [2]),
        (10**6, 10**9, [2]),
    ],
)
def test_only_the_runs_that_may_hold_an_index_are_looked_into(low: int, high: int, runs: list[int]) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE record_run (run, first_idx)")
        assert runs_of_records(connection.execute, low, high) == []
        connection.executemany("INSERT INTO record_run VALUES (?, ?)", [(2, 30), (0, 10), (1, 20)])
        assert runs_of_records(connection.execute, low, high) == runs
