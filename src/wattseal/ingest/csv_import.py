"""One reading of a CSV file of history: each meter's records, what was left out, and why (docs/spec/emlog.md §7)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping as Map
from dataclasses import dataclass
from typing import Final, NamedTuple

from wattseal.core.refusal import Refusal
from wattseal.ingest.csv_history import History, HistoryRecord, MeterRows
from wattseal.ingest.csv_mapping import MAX_INTERVAL_S, REGISTER, Mapping
from wattseal.ingest.csv_rows import CsvFile, Row
from wattseal.ingest.local_clock import LocalClock

IMPORT_TAG: Final = b"wattseal/import/1\n"
KEPT_REFUSALS: Final = 1_000
BATCH_RECORDS: Final = 4_000
MAX_ROW_S: Final = 366 * 86_400
_DEFAULT_INTERVAL_S: Final = 300
_SMALLEST_GRID_S: Final = 60
_PROGRESS_ROWS: Final = 10_000


class RefusedRow(NamedTuple):
    """A row that was not imported: its line in the file, the meter (None: for all of them), why."""

    line: int
    meter_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class MeterSummary:
    """What one meter got. Times in Unix seconds (None where no record was made), energies in mWh."""

    meter_id: str
    records: int
    bridged: int
    missing: int
    first_s: int | None
    last_s: int | None
    energy_mwh: int
    export_mwh: int
    holes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a reading of the file gave. `rows`: lines after the header. `refused`: the first of all `refusals`."""

    rows: int
    blank: int
    refusals: int
    refused: tuple[RefusedRow, ...]
    decided: tuple[tuple[str, int], ...]
    meters: tuple[MeterSummary, ...]

    @property
    def first_s(self) -> int | None:
        """The start of the first record."""
        return min((meter.first_s for meter in self.meters if meter.first_s is not None), default=None)

    @property
    def last_s(self) -> int | None:
        """The end of the last record."""
        return max((meter.last_s for meter in self.meters if meter.last_s is not None), default=None)


def first_chain(file_sha256: bytes, mapping_sha256: bytes, path: str) -> bytes:
    """Where a meter's row chain begins (docs/spec/log.md §1.2)."""
    return hashlib.sha256(IMPORT_TAG + file_sha256 + mapping_sha256 + path.encode()).digest()


class _Times:
    """The time columns of a row, as (start, end) in Unix seconds; a register's instant is the end."""

    def __init__(self, file: CsvFile, mapping: Mapping) -> None:
        times = mapping.time
        self._start = None if times.start is None else file.place(times.start)
        self._end = None if times.end is None else file.place(times.end)
        self._interval_s = times.interval_s or 0
        self.start_clock, self.end_clock = LocalClock(times.form, mapping.zone), LocalClock(times.form, mapping.zone)
        self._last_start: int | None = None
        self._last_end: int | None = None

    def span(self, fields: list[str]) -> tuple[int, int]:
        """Refusal where a time is missing or cannot be read, or the end is not after the start."""
        start_s = end_s = 0
        if self._start is not None:
            start_s = self._last_start = self.start_clock.instant(_field(fields, self._start), self._last_start)
            end_s = start_s + self._interval_s
        if self._end is not None:
            # The end lies after its own start, so the start decides between two passes of an hour where there is one.
            after = self._last_end if self._start is None else start_s
            end_s = self._last_end = self.end_clock.instant(_field(fields, self._end), after)
            if self._start is None:
                start_s = end_s - self._interval_s
        if not 0 <= start_s <= end_s <= start_s + MAX_ROW_S:
            raise Refusal("time", f"runs from {start_s} to {end_s} (Unix seconds), which is no interval")
        return start_s, end_s


def _field(fields: list[str], place: int) -> str:
    if place >= len(fields):
        raise Refusal("row", f"has {len(fields)} columns; column {place + 1} is the time")
    return fields[place].strip()


class _Meter:
    """What is kept of one meter while the file is read."""

    def __init__(self, rows: MeterRows, interval_s: int, chain: bytes) -> None:
        self.rows, self.history, self.chain = rows, History(interval_s), chain
        self.records = self.bridged = self.missing = self.energy_mwh = self.export_mwh = 0

    def take(self) -> list[HistoryRecord]:
        """The records that are ready, counted."""
        ready, self.history.ready = self.history.ready, []
        self.records += len(ready)
        for record in ready:
            self.energy_mwh += record.energy_mwh
            self.export_mwh += record.export_mwh
            self.bridged += record.status == "gap"
        return ready

    def summary(self) -> MeterSummary:
        history = self.history
        return MeterSummary(
            self.rows.columns.meter_id,
            self.records,
            self.bridged,
            self.missing,
            history.first_s,
            history.end_s,
            self.energy_mwh,
            self.export_mwh,
            tuple(history.holes),
        )


