"""An SQLite store against plain lists, through any order of writes, errors, reopenings and sortings of its places."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.contract.stores import digest, entry, reading, record
from wattseal.log import sqlite_places, sqlite_records
from wattseal.log.port import BOUNDARY, DETAIL, HELD, SET_ASIDE, EntryRow, ReadingRow, RecordFilter, Write
from wattseal.log.sqlite import SqliteStore

METERS = st.integers(1, 4)
STARTS = st.integers(0, 5_000)
LENGTHS = st.one_of(st.integers(1, 300), st.integers(1, 5_000))
STATUSES = st.sampled_from(["ok", "gap"])
STATES = st.sampled_from([BOUNDARY, DETAIL, HELD, SET_ASIDE])
ENTRIES = st.lists(st.none() | st.tuples(METERS, STARTS, LENGTHS, STATUSES), max_size=12)
READINGS = st.lists(st.tuples(st.none() | METERS, st.integers(0, 2), st.integers(0, 9), STATES), max_size=12)


class SqliteAgainstLists(RuleBasedStateMachine):
    """Four runs of two rows: each eighth row or so sorts all places."""

    def __init__(self) -> None:
        super().__init__()
        self.monkeypatch = pytest.MonkeyPatch()
        self.monkeypatch.setattr(sqlite_places, "RUN_ROWS", 2)
        self.monkeypatch.setattr(sqlite_places, "RUNS", 4)
        for module in (sqlite_places, sqlite_records):
            self.monkeypatch.setattr(module, "BLOCK_ROWS", 8)
        self.folder = Path(mkdtemp(prefix="wattseal-"))
        self.entries: list[EntryRow] = []
        self.readings: list[ReadingRow] = []

    @initialize()
    def make(self) -> None:
        self.store = SqliteStore.open(self.folder / "wattseal.db", create=True)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)
        self.monkeypatch.undo()

    def _entries(self, drawn: list[tuple[int, int, int, str] | None]) -> list[EntryRow]:
        rows = []
        for idx, row in enumerate(drawn, len(self.entries)):
            if row is None:
                rows.append(entry(idx))
            else:
                meter_no, start, length, status = row
                rows.append(record(idx, meter_no, start, length, status=status))
        return rows

    def _readings(self, drawn: list[tuple[int | None, int, int, str]]) -> list[ReadingRow]:
        first = len(self.readings)
        return [
            reading(seq, chain_no, epoch, state, digest=digest(number))
            for number, (chain_no, epoch, seq, state) in enumerate(drawn, first)
        ]

    @rule(entries=ENTRIES, readings=READINGS)
    def write(
        self, entries: list[tuple[int, int, int, str] | None], readings: list[tuple[int | None, int, int, str]]
    ) -> None:
        new_entries, new_readings = self._entries(entries), self._readings(readings)
        with self.store.write() as tx:
            tx.add_entries(new_entries)
            tx.add_readings(new_readings)
        self.entries += new_entries
        self.readings += new_readings

    @rule(entries=ENTRIES, readings=READINGS)
    def undo(
        self, entries: list[tuple[int, int, int, str] | None], readings: list[tuple[int | None, int, int, str]]
    ) -> None:
        def write_and_fail(tx: Write) -> None:
            tx.add_entries(self._entries(entries))
            tx.add_readings(self._readings(readings))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError), self.store.write() as tx:
            write_and_fail(tx)

    @rule(data=st.data(), state=STATES)
    def change(self, data: st.DataObject, state: str) -> None:
        places = [place for place, row in enumerate(self.readings) if row.chain_no is not None]
        if not places:
            return
        place = data.draw(st.sampled_from(places))
        row = self.readings[place]
        with self.store.write() as tx:
            tx.set_reading_state(row.digest, row.chain_no or 0, row.epoch, row.seq, state, bridged=True)
        self.readings[place] = row._replace(state=state, bridged=True)

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = SqliteStore.open(self.folder / "wattseal.db")

    @rule(meter_no=METERS, from_s=STARTS, length=LENGTHS)
    def ask_for_a_meter(self, meter_no: int, from_s: int, length: int) -> None:
        to_s = from_s + length
        wanted = [
            row
            for row in self.entries
            if row.meter_no == meter_no and (row.start_s or 0) < to_s and (row.end_s or 0) > from_s
        ]
        with self.store.read() as read:
            found = read.records_of_meter(meter_no, from_s, to_s)
        assert found == sorted(wanted, key=lambda row: (row.start_s, row.idx))

    @rule(
        meter_nos=st.none() | st.frozensets(METERS),
        from_s=st.none() | STARTS,
        to_s=st.none() | STARTS,
        status=st.none() | STATUSES,
        after_idx=st.integers(-1, 60),
        newest_first=st.booleans(),
        limit=st.integers(1, 9),
    )
    def ask_for_records(self, **fields: object) -> None:
        wanted = RecordFilter()._replace(**fields)  # type: ignore[arg-type]
        rows = [
            row
            for row in self.entries
            if row.meter_no is not None
            and (wanted.meter_nos is None or row.meter_no in wanted.meter_nos)
            and (wanted.from_s is None or (row.start_s or 0) >= wanted.from_s)
            and (wanted.to_s is None or (row.start_s or 0) < wanted.to_s)
            and wanted.status in {None, row.status}
        ]
        if wanted.newest_first:
            rows = [row for row in rows[::-1] if wanted.after_idx < 0 or row.idx < wanted.after_idx]
        else:
            rows = [row for row in rows if row.idx > wanted.after_idx]
        with self.store.read() as read:
            assert read.records(wanted) == rows[: wanted.limit]

    @rule(meters=st.frozensets(METERS), first=st.integers(0, 60), length=st.integers(0, 60))
    def ask_for_totals(self, meters: frozenset[int], first: int, length: int) -> None:
        rows = [row for row in self.entries[first : first + length + 1] if row.meter_no in meters]
        sums = [
            (number, sum(row.energy_mwh or 0 for row in of), sum(row.export_mwh or 0 for row in of))
            for number in sorted(meters)
            if (of := [row for row in rows if row.meter_no == number])
        ]
        with self.store.read() as read:
            assert read.disclosed_totals(first, first + length, meters) == sums

    @rule(chain_no=METERS, epoch=st.integers(0, 2), seq=st.integers(0, 9), limit=st.integers(1, 20))
    def ask_for_readings(self, chain_no: int, epoch: int, seq: int, limit: int) -> None:
        chain = sorted((row for row in self.readings if row.chain_no == chain_no), key=lambda row: (row.epoch, row.seq))
        last = max((place for place, row in enumerate(chain) if row.state == BOUNDARY), default=0)
        with self.store.read() as read:
            assert read.reading(chain_no, epoch, seq) == [row for row in chain if (row.epoch, row.seq) == (epoch, seq)]
            after = [row for row in chain if (row.epoch, row.seq) > (epoch, seq)]
            assert read.readings_after(chain_no, epoch, seq, limit) == after[:limit]
            assert read.chain_tail(chain_no) == chain[last:]

    @invariant()
    def finds_each_meters_records_in_both_orders(self) -> None:
        with self.store.read() as read:
            for meter_nos in (frozenset({1}), frozenset({2, 3})):
                rows = [row for row in self.entries if row.meter_no in meter_nos]
                wanted = RecordFilter(meter_nos=meter_nos, limit=6)
                assert read.records(wanted) == rows[:6]
                assert read.records(wanted._replace(newest_first=True)) == rows[::-1][:6]

    @invariant()
    def holds_all(self) -> None:
        with self.store.read() as read:
            assert read.entries(0, 1_000) == self.entries
            assert (read.counts()["entry"], read.counts()["reading"]) == (len(self.entries), len(self.readings))
            for row in self.readings:
                assert read.set_aside_by_digest(row.digest) == (row if row.state == SET_ASIDE else None)


TestSqliteAgainstLists = SqliteAgainstLists.TestCase
