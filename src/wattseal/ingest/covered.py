"""Until when each meter's time is covered by records, so that no energy is logged twice (docs/spec/emlog.md §5).

A meter may have records of several kinds and keys: history that was imported, intervals that were reported, readings.
Nearly every new record begins where all others have ended, and needs no look into the store.
"""

from __future__ import annotations

from wattseal.core.units import MAX_TIME_S
from wattseal.log.port import EntryRow, Read


class Covered:
    """By meter number: a time after which no record of it reaches. What is not known yet is asked of the store."""

    def __init__(self) -> None:
        self._until: dict[int, int] = {}

    def is_free(self, meter_no: int, start_s: int) -> bool:
        """Whether it is known that nothing of the meter is covered from that Unix time on."""
        until = self._until.get(meter_no)
        return until is not None and until <= start_s

    def overlapping(self, read: Read, meter_no: int, start_s: int, end_s: int) -> EntryRow | None:
        """A record of the meter in the store that covers a part of this half-open time."""
        if meter_no not in self._until:
            rows = read.records_of_meter(meter_no, start_s, MAX_TIME_S)
            self._until[meter_no] = max((row.end_s or 0 for row in rows), default=start_s)
        return next(iter(read.records_of_meter(meter_no, start_s, end_s)), None)

    def add(self, meter_no: int, end_s: int) -> None:
        """A record of the meter that ends then was written."""
        until = self._until.get(meter_no)
        if until is not None and until < end_s:
            self._until[meter_no] = end_s

    def forget(self) -> None:
        """Know nothing any more: somebody else wrote records, or a transaction was undone."""
        self._until.clear()