def row_interval(file: CsvFile, mapping: Mapping) -> int:
    """The seconds that the first readable row covers, if that can be a meter's grid of at least 60 s; else 300."""
    times = _Times(file, mapping)
    interval_s = mapping.time.interval_s or 0
    for row, _ in zip(file.rows(), range(100), strict=False):
        if interval_s or row.fields is None:
            break
        try:
            start_s, end_s = times.span(row.fields)
        except Refusal:
            continue
        interval_s = end_s - start_s if mapping.time.start is not None else 0
    return interval_s if _SMALLEST_GRID_S <= interval_s <= MAX_INTERVAL_S else _DEFAULT_INTERVAL_S


class HistoryReader:
    """Reads a file once. `intervals` and `chains` by meter id: the grid in seconds, and where the row chain begins."""

    def __init__(self, file: CsvFile, mapping: Mapping, intervals: Map[str, int], chains: Map[str, bytes]) -> None:
        missing = frozenset(mapping.missing)
        self._file = file
        self._times = _Times(file, mapping)
        self._registers = all(meter.holds == REGISTER for meter in mapping.meters)
        self._meters = [
            _Meter(
                MeterRows(columns, file.place, mapping.decimal, missing),
                intervals[columns.meter_id],
                chains[columns.meter_id],
            )
            for columns in mapping.meters
        ]
        self._refused: list[RefusedRow] = []
        self._refusals = self._rows = self._blank = 0

    def read(
        self, take: Callable[[str, list[HistoryRecord]], None], progress: Callable[[int], None] = lambda _: None
    ) -> Summary:
        """Give each meter's records to `take`, in order and in portions; `progress` hears how many rows are done."""
        for row in self._file.rows():
            self._rows += 1
            self._row(row)
            if not self._rows % _PROGRESS_ROWS:
                progress(self._rows)
            self._hand_over(take, BATCH_RECORDS)
        for meter in self._meters:
            meter.history.finish()
        self._hand_over(take, 1)
        progress(self._rows)
        return self._summary()

    def _row(self, row: Row) -> None:
        digest = hashlib.sha256(row.raw).digest()
        span = self._span(row)
        for meter in self._meters:
            before = meter.chain
            meter.chain = after = hashlib.sha256(before + digest).digest()
            if span is None or row.fields is None:
                continue
            try:
                step = meter.rows.span(row.fields, *span, before, after)
                if step is not None:
                    meter.history.add(step)
                elif meter.rows.columns.holds != REGISTER:
                    meter.missing += 1
            except Refusal as refusal:
                self._refuse(row.line, meter.rows.columns.meter_id, refusal)

    def _span(self, row: Row) -> tuple[int, int] | None:
        if not row.raw.strip():
            self._blank += 1
            return None
        try:
            if row.fields is None:
                raise Refusal("row", "is not UTF-8, or has a quote that does not end")
            return self._times.span(row.fields)
        except Refusal as refusal:
            self._refuse(row.line, None, refusal)
            return None

    def _refuse(self, line: int, meter_id: str | None, refusal: Refusal) -> None:
        self._refusals += 1
        if len(self._refused) < KEPT_REFUSALS:
            self._refused.append(RefusedRow(line, meter_id, f"{refusal.field} {refusal.reason}"))

    def _hand_over(self, take: Callable[[str, list[HistoryRecord]], None], at_least: int) -> None:
        for meter in self._meters:
            if len(meter.history.ready) >= at_least:
                take(meter.rows.columns.meter_id, meter.take())

    def _summary(self) -> Summary:
        decided: Counter[str] = Counter()
        # Of rows with two times the starts are told: each end is the next row's start.
        for clock in (self._times.start_clock,) if self._times.start_clock.decided else (self._times.end_clock,):
            decided += clock.decided
        return Summary(
            self._rows,
            self._blank,
            self._refusals,
            tuple(self._refused),
            tuple(sorted(decided.items())),
            tuple(meter.summary() for meter in self._meters),
        )
