"""What a store answers about records that are superseded, and about rollups."""

from __future__ import annotations

import pytest

from tests.contract.stores import START, entry, record
from wattseal.log.port import RecordFilter, Store, StoreConflict
from wattseal.log.rollup_port import RecordValues, RollupRow

FOREVER = 2**40
HOUR, DAY = "hour", "day"


def test_records_that_are_superseded(store: Store) -> None:
    rows = [record(0), record(1, status="gap"), record(2), entry(3, "supersession-1")]
    with store.write() as tx:
        tx.add_meter("PLANT-01", "gw-01", "MTR-0")
        tx.add_entries(rows)
        tx.mark_superseded([(1, 3)])
        assert tx.superseded([0, 1, 2]) == {1: 3}
    with store.read() as read:
        assert read.superseded([0, 1, 2, 99]) == {1: 3}
        assert read.superseded([]) == read.superseded([0, 2]) == {}
        assert [row.idx for row in read.records_of_meter(1, 0, FOREVER)] == [0, 2]
        assert [row.idx for row in read.records(RecordFilter())] == [0, 1, 2]
        assert list(read.superseded_by(0, 3)) == []
        assert list(read.superseded_by(3, 4)) == [(1, 3)]
    with pytest.raises(StoreConflict), store.write() as tx:
        tx.mark_superseded([(1, 3)])


def test_values_of_records(store: Store) -> None:
    rows = [entry(0), record(1), entry(2, "quarantine-1", meter_no=1, kind="device"), record(3, amount_msat=None)]
    values = [RecordValues._make(getattr(row, name) for name in RecordValues._fields) for row in (rows[1], rows[3])]
    with store.write() as tx:
        tx.add_meter("PLANT-01", "gw-01", "MTR-0")
        tx.add_entries(rows)
    with store.read() as read:
        assert list(read.record_values(0, 99, crossing=False)) == list(read.record_values_at([3, 2, 1, 0])) == values
        assert list(read.record_values(2, 4, crossing=False)) == list(read.record_values_at([3, 77])) == values[1:]
        assert list(read.record_values(0, 1, crossing=False)) == list(read.record_values_at([])) == []


def test_sums_of_records_by_hour(store: Store) -> None:
    hour = START // 3_600 * 3_600
    rows = [
        record(0, 1, hour, 3_600),
        record(1, 1, hour + 3_000, 600, status="gap", amount_msat=None),
        record(2, 1, hour + 3_599, 1, amount_msat=11),
        record(3, 1, hour + 3_500, 101),
        record(4, 2, hour + 3_600, 60, kind="import"),
        entry(5, "quarantine-1", meter_no=1, kind="device", start_s=hour),
    ]
    with store.write() as tx:
        tx.add_meter("PLANT-01", "gw-01", "MTR-0")
        tx.add_meter("PLANT-01", "gw-01", "MTR-1")
        tx.add_entries(rows)
    with store.read() as read:
        assert [values.idx for values in read.record_values(0, 99, crossing=True)] == [3]
        assert sorted(read.hour_sums(0, 99, 10)) == [
            RollupRow(HOUR, hour, 1, "device", 3, 4_201, 600, 3_000_003, 3, 0, 0),
            RollupRow(HOUR, hour + 3_600, 2, "import", 1, 60, 0, 1_000_004, 4, 0, 0),
        ]
        (first,) = read.hour_sums(0, 1, 10**6)
        assert first == RollupRow(HOUR, hour, 1, "device", 1, 3_600, 0, 1_000_000, 0, 1_000_000, 300_000)
        assert next(iter(read.hour_sums(2, 3, 11)))[-2:] == (1_000_002, 11)


def rollup(start_s: int, meter_no: int, *sums: int, level: str = HOUR, kind: str = "device") -> RollupRow:
    return RollupRow(level, start_s, meter_no, kind, *(sums or (1, 60, 0, 7, 5, 3, 2)))


def test_rollups_add_up(store: Store) -> None:
    many = [rollup(3_600 * hour, meter) for hour in range(30) for meter in range(1, 31)]
    with store.write() as tx:
        tx.add_rollups([])
        tx.add_rollups(many)
        tx.add_rollups([rollup(0, 1), rollup(0, 1, kind="gap"), rollup(0, 1, level=DAY), rollup(0, 2, *[-1] * 7)])
    with store.read() as read:
        assert list(read.rollups(("", 0, 0, ""), 2)) == [rollup(0, 1, level=DAY), rollup(0, 1, 2, 120, 0, 14, 10, 6, 4)]
        rows: list[RollupRow] = []
        after = ("", 0, 0, "")
        while page := read.rollups(after, 100):
            rows += page
            after = page[-1][:4]
        assert rows == sorted(rows)
        assert len(rows) == 902
        assert rollup(0, 2, 0, 59, -1, 6, 4, 2, 1) in rows
    with store.write() as tx:
        tx.clear_rollups()
        assert list(tx.rollups(("", 0, 0, ""), 9)) == []


@pytest.mark.parametrize("meters", [[1, 2, 3], [1, 3, 900], [900]])
def test_sums_over_rollups(store: Store, meters: list[int]) -> None:
    rows = [rollup(hour, meter, 1, hour, 0, meter, 0, 0, 0) for hour in (0, 3_600, 7_200) for meter in (1, 2, 3, 900)]
    with store.write() as tx:
        tx.add_rollups([*rows, rollup(0, 1, level=DAY), rollup(3_600, 3, 1, 1, 1, 1, 1, 1, 1, kind="import")])
    with store.read() as read:
        starts = [3_600, 7_200, 99]
        assert not read.rollup_sums(HOUR, [], meters, by_start=True, by_meter=True)
        assert not read.rollup_sums(HOUR, starts, [], by_start=True, by_meter=True)
        assert not read.rollup_sums(DAY, starts, meters, by_start=True, by_meter=True)
        apart = {row[1:]: row for row in read.rollup_sums(HOUR, starts, meters, by_start=True, by_meter=True)}
        assert len(apart) == 2 * len(meters) + (3 in meters)
        (device,) = (
            row for row in read.rollup_sums(HOUR, starts, meters, by_start=False, by_meter=False) if row[3] == "device"
        )
        assert device == RollupRow(
            HOUR, 0, 0, "device", 2 * len(meters), 10_800 * len(meters), 0, 2 * sum(meters), 0, 0, 0
        )
        by_meter = read.rollup_sums(HOUR, starts, meters, by_start=False, by_meter=True)
        assert {(row.meter_no, row.energy_mwh) for row in by_meter if row.kind == "device"} == {
            (meter, 2 * meter) for meter in meters
        }
        by_start = read.rollup_sums(HOUR, starts, meters, by_start=True, by_meter=False)
        assert {row.start_s for row in by_start} == {3_600, 7_200}


def test_sums_beyond_64_bits_are_exact(store: Store) -> None:
    big = 2**63 - 1
    with store.write() as tx:
        tx.add_rollups([rollup(hour, 1, 1, 1, 0, big, big, big, big) for hour in range(5)])
        (row,) = tx.rollup_sums(HOUR, range(5), [1], by_start=False, by_meter=False)
    assert row[7:] == (5 * big,) * 4
