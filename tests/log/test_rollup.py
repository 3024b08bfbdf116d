"""Rollups and the entries beyond them are what a slow recomputation from the records gives, whatever happened."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.stores import entry, record
from tests.log.sample import memory_folder
from wattseal.core.registry import Meter
from wattseal.log.energy import EnergySums
from wattseal.log.port import EntryRow, Store, Write
from wattseal.log.rollup import DAY, HOUR, MAX_MSAT_PER_S, Advance, deltas_of, rolled_up
from wattseal.log.rollup_port import RollupRow
from wattseal.log.sqlite import SqliteStore
from wattseal.log.zones import Zones

ZONES = ("UTC", "Europe/Zurich", "Asia/Kolkata", "Australia/Lord_Howe")
"""Lord Howe puts its clocks by half an hour; there summer ends on 2026-04-05."""
BEGIN = int(datetime(2026, 3, 27, tzinfo=UTC).timestamp())
QUARTER = 900


class Current(NamedTuple):
    """A record that counts, and the zone that its meter had at its index."""

    row: EntryRow
    zone: str


class Log:
    """A store that grows, and what a slow recomputation needs to know of it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.current: dict[int, Current] = {}
        self.zone = dict.fromkeys(range(1, len(ZONES) + 1), "UTC")
        self.next_s = dict.fromkeys(self.zone, BEGIN)
        with store.read() as read:
            self.advance = Advance(read)
        with store.write() as tx:
            for meter_no, zone in enumerate(ZONES, 1):
                tx.add_meter("site", "device", f"m{meter_no}")
                self.register(tx, meter_no, zone)

    def register(self, tx: Write, meter_no: int, zone: str) -> None:
        meter = Meter("site", "device", f"m{meter_no}", "main", (), 300, zone, BEGIN, disclosed=False)
        tx.add_entries([entry(tx.size(), "meter-1", body=meter.body())])
        self.zone[meter_no] = zone

    def add(self, tx: Write, row: EntryRow) -> None:
        tx.add_entries([row])
        self.current[row.idx] = Current(row, self.zone[row.meter_no or 0])

    def do(self, step: tuple[Any, ...]) -> None:
        match step:
            case ["record", meter_no, pause_s, length_s, energy, kind, status, amount]:
                start = self.next_s[meter_no] + pause_s
                self.next_s[meter_no] = start + length_s
                with self.store.write() as tx:
                    values = {"kind": kind, "status": status, "amount_msat": amount, "energy_mwh": energy}
                    self.add(tx, record(tx.size(), meter_no, start, length_s, export_mwh=energy // 3, **values))
            case ["supersede", which, cut]:
                self._supersede(which, cut)
            case ["zone", meter_no, zone]:
                with self.store.write() as tx:
                    self.register(tx, meter_no, zone)
            case ["advance", limit]:
                with self.store.write() as tx:
                    done = self.advance.step(tx, limit)
                self.advance.done = done
            case ["restart"]:
                with self.store.read() as read:
                    self.advance = Advance(read)

    def _supersede(self, which: int, cut: int) -> None:
        if not self.current:
            return
        row = self.current.pop(list(self.current)[which % len(self.current)]).row
        assert row.start_s is not None
        assert row.end_s is not None
        middle = row.start_s + 1 + cut % max(row.end_s - row.start_s - 1, 1)
        with self.store.write() as tx:
            if middle < row.end_s:
                half = (row.energy_mwh or 0) // 2
                ends = (row.start_s, middle, half), (middle, row.end_s, (row.energy_mwh or 0) - half)
                for start, end, energy in ends:
                    part = record(tx.size(), row.meter_no or 0, start, end - start, kind=row.kind, amount_msat=None)
                    self.add(tx, part._replace(energy_mwh=energy))
            tx.add_entries([entry(tx.size(), "supersession-1")])
            tx.mark_superseded([(row.idx, tx.size() - 1)])


STEPS = st.one_of(
    st.tuples(
        st.just("record"),
        st.integers(1, len(ZONES)),
        st.sampled_from([0, 0, 0, 1, 300, 3_600, 40_000]),
        st.sampled_from([1, 300, 899, 900, 1_800, 3_600, 5_000, 86_400, 200_000]),
        st.integers(0, 10**6) | st.integers(0, 10**15 - 1),
        st.sampled_from(["device", "reported"]),
        st.sampled_from(["ok", "ok", "gap", "estimated"]),
        st.none() | st.integers(0, 10**15 - 1),
    ),
    st.tuples(st.just("supersede"), st.integers(0, 50), st.integers(0, 10**6)),
    st.tuples(st.just("zone"), st.integers(1, len(ZONES)), st.sampled_from(ZONES)),
    st.tuples(st.just("advance"), st.integers(1, 9)),
    st.tuples(st.just("restart")),
)


@pytest.fixture(scope="module")
def empty() -> Iterator[Path]:
    with memory_folder() as folder:
        path = folder / "empty.db"
        SqliteStore.open(path, create=True).close()
        yield path


def written(empty: Path, folder: Path, steps: list[tuple[Any, ...]]) -> Log:
    path = folder / "log.db"
    shutil.copy(empty, path)
    log = Log(SqliteStore.open(path))
    for step in steps:
        log.do(step)
    return log


# --- The slow way -----------------------------------------------------------------------------------------------------


def bucket(level: str, time_s: int, zone: str) -> str:
    """The name of the bucket of an instant, asked of the calendar anew each time."""
    if level == HOUR:
        return str(time_s // 3_600)
    day = datetime.fromtimestamp(time_s, ZoneInfo(zone)).date()
    return {DAY: str(day), "month": str(day)[:7], "year": str(day)[:4]}.get(level, "")


def parts(row: EntryRow, level: str, zone: str, from_s: int, to_s: int) -> dict[str, list[int]]:
    """The sums of a record within [from_s, to_s) by bucket: quarter hour by quarter hour."""
    start, end = row.start_s or 0, row.end_s or 0
    found: dict[str, list[int]] = {}
    at = max(start, from_s)
    while at < min(end, to_s):
        until = min(end, to_s, (at // QUARTER + 1) * QUARTER)
        amount = row.amount_msat
        if amount is not None and amount > MAX_MSAT_PER_S * (end - start):
            amount = None
        values = (row.energy_mwh or 0, row.export_mwh or 0, 0 if amount is None else row.energy_mwh or 0, amount or 0)
        sums = found.setdefault(bucket(level, at, zone), [0] * 7)
        sums[0] += at == start
        sums[1] += until - at
        for place, value in enumerate(values, 3):
            sums[place] += value * (until - start) // (end - start) - value * (at - start) // (end - start)
        at = until
    for sums in found.values():
        sums[2] = sums[1] if row.status != "ok" or sums[1] != end - start else 0
    return found


def slow_rollups(log: Log) -> dict[tuple[str, str, int, str], list[int]]:
    sums: dict[tuple[str, str, int, str], list[int]] = defaultdict(lambda: [0] * 7)
    for row, zone in log.current.values():
        for level in (HOUR, DAY):
            for name, more in parts(row, level, zone, 0, 2**40).items():
                key = (level, name, row.meter_no or 0, row.kind or "")
                sums[key] = [have + value for have, value in zip(sums[key], more, strict=True)]
    return {key: values for key, values in sums.items() if any(values)}


def all_rollups(log: Log) -> list[RollupRow]:
    """The stored rollups with what is beyond the watermark."""
    with log.store.read() as read:
        rows = [*read.rollups(("", 0, 0, ""), 10**6)]
        return rows + deltas_of(read, Zones(), rolled_up(read), read.size())


def named(log: Log, rows: list[RollupRow]) -> dict[tuple[str, str, int, str], list[int]]:
    sums: dict[tuple[str, str, int, str], list[int]] = defaultdict(lambda: [0] * 7)
    for row in rows:
        key = (row.level, bucket(row.level, row.start_s, log.zone[row.meter_no]), row.meter_no, row.kind)
        sums[key] = [have + value for have, value in zip(sums[key], row[4:], strict=True)]
    return {key: values for key, values in sums.items() if any(values)}


# --- The tests --------------------------------------------------------------------------------------------------------


@given(steps=st.lists(STEPS.filter(lambda step: step[0] != "zone"), max_size=25))
def test_rollups_are_what_a_slow_recomputation_gives(empty: Path, steps: list[tuple[Any, ...]]) -> None:
    with memory_folder() as folder:
        log = written(empty, folder, steps)
        with closing(log.store):
            rows = all_rollups(log)
            assert named(log, rows) == slow_rollups(log)
            for level in (HOUR, DAY):
                energy = sum(row.energy_mwh for row in rows if row.level == level)
                assert energy == sum(current.row.energy_mwh or 0 for current in log.current.values())


@given(
    steps=st.lists(STEPS, max_size=20),
    from_s=st.integers(BEGIN - 10, BEGIN + 400_000) | st.integers(-2, 12).map(lambda n: BEGIN + n * 1_800),
    length_s=st.integers(0, 900_000) | st.integers(0, 40).map(lambda n: n * 21_600),
    by_time=st.sampled_from([None, "hour", "day", "month", "year"]),
)
def test_any_time_is_answered_exactly(
    empty: Path, steps: list[tuple[Any, ...]], from_s: int, length_s: int, by_time: str | None
) -> None:
    to_s = from_s + length_s
    expected: dict[tuple[str | None, int, str], list[int]] = defaultdict(lambda: [0] * 7)
    with memory_folder() as folder:
        log = written(empty, folder, steps)
        with closing(log.store), log.store.read() as read:
            for row, _ in log.current.values():
                found = parts(row, by_time or "", log.zone[row.meter_no or 0], from_s, to_s)
                for name, more in found.items():
                    label = (
                        datetime.fromtimestamp(int(name) * 3_600, UTC).strftime("%FT%TZ") if by_time == HOUR else name
                    )
                    key = (label if by_time else None, row.meter_no or 0, row.kind or "")
                    expected[key] = [have + value for have, value in zip(expected[key], more, strict=True)]
            answered: dict[tuple[str | None, int, str], list[int]] = defaultdict(lambda: [0] * 7)
            for part in EnergySums(read, Zones(), list(log.zone), from_s, to_s).parts(by_time, by_meter=True):
                key = part[:3]
                answered[key] = [have + value for have, value in zip(answered[key], part.sums, strict=True)]
    # What is estimated depends on where a record was cut, and an answer may be put together from smaller pieces.
    for sums in answered.values():
        assert 0 <= sums[2] <= sums[1]
        sums[2] = 0
    for sums in expected.values():
        sums[2] = 0
    assert {key: sums for key, sums in answered.items() if any(sums)} == {
        key: sums for key, sums in expected.items() if any(sums)
    }
