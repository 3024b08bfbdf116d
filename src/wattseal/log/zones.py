"""Which local days each meter has: by its newest `meter-1` entry before a record's own index.

So where a record belongs depends on the entries up to it alone, and never changes.
"""

from __future__ import annotations

from bisect import bisect_left
from threading import Lock
from typing import Final

from wattseal.core.refusal import Refusal
from wattseal.core.registry import parse_meter
from wattseal.log.local_day import LocalDays, local_days
from wattseal.log.port import EntryRow, Read

_SCHEMA: Final = "meter-1"
_PAGE: Final = 10_000
_UTC: Final = "UTC"


class Zones:
    """The zones of all meters by index, as far as `follow` has read. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._size = 0
        self._changes: dict[int, list[tuple[int, str]]] = {}
        """By meter number: (index, zone from there on), only where it changes."""
        self._at: list[int] = []

    def follow(self, read: Read) -> None:
        """Read what was registered since."""
        size = read.size()
        if size <= self._size:
            return
        with self._lock:
            if size > self._size:
                self._read_on(read, size)

    def _read_on(self, read: Read, size: int) -> None:
        numbers: dict[tuple[str, str, str], int] | None = None
        after = self._size - 1
        while page := read.entries_of_schema(_SCHEMA, after, _PAGE):
            if numbers is None:
                numbers = {(row.site_id, row.iot_device_id, row.meter_id): row.meter_no for row in read.meters()}
            for row in page:
                self._take(row, numbers)
            after = page[-1].idx
        self._size = size

    def _take(self, row: EntryRow, numbers: dict[tuple[str, str, str], int]) -> None:
        try:
            meter = parse_meter(row.body)
        except Refusal:
            return  # erased or damaged, which fsck tells
        meter_no = numbers.get((meter.site_id, meter.iot_device_id, meter.meter_id))
        if meter_no is None:
            return
        changes = self._changes.setdefault(meter_no, [])
        if not changes or changes[-1][1] != meter.zone:
            changes.append((row.idx, meter.zone))
            self._at.append(row.idx)

    def at(self, meter_no: int, idx: int) -> LocalDays:
        """The days that count for a record of a meter at an index."""
        zone = _UTC
        for since, name in self._changes.get(meter_no, ()):
            if since > idx:
                break
            zone = name
        return local_days(zone)

    def now(self, meter_no: int) -> LocalDays:
        """The days that a meter has now."""
        changes = self._changes.get(meter_no)
        return local_days(changes[-1][1] if changes else _UTC)

    def is_settled(self, meter_no: int) -> bool:
        """Whether a meter had one zone from its registration on."""
        return len(self._changes.get(meter_no, ())) <= 1

    def changes(self, first_idx: int, end_idx: int) -> list[int]:
        """The indexes from first_idx to end_idx − 1 at which some meter got its zone, or another."""
        return self._at[bisect_left(self._at, first_idx) : bisect_left(self._at, end_idx)]
