"""Local days: 23, 25 and 24½ hours, midnights that do not exist or come twice, and days that a zone left out."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.units import MAX_TIME_S
from wattseal.log.local_day import DAY_S, LocalDays

HOUR_S = 3_600


def utc(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]  # year, month, day, …


@pytest.mark.parametrize(
    ("zone", "day", "start_s", "length_s"),
    [
        ("UTC", date(2026, 3, 29), utc(2026, 3, 29), DAY_S),
        ("Europe/Zurich", date(2026, 3, 29), utc(2026, 3, 28, 23), 23 * HOUR_S),
        ("Europe/Zurich", date(2026, 3, 30), utc(2026, 3, 29, 22), DAY_S),
        ("Europe/Zurich", date(2026, 10, 25), utc(2026, 10, 24, 22), 25 * HOUR_S),
        ("Asia/Kolkata", date(2026, 3, 29), utc(2026, 3, 28, 18, 30), DAY_S),
        ("Australia/Lord_Howe", date(2026, 4, 5), utc(2026, 4, 4, 13), 24 * HOUR_S + 1_800),
        ("Australia/Lord_Howe", date(2026, 10, 4), utc(2026, 10, 3, 13, 30), 23 * HOUR_S + 1_800),
        ("America/Sao_Paulo", date(2018, 11, 4), utc(2018, 11, 4, 3), 23 * HOUR_S),  # there was no midnight
        ("America/Havana", date(2025, 11, 2), utc(2025, 11, 2, 4), 25 * HOUR_S),  # it came twice
        ("Pacific/Apia", date(2011, 12, 31), utc(2011, 12, 30, 10), DAY_S),  # and no 30th before it
        ("Not/AZone", date(2026, 3, 29), utc(2026, 3, 29), DAY_S),
        ("../../etc/passwd", date(2026, 3, 29), utc(2026, 3, 29), DAY_S),
    ],
)
def test_days(zone: str, day: date, start_s: int, length_s: int) -> None:
    days = LocalDays(zone)
    for time_s in (start_s, start_s + length_s // 2, start_s + length_s - 1):
        found = days.day(time_s)
        assert (found.date, found.start_s, found.end_s - found.start_s) == (day, start_s, length_s)
    assert days.day(start_s - 1).end_s == start_s
    assert days.day(start_s + length_s).start_s == start_s + length_s
    assert days.start_of(day) == start_s


@given(
    zone=st.sampled_from(["Europe/Zurich", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Gaza"]),
    time_s=st.integers(utc(1990, 1, 1), utc(2037, 1, 1)),
)
def test_an_instant_lies_in_the_day_that_its_clocks_show(zone: str, time_s: int) -> None:
    found = LocalDays(zone).day(time_s)
    assert found.start_s <= time_s < found.end_s
    assert found.date == datetime.fromtimestamp(time_s, ZoneInfo(zone)).date()


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
@pytest.mark.parametrize("time_s", [0, MAX_TIME_S])
def test_the_ends_of_time(zone: str, time_s: int) -> None:
    found = LocalDays(zone).day(time_s)
    assert found.start_s <= time_s < found.end_s
