"""Local days of a time zone in Unix seconds: from one midnight of its clocks to the next, 23 to 25 hours or odder.

A day begins when its clocks show midnight for the first time, or would have. So days follow each other without a gap,
also where the clock is put back over midnight; a day that a zone left out is empty.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

DAY_S: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)
_LAST: Final = (date(9998, 1, 1) - _EPOCH).days
"""From this day on a day is one of UTC: the calendar of Python ends soon after it."""


class Day(NamedTuple):
    """[start_s, end_s), and the day's date as days since 1970-01-01."""

    start_s: int
    end_s: int
    number: int

    @property
    def date(self) -> date:
        """Its date."""
        return _EPOCH + timedelta(days=self.number)


class LocalDays:
    """The days of one zone; a name that is no IANA zone here counts as UTC."""

    def __init__(self, name: str) -> None:
        try:
            self._zone: ZoneInfo | None = None if name == "UTC" else ZoneInfo(name)
        except (ValueError, OSError, KeyError):
            self._zone = None
        self._starts: dict[int, int] = {}
        self._last = Day(0, 0, 0)

    def day(self, time_s: int) -> Day:
        """The day that holds an instant."""
        last = self._last
        if last.start_s <= time_s < last.end_s:
            return last
        number = time_s // DAY_S
        while time_s < self.start(number):
            number -= 1
        while time_s >= self.start(number + 1):
            number += 1
        self._last = found = Day(self.start(number), self.start(number + 1), number)
        return found

    def start(self, number: int) -> int:
        """When the day with that number begins."""
        found = self._starts.get(number)
        if found is None:
            found = self._starts[number] = self._start(number)
        return found

    def start_of(self, day: date) -> int:
        """When that day begins."""
        return self.start((day - _EPOCH).days)

    def _start(self, number: int) -> int:
        if self._zone is None or not 0 <= number < _LAST:
            return number * DAY_S
        day = _EPOCH + timedelta(days=number)
        # In a gap, fold 0 goes on with the offset from before it: that is the instant at which the clock jumped.
        midnight = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        since = midnight.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return since.days * DAY_S + since.seconds


@cache
def local_days(name: str) -> LocalDays:
    """The days of a zone, the same object for the same name."""
    return LocalDays(name)
