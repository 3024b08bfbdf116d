"""From records to rollups: which sums each record adds to which bucket (docs/spec/energy.md).

Whatever is asked: of a record with energy E from s to e, F(t) = floor(E · (t − s) / (e − s)) counts before t, so a part
is a difference of two values of F, and parts add up to E wherever it is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import add
from typing import Final

from wattseal.core.units import SECONDS_PER_HOUR
from wattseal.log.local_day import LocalDays
from wattseal.log.port import Read, Write
from wattseal.log.rollup_port import RecordValues, RollupRow
from wattseal.log.zones import Zones

HOUR: Final = "hour"
DAY: Final = "day"
WATERMARK: Final = "rolled-up"
"""The meta key under which stands how many entries are in the rollups."""
MAX_MSAT_PER_S: Final = 10**13
"""A quote beyond 100 bitcoin a second is a mistake or an attack. It counts as none, so that no sum leaves 64 bits."""
WAITING: Final = 8_192
"""So many entries are taken in at once while many come; else those of a second."""
STEP: Final = 32_768
"""Entries in one transaction where there is much to catch up with."""
_OK: Final = "ok"

Key = tuple[str, int, int, str]
"""(level, start_s, meter_no, kind)."""
Bounds = Callable[[int], tuple[int, int]]
"""The bucket [start, end) that holds an instant."""


def hour_of(time_s: int) -> tuple[int, int]:
    """The UTC hour that holds an instant."""
    start = time_s - time_s % SECONDS_PER_HOUR
    return start, start + SECONDS_PER_HOUR


def part_of(values: RecordValues, from_s: int, to_s: int) -> tuple[int, ...]:
    """What a record adds to [from_s, to_s), which it overlaps: the sums of a RollupRow in their order."""
    _, _, _, start, end, energy, export, amount, status = values
    is_whole = from_s <= start and end <= to_s
    if amount is None or amount > MAX_MSAT_PER_S * (end - start):
        priced = paid = 0
    else:
        priced, paid = energy, amount
    here = 1 if from_s <= start < to_s else 0
    if is_whole:
        covered = end - start
        return here, covered, 0 if status == _OK else covered, energy, export, priced, paid
    since, until, length = max(from_s, start) - start, min(to_s, end) - start, end - start
    covered = until - since
    parts = (value * until // length - value * since // length for value in (energy, export, priced, paid))
    return here, covered, covered, *parts


class Deltas:
    """What a range of entries adds to the rollups."""

    def __init__(self, read: Read, zones: Zones) -> None:
        self._read = read
        self._zones = zones
        self._sums: dict[Key, tuple[int, ...]] = {}

    def add(self, first_idx: int, end_idx: int) -> None:
        """Add the records of entries between which no zone changes."""
        across: set[Key] = set()
        days_of: dict[int, LocalDays] = {}
        put = self._put
        for row in self._read.hour_sums(first_idx, end_idx, MAX_MSAT_PER_S):
            hour_s, meter_no = row.start_s, row.meter_no
            days = days_of.get(meter_no) or days_of.setdefault(meter_no, self._zones.at(meter_no, first_idx))
            day_s, end_s, _ = days.day(hour_s)
            if end_s < hour_s + SECONDS_PER_HOUR:
                across.add(row[:4])  # a day ends within this hour: its records one by one
                continue
            put(row[:4], row[4:])
            put((DAY, day_s, meter_no, row.kind), row[4:])
        for values in self._read.record_values(first_idx, end_idx, crossing=not across):
            start, end = hour_of(values.start_s)
            if values.end_s > end or (HOUR, start, values.meter_no, values.kind) in across:
                self._split(values, 1)

    def subtract(self, idxs: Sequence[int]) -> None:
        """Take away records that were superseded."""
        for values in self._read.record_values_at(idxs):
            self._split(values, -1)

    def rows(self) -> list[RollupRow]:
        """All sums, in the order of their keys, without those that are nothing."""
        return [RollupRow._make(key + self._sums[key]) for key in sorted(self._sums) if any(self._sums[key])]

    def _split(self, values: RecordValues, sign: int) -> None:
        days = self._zones.at(values.meter_no, values.idx)
        self._split_by(HOUR, hour_of, values, sign)
        self._split_by(DAY, lambda time_s: days.day(time_s)[:2], values, sign)

    def _split_by(self, level: str, bounds: Bounds, values: RecordValues, sign: int) -> None:
        at = values.start_s
        while at < values.end_s:
            start, end = bounds(at)
            part = part_of(values, start, end)
            self._put((level, start, values.meter_no, values.kind), tuple(sign * value for value in part))
            at = end

    def _put(self, key: Key, sums: tuple[int, ...]) -> None:
        have = self._sums.get(key)
        self._sums[key] = sums if have is None else tuple(map(add, have, sums))


def deltas_of(read: Read, zones: Zones, first_idx: int, end_idx: int) -> list[RollupRow]:
    """What entries first_idx to end_idx − 1 add to the rollups: their records, less those that they supersede."""
    zones.follow(read)
    deltas = Deltas(read, zones)
    for first, end in pairwise([first_idx, *zones.changes(first_idx + 1, end_idx), end_idx]):
        deltas.add(first, end)
    deltas.subtract([idx for idx, _ in read.superseded_by(first_idx, end_idx)])
    return deltas.rows()


def rolled_up(read: Read) -> int:
    """How many entries are in the rollups: those before this index."""
    value = read.meta(WATERMARK)
    return 0 if value is None else int(value)


class Advance:
    """Brings the rollups of one store up to its entries, step by step; for the writer alone."""

    def __init__(self, read: Read) -> None:
        self.done = rolled_up(read)
        """How many entries are in the rollups, durably."""
        self._zones = Zones()

    def step(self, tx: Write, limit: int = STEP) -> int:
        """Take in up to `limit` further entries; how many are in the rollups then. Set `done` when it is durable.

        All of `tx` so far must be committed entries: to be called in a transaction of its own.
        """
        end = min(tx.size(), self.done + limit)
        tx.add_rollups(deltas_of(tx, self._zones, self.done, end))
        tx.put_meta(WATERMARK, b"%d" % end)
        return end
