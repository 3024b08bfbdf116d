"""Local times of a file, in its order, as Unix seconds: what daylight saving makes of them, and what was decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from wattseal.core.refusal import Refusal
from wattseal.core.units import MAX_TIME_S, parse_rfc3339
from wattseal.ingest.csv_mapping import DEFAULT_FORMAT, RFC3339, UNIX

TWICE_FIRST: Final = "hours that came twice, read as the first pass (the clock not yet put back)"
TWICE_SECOND: Final = "hours that came twice, read as the second pass (the clock put back), since the file goes on"
NOT_PUT_FORWARD: Final = "times that did not exist, read as from a clock not yet put forward"

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - local times are subtracted from it before their offset is known
_ISO_LENGTH: Final = 19


class LocalClock:
    """Turns the time texts of one column into Unix seconds and counts what it had to decide."""

    def __init__(self, form: str, zone: str) -> None:
        self.decided: Counter[str] = Counter()
        self._form = form
        self._zone = _zone(zone)
        self._read: Callable[[str, int | None], int] = self._local
        if form == RFC3339:
            self._read = lambda text, _: parse_rfc3339(text, "time")
        elif form == UNIX:
            self._read = _unix
        # datetime.fromisoformat is far faster than strptime, but takes other forms too: _parse looks at the signs.
        self._iso = form in (DEFAULT_FORMAT, "%Y-%m-%dT%H:%M:%S")
        self._separator = "T" if "T" in form else " "

    def instant(self, text: str, after: int | None) -> int:
        """Unix seconds of a time text. `after`, the last one of the column, decides between the two passes of an hour.

        Refusal for text that is no such time.
        """
        time_s = self._read(text, after)
        if not 0 <= time_s <= MAX_TIME_S:
            raise Refusal("time", "must lie between 1970 and 9999")
        return time_s

    def _local(self, text: str, after: int | None) -> int:
        naive = self._parse(text)
        since = naive - _EPOCH if naive.tzinfo is None else naive.replace(tzinfo=None) - _EPOCH
        local_s = since.days * 86_400 + since.seconds
        if naive.tzinfo is not None:
            return local_s - _seconds(naive.utcoffset())
        aware = naive.replace(tzinfo=self._zone)
        first, second = _seconds(aware.utcoffset()), _seconds(aware.replace(fold=1).utcoffset())
        if first == second:
            return local_s - first
        if first < second:
            # PEP 495: in a gap, fold 0 counts on with the offset from before it.
            self.decided[NOT_PUT_FORWARD] += 1
            return local_s - first
        if after is None or local_s - first > after:
            self.decided[TWICE_FIRST] += 1
            return local_s - first
        self.decided[TWICE_SECOND] += 1
        return local_s - second

    def _parse(self, text: str) -> datetime:
        if self._iso and (len(text) != _ISO_LENGTH or text[4::3] != f"--{self._separator}::"):
            raise Refusal("time", f"must be written as {self._form}")
        try:
            # The zone is added by the caller, who knows the fold.
            moment = datetime.fromisoformat(text) if self._iso else datetime.strptime(text, self._form)  # noqa: DTZ007
        except ValueError as error:
            raise Refusal("time", f"is no time of the form {self._form}") from error
        if moment.microsecond:
            raise Refusal("time", "must be in whole seconds")
        return moment


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise Refusal("zone", f"{name[:64]!r} is no zone of the IANA list, like Europe/Paris or UTC") from None


def _seconds(offset: timedelta | None) -> int:
    return 0 if offset is None else offset.days * 86_400 + offset.seconds


def _unix(text: str, _: int | None) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise Refusal("time", "must be Unix seconds")
    return int(text)
