"""Rows of a meter as records on its grid, with exact arithmetic (docs/spec/emlog.md §5, §7).

Energy is summed as a fraction with one denominator, `DENOMINATOR`; a record's energy is the difference of two floors of
that sum, so that a year of rows is off by less than one mWh in all and never by one per row.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from wattseal.core.refusal import Refusal
from wattseal.core.units import MAX_ENERGY_MWH, SECONDS_PER_HOUR, rfc3339
from wattseal.ingest.csv_mapping import MEAN, REGISTER, UNITS, Column, MeterColumns

DECIMALS: Final = 30
DENOMINATOR: Final = SECONDS_PER_HOUR * 10**DECIMALS
_MAX_SUM: Final = MAX_ENERGY_MWH * DENOMINATOR
_NUMBER: Final = re.compile(r"([+-]?)([0-9]{0,20})(?:\.([0-9]{0,30}))?(?:[eE]([+-]?[0-9]{1,2}))?", re.ASCII)


class Span(NamedTuple):
    """One step of a meter, with its energies in mWh × DENOMINATOR and the row chain before and after it."""

    start_s: int
    end_s: int
    imported: int
    exported: int
    chain_before: bytes
    chain_after: bytes


class HistoryRecord(NamedTuple):
    """One record to be: times in Unix seconds, energies in mWh, the two row chain digests of its slots."""

    start_s: int
    end_s: int
    energy_mwh: int
    export_mwh: int
    status: str
    chain_before: bytes
    chain_after: bytes


@lru_cache(maxsize=65_536)
def scaled_number(text: str) -> int:
    """A decimal number as an integer of 10^-30; Refusal for what is no number, or finer than that."""
    match = _NUMBER.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        raise Refusal("value", f"{text[:40]!r} is no number")
    sign, whole, fraction, exponent = match.groups()
    fraction = fraction or ""
    value, shift = int(whole + fraction), DECIMALS - len(fraction) + int(exponent or "0")
    power: int = 10 ** abs(shift)
    value, rest = (value * power, 0) if shift >= 0 else divmod(value, power)
    if rest:
        raise Refusal("value", f"{text[:40]!r} is finer than {DECIMALS} decimals")
    return -value if sign == "-" else value


class MeterRows:
    """Makes spans of one meter's rows. A row gives none if its value is missing or if it is a register's first."""

    def __init__(
        self, columns: MeterColumns, place: Callable[[Column], int], decimal: str, missing: frozenset[str]
    ) -> None:
        self.columns = columns
        self._imported = None if columns.imported is None else place(columns.imported)
        self._exported = None if columns.exported is None else place(columns.exported)
        self._decimal = decimal
        self._missing = missing
        self._holds, self._unit = UNITS[columns.unit]
        self._before: tuple[int, int, int, bytes] | None = None

    def span(self, fields: list[str], start_s: int, end_s: int, before: bytes, after: bytes) -> Span | None:
        """The span of a row over [start_s, end_s) (a register's instant is end_s); None where a value is missing.

        Refusal for a value that is no energy, and for a register that fell: the next row is then a new first one.
        """
        factor = self._unit * (end_s - start_s if self._holds == MEAN else SECONDS_PER_HOUR)
        imported, exported = self._value(fields, self._imported), self._value(fields, self._exported)
        if imported is None or exported is None:
            return None
        imported, exported = imported * factor, exported * factor
        if self._holds == REGISTER:
            return self._difference(imported, exported, end_s, after)
        if imported < 0 and self.columns.negative_is_export:
            imported, exported = 0, -imported
        if imported < 0 or exported < 0:
            raise Refusal("value", 'is negative: if that means export, say negative = "export" in the mapping')
        return Span(start_s, end_s, imported, exported, before, after)

    def _value(self, fields: list[str], place: int | None) -> int | None:
        if place is None:
            return 0
        if place >= len(fields):
            raise Refusal("row", f"has {len(fields)} columns; column {place + 1} is needed")
        text = fields[place].strip()
        if text in self._missing:
            return None
        if self._decimal != ".":
            if "." in text:
                raise Refusal("value", f"{text[:40]!r} has a point, but the mapping's decimal is {self._decimal!r}")
            text = text.replace(self._decimal, ".")
        return scaled_number(text)

    def _difference(self, imported: int, exported: int, time_s: int, after: bytes) -> Span | None:
        last, self._before = self._before, (imported, exported, time_s, after)
        if last is None:
            return None
        last_imported, last_exported, last_s, last_after = last
        if time_s <= last_s:
            self._before = last
            raise Refusal("time", f"does not rise: {rfc3339(time_s)} comes after {rfc3339(last_s)}")
        if imported < last_imported or exported < last_exported:
            raise Refusal("register", "fell: the history stops here and starts again with this row")
        return Span(last_s, time_s, imported - last_imported, exported - last_exported, last_after, after)


class History:
    """Cuts a meter's spans at its grid. Records gather in `ready` for the caller. Holes are kept, never filled."""

    def __init__(self, interval_s: int) -> None:
        self.ready: list[HistoryRecord] = []
        self.holes: list[tuple[int, int]] = []
        self.first_s: int | None = None
        self.end_s: int | None = None
        self._interval_s = interval_s
        self._imported = self._exported = 0
        # Of the boundary that the next record starts at: time, both floored sums, row chain.
        self._start: tuple[int, int, int, bytes] = (0, 0, 0, b"")
        self._chain = b""

    def add(self, span: Span) -> None:
        """Take the next span; Refusal where it reaches back behind the last one."""
        if self.end_s is None or span.start_s > self.end_s:
            if self.end_s is None:
                self.first_s = span.start_s
            else:
                self.finish()
                self.holes.append((self.end_s, span.start_s))
            self._start = self._boundary(span.start_s, span.chain_before)
        elif span.start_s < self.end_s:
            was, begins = rfc3339(self.end_s), rfc3339(span.start_s)
            raise Refusal("time", f"does not rise: the row begins at {begins}, before the end of the last, {was}")
        if span.imported > _MAX_SUM or span.exported > _MAX_SUM:
            raise Refusal("value", "is more than a meter can count")
        self._imported += span.imported
        self._exported += span.exported
        self.end_s, self._chain = span.end_s, span.chain_after
        if span.end_s // self._interval_s > self._start[0] // self._interval_s:
            self._cut()

    def finish(self) -> None:
        """Make a record of what stands behind the last boundary: before a hole and at the end, a slot may be short."""
        if self.end_s is not None and self.end_s > self._start[0]:
            self._cut()

    def _boundary(self, time_s: int, chain: bytes) -> tuple[int, int, int, bytes]:
        return time_s, self._imported // DENOMINATOR, self._exported // DENOMINATOR, chain

    def _cut(self) -> None:
        start_s, imported, exported, chain = self._start
        self._start = end_s, imported_to, exported_to, chain_to = self._boundary(self.end_s or start_s, self._chain)
        bridges = end_s // self._interval_s - start_s // self._interval_s > 1
        self.ready.append(
            HistoryRecord(
                start_s,
                end_s,
                imported_to - imported,
                exported_to - exported,
                "gap" if bridges else "ok",
                chain,
                chain_to,
            )
        )
