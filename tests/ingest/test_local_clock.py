"""Local times as Unix seconds: daylight saving is decided by the order of the file, and said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.refusal import Refusal
from wattseal.core.units import parse_rfc3339
from wattseal.ingest.csv_mapping import DEFAULT_FORMAT, RFC3339, UNIX
from wattseal.ingest.local_clock import NOT_PUT_FORWARD, TWICE_FIRST, TWICE_SECOND, LocalClock

PARIS = ZoneInfo("Europe/Paris")


def utc(text: str) -> int:
    return parse_rfc3339(text, "expected")


def instants(clock: LocalClock, texts: list[str]) -> list[int]:
    found: list[int] = []
    for text in texts:
        found.append(clock.instant(text, found[-1] if found else None))
    return found


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        (DEFAULT_FORMAT, "2007-01-01 00:00:00", "2006-12-31T23:00:00Z"),
        (DEFAULT_FORMAT, "2007-07-01 00:00:00", "2007-06-30T22:00:00Z"),
        ("%Y-%m-%dT%H:%M:%S", "2007-07-01T00:00:00", "2007-06-30T22:00:00Z"),
        ("%d/%m/%Y %H:%M", "01/07/2007 00:00", "2007-06-30T22:00:00Z"),
        ("%Y-%m-%d %H:%M:%S%z", "2007-07-01 00:00:00-0600", "2007-07-01T06:00:00Z"),
        (RFC3339, "2015-11-22T00:00:00-06:00", "2015-11-22T06:00:00Z"),
        (UNIX, "1167606000", "2006-12-31T23:00:00Z"),
    ],
)
def test_forms(form: str, text: str, expected: str) -> None:
    assert LocalClock(form, "Europe/Paris").instant(text, None) == utc(expected)


def test_the_hour_that_comes_twice() -> None:
    clock = LocalClock(DEFAULT_FORMAT, "Europe/Paris")
    texts = [f"2007-10-28 {hour:02}:{minute:02}:00" for hour in (1, 2, 2, 3) for minute in (0, 30)]
    found = instants(clock, texts)
    assert found == [utc("2007-10-27T23:00:00Z") + 1_800 * place for place in range(8)]
    assert clock.decided == {TWICE_FIRST: 2, TWICE_SECOND: 2}


def test_the_hour_that_comes_twice_but_stands_there_once() -> None:
    clock = LocalClock(DEFAULT_FORMAT, "Europe/Paris")
    found = instants(clock, [f"2007-10-28 {hour:02}:00:00" for hour in (1, 2, 3)])
    assert found == [utc(f"2007-10-{time}:00:00Z") for time in ("27T23", "28T00", "28T02")]
    assert clock.decided == {TWICE_FIRST: 1}


def test_the_hour_that_does_not_exist() -> None:
    clock = LocalClock(DEFAULT_FORMAT, "Europe/Paris")
    found = instants(clock, [f"2007-03-25 {time}:00" for time in ("01:30", "02:00", "02:30")])
    assert found == [utc("2007-03-25T00:30:00Z") + 1_800 * place for place in range(3)]
    assert clock.decided == {NOT_PUT_FORWARD: 2}
    # The clock put forward says the same instants once more; whoever reads rows sees that time does not rise.
    assert clock.instant("2007-03-25 03:00:00", found[-1]) == found[1]


@given(
    start=st.integers(0, 2_000_000_000),
    steps=st.lists(st.integers(60, 7_200), max_size=40),
    zone=st.sampled_from(["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_a_clock_that_follows_its_zone_is_understood(start: int, steps: list[int], zone: str) -> None:
    times = [start]
    for step in steps:
        # A step of more than the repeated time could jump from the first pass into the second unseen.
        times.append(times[-1] + step % 1_740 + 60)
    texts = [
        (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time)).astimezone(ZoneInfo(zone)).strftime(DEFAULT_FORMAT)
        for time in times
    ]
    clock = LocalClock(DEFAULT_FORMAT, zone)
    aware = datetime.fromtimestamp(start, UTC).astimezone(ZoneInfo(zone))
    if aware.fold:
        # A file that begins in the second pass cannot be told from one that begins in the first.
        return
    assert instants(clock, texts) == times


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (DEFAULT_FORMAT, "2007-01-01T00:00:00"),
        (DEFAULT_FORMAT, "2007-W01-1 00:00:00"),
        (DEFAULT_FORMAT, "2007-01-01 00:00"),
        (DEFAULT_FORMAT, "2007-02-30 00:00:00"),
        (DEFAULT_FORMAT, "2007-01-01 24:00:00"),
        (DEFAULT_FORMAT, ""),
        (DEFAULT_FORMAT, "1969-12-31 00:00:00"),
        ("%Y-%m-%d %H:%M:%S.%f", "2007-01-01 00:00:00.5"),
        ("%d/%m/%Y", "2007-01-01"),
        (RFC3339, "2007-01-01 00:00:00"),
        (RFC3339, "2007-01-01T00:00:00"),
        (UNIX, "1167606000.5"),
        (UNIX, "-5"),
        (UNIX, "1" * 13),
        (UNIX, "١٢"),
    ],
)
def test_what_is_no_time_is_refused(form: str, text: str) -> None:
    with pytest.raises(Refusal):
        LocalClock(form, "Europe/Paris").instant(text, None)


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../../etc/passwd", "/etc/localtime", "CET\0"])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(Refusal, match="zone"):
        LocalClock(DEFAULT_FORMAT, zone)
