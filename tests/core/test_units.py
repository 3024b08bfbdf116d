from __future__ import annotations

import re
import string
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.refused import outcome, refusal_of
from tests.core.strategies import FUZZ, TIMES
from wattseal.core.refusal import Refusal
from wattseal.core.units import (
    MAX_ENERGY_MWH,
    MAX_TIME_S,
    average_power_mw,
    divide_half_even,
    identifier,
    kw_text,
    kwh_text,
    parse_decimal,
    parse_rfc3339,
    quantity,
    quote_msat,
    rfc3339,
    sats_text,
)

IN_MICRO = partial(parse_decimal, decimals=6, field="x")
AS_TIME = partial(parse_rfc3339, field="x")
AS_IDENTIFIER = partial(identifier, field="x")
ENERGIES = st.integers(0, MAX_ENERGY_MWH) | st.integers(0, 10**7)

# --- decimal text -----------------------------------------------------------------------------------------------------


@given(st.integers(-MAX_ENERGY_MWH, MAX_ENERGY_MWH))
@example(0)
@example(-1)
@example(MAX_ENERGY_MWH)
def test_decimal_text_is_what_rfc_8785_writes(units: int) -> None:
    for text, decimals in ((kwh_text(units), 6), (kw_text(units), 6), (sats_text(units), 3)):
        assert text == rfc8785.dumps(float(Decimal(units) / 10**decimals)).decode()
        assert parse_decimal(text, decimals, "x") == units


@given(st.integers(-(10**40), 10**40))
def test_decimal_text_of_any_integer_is_exact(units: int) -> None:
    assert Fraction(kwh_text(units)) == Fraction(units, 10**6)
    assert not kwh_text(units).endswith((".", ".0"))


@FUZZ
@given(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(("", "-")),
        st.integers(0, 10**17).map(str),
        st.integers(0, 10**9).map(lambda number: f".{number}") | st.just(""),
        st.integers(-99, 99).map(lambda number: f"e{number}") | st.just(""),
    ),
    st.integers(0, 9),
)
def test_a_decimal_is_exact_or_refused(text: str, decimals: int) -> None:
    exact = Fraction(text) * 10**decimals
    if exact.denominator == 1:
        assert parse_decimal(text, decimals, "x") == exact
    else:
        refusal = refusal_of(partial(parse_decimal, decimals=decimals, field="x"), text)
        assert str(refusal).startswith(f"x: is finer than {decimals} decimals")


@FUZZ
@given(st.text(st.sampled_from("0123456789+-.eE _x\n\u0661"), max_size=24) | st.text(max_size=12))
@example("1e999999999")
@example("1" * 100_000)
@example("0." + "0" * 100_000)
def test_a_text_is_a_decimal_or_refused(text: str) -> None:
    units = outcome(IN_MICRO, text)
    if isinstance(units, Refusal):
        assert units.field == "x"
    else:
        assert Fraction(text) * 10**6 == units
        assert re.fullmatch(r"[-0-9.eE+]+", text)


@pytest.mark.parametrize("value", [None, True, False, "1", b"1", [], {}, 1.5, Decimal("NaN"), Decimal("Infinity")])
def test_what_is_no_quantity(value: object) -> None:
    refusal = refusal_of(partial(quantity, decimals=6, field="x"), value)
    assert refusal.field == "x"
    assert refusal.reason.startswith("must be a")


def test_a_quantity() -> None:
    assert quantity(12, 6, "x") == 12_000_000
    assert quantity(Decimal("12.340"), 6, "x") == 12_340_000
    assert quantity(Decimal("1E+3"), 0, "x") == 1_000


# --- rounding ---------------------------------------------------------------------------------------------------------


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**15))
@example(5, 10)
@example(15, 10)
@example(-5, 10)
@example(-15, 10)
def test_division_is_half_even(numerator: int, denominator: int) -> None:
    assert divide_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(ENERGIES, st.integers(1, 366 * 86_400))
def test_average_power(energy_mwh: int, interval_s: int) -> None:
    assert average_power_mw(energy_mwh, interval_s) == round(Fraction(energy_mwh * 3_600, interval_s))


@given(ENERGIES, st.integers(0, 10**12))
def test_quote(energy_mwh: int, price: int) -> None:
    assert quote_msat(energy_mwh, price) == round(Fraction(energy_mwh * price, 10**6))


def test_the_published_example() -> None:
    assert kw_text(average_power_mw(12_340_000, 300)) == "148.08"
    assert sats_text(quote_msat(12_340_000, 100_000)) == "1234"


# --- times ------------------------------------------------------------------------------------------------------------


@given(TIMES)
@example(0)
@example(MAX_TIME_S)
def test_times_are_read_back(time_s: int) -> None:
    text = rfc3339(time_s)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    assert parse_rfc3339(text, "x") == time_s
    assert datetime.fromisoformat(text) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_s)


@given(TIMES, st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_offsets_are_taken_off(time_s: int, offset_min: int) -> None:
    local = time_s + offset_min * 60
    if not 0 <= local <= MAX_TIME_S:
        return
    sign, minutes = "-" if offset_min < 0 else "+", abs(offset_min)
    text = f"{rfc3339(local)[:-1]}{sign}{minutes // 60:02}:{minutes % 60:02}"
    assert parse_rfc3339(text, "x") == time_s


@FUZZ
@given(
    st.text(st.sampled_from("0123456789-:TZtz.+ "), max_size=30)
    | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})", fullmatch=True)
)
def test_a_text_is_a_time_or_refused(text: str) -> None:
    time_s = outcome(AS_TIME, text)
    if isinstance(time_s, Refusal):
        assert time_s.field == "x"
    else:
        assert 0 <= time_s <= MAX_TIME_S
        assert datetime.fromisoformat(text.upper()).timestamp() == time_s


@pytest.mark.parametrize("value", [None, 0, True, b"2025-12-01T00:00:00Z", ["2025-12-01T00:00:00Z"], {}])
def test_what_is_no_time(value: object) -> None:
    assert str(refusal_of(AS_TIME, value)).startswith("x: must be an RFC 3339 time")


# --- identifiers ------------------------------------------------------------------------------------------------------

FIRST = set(string.ascii_letters + string.digits)
REST = FIRST | set("._:-")


@FUZZ
@given(st.text(max_size=70) | st.text(st.sampled_from("aZ0._:-/ \n\u00e9\u0661"), max_size=70))
@example("a" * 64)
@example("a" * 65)
@example("a\n")
@example("")
def test_identifiers(text: str) -> None:
    good = 1 <= len(text) <= 64 and text[0] in FIRST and set(text) <= REST
    if good:
        assert identifier(text, "x") == text
    else:
        assert str(refusal_of(AS_IDENTIFIER, text)).startswith("x: must be 1 to 64")


@pytest.mark.parametrize("value", [None, 1, True, b"a", ["a"], {}])
def test_what_is_no_identifier(value: object) -> None:
    assert refusal_of(AS_IDENTIFIER, value).field == "x"
