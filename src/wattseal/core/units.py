"""Quantities as integers, and the only place where they become decimal text or come from it.

Energy is mWh, power mW, money msat, time Unix seconds (UTC). Decimal text is written from integers as RFC 8785 would
write the number: no exponent, no trailing zeros (docs/spec/emlog.md §1). Floats never appear.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from wattseal.core.refusal import Refusal

MWH_PER_KWH = 1_000_000
MSAT_PER_SAT = 1_000
SECONDS_PER_HOUR = 3_600

MAX_REGISTER_MWH = 2**53 - 1
MAX_ENERGY_MWH = 10**15 - 1
"""15 significant digits: every JSON parser reads such a number back exactly (docs/spec/emlog.md §1)."""
MAX_TIME_S = 253_402_300_799
"""9999-12-31T23:59:59Z, the last instant that RFC 3339 can write with four digits."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII)
_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]{0,17})(?:\.([0-9]{1,18}))?(?:[eE]([+-]?[0-9]{1,2}))?", re.ASCII)
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.0{1,9})?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)


def identifier(value: object, field: str) -> str:
    """Return value if it is an identifier (docs/spec/reading.md §2.1), else raise Refusal naming the field."""
    if isinstance(value, str) and _IDENTIFIER.fullmatch(value):
        return value
    raise Refusal(field, "must be 1 to 64 of A-Z a-z 0-9 . _ : - and start with a letter or digit")


def _plain(units: int, decimals: int) -> str:
    sign, magnitude = ("-", -units) if units < 0 else ("", units)
    whole, rest = divmod(magnitude, 10**decimals)
    if not rest:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{rest:0{decimals}d}".rstrip("0")


def kwh_text(energy_mwh: int) -> str:
    """Decimal kWh of an energy in mWh: 12340000 → "12.34"."""
    return _plain(energy_mwh, 6)


def kw_text(power_mw: int) -> str:
    """Decimal kW of a power in mW."""
    return _plain(power_mw, 6)


def sats_text(amount_msat: int) -> str:
    """Decimal sats of an amount in msat: 1234000 → "1234"."""
    return _plain(amount_msat, 3)


def parse_decimal(text: str, decimals: int, field: str) -> int:
    """Integer number of 10^-decimals units in decimal text; Refusal if the text is finer than that or no number.

    Finer text is refused rather than rounded: whoever knows more digits must say which unit it was
    (docs/spec/emlog.md §6).
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise Refusal(field, "must be a decimal number of at most 18 digits")
    sign, whole, fraction, exponent = match.groups()
    digits = whole + (fraction or "")
    shift = decimals - len(fraction or "") + int(exponent or "0")
    value = int(digits)
    if shift >= 0:
        value *= int(10**shift)
    else:
        value, rest = divmod(value, int(10**-shift))
        if rest:
            raise Refusal(field, f"is finer than {decimals} decimals; round it at the source, where it is known how")
    return -value if sign else value


def quantity(value: object, decimals: int, field: str) -> int:
    """Integer number of 10^-decimals units in a JSON number as `jcs.loads` gives it; Refusal if finer or no number."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Refusal(field, "must be a number")
    return parse_decimal(str(value), decimals, field)


def divide_half_even(numerator: int, denominator: int) -> int:
    """numerator ÷ denominator, rounded to the nearest integer, ties to even. The denominator is positive."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


def average_power_mw(energy_mwh: int, interval_s: int) -> int:
    """Average power in mW of an energy in mWh over interval_s > 0 seconds, half-even."""
    return divide_half_even(energy_mwh * SECONDS_PER_HOUR, interval_s)


def quote_msat(energy_mwh: int, price_msat_per_kwh: int) -> int:
    """Amount in msat of an energy at a price, half-even (docs/spec/emlog.md §4)."""
    return divide_half_even(energy_mwh * price_msat_per_kwh, MWH_PER_KWH)


@lru_cache(maxsize=65_536)
def rfc3339(time_s: int) -> str:
    """`YYYY-MM-DDThh:mm:ssZ` of a Unix time from 0 to MAX_TIME_S."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: object, field: str) -> int:
    """Unix seconds of an RFC 3339 time with zone; fractions of a second other than zero are refused."""
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise Refusal(field, "must be an RFC 3339 time in whole seconds with a zone, like 2026-01-31T12:00:00Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise Refusal(field, f"is no real time: {error}") from error
    elapsed = moment - _EPOCH
    time_s = elapsed.days * 86_400 + elapsed.seconds
    sign, offset_h, offset_m = match.groups()[6:]
    if sign:
        if int(offset_h) > 23 or int(offset_m) > 59:
            raise Refusal(field, "has an impossible zone offset")
        offset_s = int(offset_h) * 3_600 + int(offset_m) * 60
        time_s += -offset_s if sign == "+" else offset_s
    if not 0 <= time_s <= MAX_TIME_S:
        raise Refusal(field, "must lie between 1970 and 9999")
    return time_s


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_within_rating(energy_mwh: int, rated_mw: int, seconds: int) -> bool:
    """Whether a meter of that rated power may have counted so much: with 10 % and 1 Wh to spare (reading.md §4.2)."""
    # energy <= rated x seconds / 3600 x 11 / 10 + 1 Wh, without a division.
    return (energy_mwh - 1_000) * 36_000 <= rated_mw * seconds * 11
