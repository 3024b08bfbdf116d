"""The numbers of vectors/emlog.json: decimal text, times, and what is rounded."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from tests.core.refused import refused
from wattseal.core.units import (
    MAX_ENERGY_MWH,
    average_power_mw,
    divide_half_even,
    kwh_text,
    parse_decimal,
    parse_rfc3339,
    quote_msat,
    sats_text,
)

TIMES: Final = (
    "1970-01-01T00:00:00Z",
    "2025-12-01T00:00:00Z",
    "2024-02-29T23:59:59Z",
    "9999-12-31T23:59:59Z",
    "2025-12-01T01:00:00+01:00",
    "2025-11-30T18:30:00-05:30",
    "2025-12-01t00:00:00z",
    "2025-12-01T00:00:00.000Z",
)
BAD_TIMES: Final = (
    "2025-12-01T00:00:00",
    "2025-12-01T00:00:00.5Z",
    "2025-12-01",
    "2025-12-01T00:00Z",
    "2025-13-01T00:00:00Z",
    "2025-02-29T00:00:00Z",
    "2025-12-01T24:00:00Z",
    "2016-12-31T23:59:60Z",
    "2025-12-01T00:00:00+24:00",
    "2025-12-01T00:00:00+00:60",
    "1970-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "0000-01-01T00:00:00Z",
    "2025-12-01T00:00:00 Z",
    "",
)
DECIMALS: Final = (
    ("12.34", 6),
    ("0", 6),
    ("-0", 6),
    ("-1.5", 3),
    ("1e3", 6),
    ("1E-6", 6),
    ("1.0000000", 6),
    ("999999999999999", 0),
    ("0.000001", 6),
    ("12e-1", 3),
    ("1.5e1", 0),
)
BAD_DECIMALS: Final = (
    ("0.0000001", 6),
    ("1.2345", 3),
    ("", 6),
    (".5", 6),
    ("5.", 6),
    ("+1", 6),
    ("01", 6),
    ("1e100", 6),
    ("1_000", 6),
    ("0x10", 6),
    ("NaN", 6),
    ("\u0661", 6),
    (" 1", 6),
    ("1234567890123456789", 0),
)
DIVISIONS: Final = (
    (0, 1),
    (1, 2),
    (3, 2),
    (5, 2),
    (-1, 2),
    (-3, 2),
    (7, 3),
    (8, 3),
    (10**30 + 5, 10),
    (10**30 + 15, 10),
)


def numbers() -> dict[str, Any]:
    """The member `numbers`: what integers look like as text, and how they round."""
    return {
        "kwh": [
            {"mwh": mwh, "text": kwh_text(mwh)} for mwh in (0, 1, 10, 1_000_000, 12_340_000, 999_999, MAX_ENERGY_MWH)
        ],
        "sats": [{"msat": msat, "text": sats_text(msat)} for msat in (0, 1, 999, 1_000, 1_234_500, -1_500, 10**15 - 1)],
        "power": [
            {"energy_mwh": energy, "interval_s": interval, "power_mw": average_power_mw(energy, interval)}
            for energy, interval in ((12_340_000, 300), (1, 7_200), (3, 7_200), (MAX_ENERGY_MWH, 3_600), (7, 86_399))
        ],
        "quotes": [
            {"energy_mwh": energy, "price_msat_per_kwh": price, "amount_msat": quote_msat(energy, price)}
            for energy, price in (
                (12_340_000, 100_000),
                (500_000, 1),
                (1_500_000, 1),
                (123_456, 98_765),
                (999_999_999, 10**12),
            )
        ],
        "half_even": [
            {"numerator": str(top), "denominator": str(bottom), "quotient": str(divide_half_even(top, bottom))}
            for top, bottom in DIVISIONS
        ],
        "decimals": [
            {"text": text, "decimals": most, "units": parse_decimal(text, most, "text")} for text, most in DECIMALS
        ],
        "bad_decimals": [
            {"text": text, "decimals": most, **refused(partial(parse_decimal, decimals=most, field="text"), text)}
            for text, most in BAD_DECIMALS
        ],
        "times": [{"text": text, "time_s": parse_rfc3339(text, "text")} for text in TIMES],
        "bad_times": [{"text": text, **refused(partial(parse_rfc3339, field="text"), text)} for text in BAD_TIMES],
    }
