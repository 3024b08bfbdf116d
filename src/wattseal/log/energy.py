"""Energy of many meters over any time, from rollups, the records that are not in them yet, and records at ragged edges.

The answer is exact and that of one committed state. Days serve for days, months and years; hours only where an edge
lies within a day, and records only where it lies within an hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Final, NamedTuple

from wattseal.core.refusal import Refusal
from wattseal.core.units import SECONDS_PER_HOUR, rfc3339
from wattseal.log.local_day import DAY_S, Day, LocalDays
from wattseal.log.port import Read
from wattseal.log.rollup import DAY, HOUR, deltas_of, hour_of, part_of, rolled_up
from wattseal.log.rollup_port import RecordValues, RollupRow
from wattseal.log.zones import Zones

TIMES: Final = ("hour", "day", "month", "year")
MAX_PIECES: Final = 40_000
"""Days of a meter in one answer, or hours where hours are asked for or its zone was changed: looked at one by one."""
MAX_TAIL: Final = 262_144
"""Entries beyond the rollups that a question may have to read; more only after a large import, for seconds."""
MAX_CELLS: Final = 1_000_000
"""Rollups that one answer may look at."""
MAX_GROUPS: Final = 100_000
MAX_RAGGED: Final = 4_000
"""Parts of an hour, of one meter each, for which records are read."""


class CatchingUp(Exception):
    """The rollups lie so far behind the entries that a question must wait."""


class Part(NamedTuple):
    """Sums of one kind of evidence, in a bucket (None: all of the time) and of a meter (0: of all)."""

    bucket: str | None
    meter_no: int
    kind: str
    sums: tuple[int, ...]
    """As in a RollupRow: records, covered_s, estimated_s, energy_mwh, export_mwh, priced_mwh, amount_msat."""


class _Pieces(NamedTuple):
    """What a bucket is put together from."""

    bucket: str | None
    days: list[int]
    hours: list[int]
    ragged: list[tuple[int, int]]


class EnergySums:
    """One question on one state. `meter_nos` are whose energy is asked for, [from_s, to_s) is the time."""

    def __init__(self, read: Read, zones: Zones, meter_nos: Sequence[int], from_s: int, to_s: int) -> None:
        if from_s > to_s:
            raise Refusal("from", "must lie before `to`")
        zones.follow(read)
        self._read = read
        self._meter_nos = sorted(meter_nos)
        self._from_s, self._to_s = from_s, to_s
        self._groups: dict[tuple[LocalDays, bool], list[int]] = defaultdict(list)
        for meter_no in self._meter_nos:
            self._groups[zones.now(meter_no), zones.is_settled(meter_no)].append(meter_no)
        first, size = rolled_up(read), read.size()
        if size - first > MAX_TAIL:
            raise CatchingUp
        self._tail: dict[tuple[str, int], list[RollupRow]] = defaultdict(list)
        wanted = set(self._meter_nos)
        for row in deltas_of(read, zones, first, size):
            if row.meter_no in wanted:
                self._tail[row.level, row.start_s].append(row)

    def parts(self, by_time: str | None, *, by_meter: bool) -> Iterator[Part]:
        """All sums; one bucket, meter and kind may come in several parts. Refusal where that would be too much."""
        plans = [
            (meter_nos, list(self._plan(days, by_time, is_settled=is_settled)))
            for (days, is_settled), meter_nos in self._groups.items()
        ]
        _check_size(plans, by_meter=by_meter)
        for meter_nos, plan in plans:
            members = set(meter_nos)
            if by_time in {HOUR, DAY}:
                yield from self._by_start(plan, meter_nos, by_meter=by_meter)
            for pieces in plan:
                if by_time not in {HOUR, DAY}:
                    yield from self._together(pieces, meter_nos, by_meter=by_meter)
                yield from self._tail_of(pieces, members, by_meter=by_meter)
                yield from self._ragged(pieces, meter_nos, by_meter=by_meter)

    # --- What a bucket is put together from ---------------------------------------------------------------------------

    def _plan(self, days: LocalDays, by_time: str | None, *, is_settled: bool) -> Iterator[_Pieces]:
        in_hours = by_time == HOUR or not is_settled
        if self._to_s - self._from_s > MAX_PIECES * (SECONDS_PER_HOUR if in_hours else DAY_S):
            raise Refusal("from", f"asks for more than {MAX_PIECES} {'hours' if in_hours else 'days'} of a meter")
        at = self._from_s
        while at < self._to_s:
            bucket, end = _bucket(days, by_time, at)
            end = self._to_s if end is None else min(end, self._to_s)
            # Only where a meter had one zone throughout, each of its records lies in that zone's days.
            yield _pieces(days if is_settled and by_time != HOUR else None, bucket, at, end)
            at = end

    # --- The sums -----------------------------------------------------------------------------------------------------

    def _by_start(self, plan: Sequence[_Pieces], meter_nos: Sequence[int], *, by_meter: bool) -> Iterator[Part]:
        """Many buckets of few rollups each: in one question."""
        for level, starts_of in _LEVELS:
            bucket_of = {start: pieces.bucket for pieces in plan for start in starts_of(pieces)}
            rows = self._read.rollup_sums(level, list(bucket_of), meter_nos, by_start=True, by_meter=by_meter)
            for row in rows:
                yield Part(bucket_of[row.start_s], row.meter_no, row.kind, row[4:])

    def _together(self, pieces: _Pieces, meter_nos: Sequence[int], *, by_meter: bool) -> Iterator[Part]:
        for level, starts_of in _LEVELS:
            rows = self._read.rollup_sums(level, starts_of(pieces), meter_nos, by_start=False, by_meter=by_meter)
            for row in rows:
                yield Part(pieces.bucket, row.meter_no, row.kind, row[4:])

    def _tail_of(self, pieces: _Pieces, members: set[int], *, by_meter: bool) -> Iterator[Part]:
        if not self._tail:
            return
        for level, starts_of in _LEVELS:
            for start in starts_of(pieces):
                for row in self._tail.get((level, start), ()):
                    if row.meter_no in members:
                        yield Part(pieces.bucket, row.meter_no if by_meter else 0, row.kind, row[4:])

    def _ragged(self, pieces: _Pieces, meter_nos: Sequence[int], *, by_meter: bool) -> Iterator[Part]:
        for from_s, to_s in pieces.ragged:
            for meter_no in meter_nos:
                rows = self._read.records_of_meter(meter_no, from_s, to_s)
                for values in self._read.record_values_at([row.idx for row in rows]):
                    yield self._part(pieces.bucket, values, from_s, to_s, by_meter=by_meter)

    @staticmethod
    def _part(bucket: str | None, values: RecordValues, from_s: int, to_s: int, *, by_meter: bool) -> Part:
        return Part(bucket, values.meter_no if by_meter else 0, values.kind, part_of(values, from_s, to_s))


_LEVELS: Final[tuple[tuple[str, Callable[[_Pieces], list[int]]], ...]] = (
    (DAY, lambda pieces: pieces.days),
    (HOUR, lambda pieces: pieces.hours),
)


def _bucket(days: LocalDays, by_time: str | None, at: int) -> tuple[str | None, int | None]:
    """The name of the bucket that holds an instant, and its end; no end: it has none."""
    if by_time is None:
        return None, None
    if by_time == HOUR:
        start, end = hour_of(at)
        return rfc3339(start), end
    day: Day = days.day(at)
    today = day.date
    if by_time == DAY:
        return today.isoformat(), day.end_s
    if (today.year, today.month) >= (date.max.year, 12 if by_time == "month" else 1):
        return today.isoformat()[: 7 if by_time == "month" else 4], None  # the calendar ends
    if by_time == "month":
        following = date(today.year + today.month // 12, today.month % 12 + 1, 1)
        return today.isoformat()[:7], days.start_of(following)
    return today.isoformat()[:4], days.start_of(date(today.year + 1, 1, 1))


def _pieces(days: LocalDays | None, bucket: str | None, from_s: int, to_s: int) -> _Pieces:
    """[from_s, to_s) as whole days, whole hours and what is left of hours; without `days`, as hours."""
    pieces = _Pieces(bucket, [], [], [])
    at = from_s
    while at < to_s:
        edge = to_s
        if days is not None:
            day = days.day(at)
            if day.start_s == at and day.end_s <= to_s:
                pieces.days.append(at)
                at = day.end_s
                continue
            edge = min(day.end_s, to_s)
        while at < edge:
            start, end = hour_of(at)
            if start == at and end <= edge:
                pieces.hours.append(at)
            else:
                pieces.ragged.append((at, min(end, edge)))
            at = min(end, edge)
    return pieces


def _check_size(plans: Sequence[tuple[Sequence[int], Sequence[_Pieces]]], *, by_meter: bool) -> None:
    cells = groups = ragged = 0
    for meter_nos, plan in plans:
        cells += len(meter_nos) * sum(len(pieces.days) + len(pieces.hours) for pieces in plan)
        groups += len(plan) * (len(meter_nos) if by_meter else 1)
        ragged += len(meter_nos) * sum(len(pieces.ragged) for pieces in plan)
    if cells > MAX_CELLS or groups > MAX_GROUPS:
        raise Refusal("from", "asks for too much at once: take a shorter time, fewer meters or longer buckets")
    if ragged > MAX_RAGGED:
        raise Refusal("from", "cuts too many hours of too many meters: take whole hours, or fewer meters")
