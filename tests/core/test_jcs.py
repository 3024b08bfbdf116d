from __future__ import annotations

import json
import time
from decimal import Context, Decimal, localcontext
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.refused import outcome, refusal_of
from tests.core.strategies import FUZZ, decimals, json_values, texts
from wattseal.core.jcs import MAX_DEPTH, Json, dumps, first_difference, loads, text
from wattseal.core.refusal import Refusal

MOST = 10**7


def read(data: bytes) -> Json:
    return loads(data, MOST)


def as_floats(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value as other parsers have it: a number with a point is a double."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: as_floats(item) for name, item in value.items()}
    return [as_floats(item) for item in value] if isinstance(value, list) else value


# --- writing ----------------------------------------------------------------------------------------------------------


@given(json_values)
def test_rfc8785_writes_the_same(value: Json) -> None:
    assert dumps(value) == rfc8785.dumps(as_floats(value))


@given(json_values)
def test_what_is_written_is_read_back(value: Json) -> None:
    assert read(dumps(value)) == value
    assert dumps(read(dumps(value))) == dumps(value)


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("".join(map(chr, range(0x300))))
@example("\u2028\u2029\ufeff\ufffe\U0010ffff")
def test_rfc8785_writes_the_same_texts(value: str) -> None:
    assert text(value).encode() == rfc8785.dumps(value)


@given(
    st.dictionaries(
        st.text(st.sampled_from("a\u007f\u0080\u00f6\u20ac\ufb33\U0001f600\U00010000"), max_size=3), st.none()
    )
)
def test_members_are_sorted_by_utf_16(value: dict[str, None]) -> None:
    assert dumps(value) == rfc8785.dumps(value)


def test_the_example_of_the_sorting_rule() -> None:
    """RFC 8785 §3.2.3."""
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    written = json.loads(dumps(dict.fromkeys(names, None)))
    assert list(written) == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Decimal(0), "0"),
        (Decimal("-0"), "0"),
        (Decimal("0E-99999"), "0"),
        (Decimal("12.3400"), "12.34"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-6"), "0.000001"),
        (Decimal("-0.5"), "-0.5"),
        (Decimal("123456789012345E+6"), "123456789012345000000"),
        (Decimal("1.00000000000000000000000000000000000000"), "1"),
        (Decimal("123456789.012345000000000000000000000000"), "123456789.012345"),
        (2**53 - 1, "9007199254740991"),
        (True, "true"),
    ],
)
def test_numbers(value: Json, written: str) -> None:
    assert dumps(value).decode() == written


@pytest.mark.parametrize(
    "value",
    [
        Decimal("1E+21"),
        Decimal("1E-7"),
        Decimal("1E+999999999"),
        Decimal("1E-999999999"),
        Decimal("NaN"),
        Decimal("-Infinity"),
        Decimal("1.234567890123456"),
        Decimal("0." + "3" * 40),
        2**53,
        -(2**53),
        "\ud800",
        {"\udc00": 1},
        ["\ud800\u0041"],
    ],
    ids=str,
)
def test_what_is_not_written(value: Json) -> None:
    assert refusal_of(dumps, value).field == "json"
    assert refusal_of(dumps, {"a": [value]}).field == "json"


def test_what_is_nested_too_deeply_is_not_written() -> None:
    value: Json = None
    for _ in range(100_000):
        value = [value]
    assert refusal_of(dumps, value).reason == "is nested more than 32 deep"


@given(decimals)
def test_numbers_do_not_depend_on_the_decimal_context(value: Decimal) -> None:
    written = dumps(value)
    with localcontext(Context(prec=3, Emax=5, Emin=-5)):
        assert dumps(value) == written


# --- reading ----------------------------------------------------------------------------------------------------------


@FUZZ
@given(st.binary(max_size=60) | st.text(st.sampled_from('{}[]",:0123456789eE+-.\\untrfals x\u00e9')).map(str.encode))
@example(b'{"a":1,"a":1}')
@example(b"1e99999999999999999999")
@example(b"-1E-99999999999999999999")
@example(b'"\\ud800"')
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
def test_any_bytes_are_read_as_others_read_them_or_refused(data: bytes) -> None:
    value = outcome(read, data)
    if isinstance(value, Refusal):
        assert str(value).isprintable()
        return
    assert as_floats(value) == json.loads(data)
    written = outcome(dumps, value)
    if not isinstance(written, Refusal):
        assert read(written) == value


@pytest.mark.parametrize(
    ("data", "field", "reason"),
    [
        (b"NaN", "json", "NaN is not JSON"),
        (b"[-Infinity]", "json", "-Infinity is not JSON"),
        (b'{"a":1,"b":2,"a":1}', "a", "is given twice"),
        (b'[{"x":{"a":1,"a":null}}]', "a", "is given twice"),
        (b'{"a":1,"\\u0061":1}', "a", "is given twice"),
        (b"12345678901234567890", "json", "an integer has more than 16 digits"),
        (b"1" * 5_000, "json", "an integer has more than 16 digits"),
        (b"0." + b"1" * 40, "json", "a number is longer than 40 characters"),
        (b"1e99999999999999999999", "json", "a number has an exponent beyond all measure"),
        (b"\xff", "json", "is not UTF-8"),
        (b'"\xed\xa0\x80"', "json", "is not UTF-8"),
        (b'"\\ud800"', "json", "a text holds half of a surrogate pair"),
        (b'"\\uDFFF\\uD800"', "json", "a text holds half of a surrogate pair"),
        (b'{"\\ud800":1}', "json", "a text holds half of a surrogate pair"),
        (b'{"a":[{"b":"\\ud800"}]}', "json", "a text holds half of a surrogate pair"),
        (b'{"\\ud800":1,"\\ud800":1}', "?", "is given twice"),
    ],
)
def test_what_is_not_read(data: bytes, field: str, reason: str) -> None:
    refusal = refusal_of(read, data)
    assert (refusal.field, refusal.reason) == (field, reason)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1,]", b"01", b"+1", b"1.", b".5", b"'a'", b"{}{}", b"\xef\xbb\xbf{}", b'"\n"']
)
def test_what_is_no_json(data: bytes) -> None:
    assert str(refusal_of(read, data)).startswith("json: is not JSON: ")


def test_pairs_of_surrogates_are_one_sign() -> None:
    assert read(b'"\\ud83d\\ude00 \\\\ud800"') == "\U0001f600 \\ud800"


def test_a_length_is_checked_before_anything_else() -> None:
    assert loads(b"[1]", 3) == [1]
    assert refusal_of(lambda data: loads(data, 2), b"[1]").reason == "is longer than 2 bytes"


@pytest.mark.parametrize(("start", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_the_depth_is_bounded_and_not_by_the_interpreter(start: bytes, end: bytes) -> None:
    inner = b"1" if end == b"}" else b""
    assert dumps(read(start * MAX_DEPTH + inner + end * MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 500, 5_000):
        assert refusal_of(read, start * depth + inner + end * depth).reason == "is nested more than 32 deep"


def test_many_values_that_are_not_deep_are_read() -> None:
    assert read(b"[" + b"[],{}," * 50_000 + b"1]")


def test_many_members_with_one_twice_are_refused_at_once() -> None:
    """Comparing each name with each would take minutes."""
    data = "{" + ",".join(f'"{number}":0' for number in range(60_000)) + ',"59999":0}'
    begun = time.monotonic()
    assert refusal_of(read, data.encode()).field == "59999"
    assert time.monotonic() - begun < 10


def test_a_long_name_is_cut_in_a_refusal() -> None:
    name = "n" * 100_000
    assert len(refusal_of(read, f'{{"{name}":1,"{name}":1}}'.encode()).field) == 64


# --- differences ------------------------------------------------------------------------------------------------------


@given(json_values, json_values)
@example([[0]], [[False]])
def test_nothing_differs_where_the_canonical_forms_are_equal(said: Json, right: Json) -> None:
    assert first_difference(said, said) is None
    assert (first_difference(said, right) is None) is (dumps(said) == dumps(right))


@pytest.mark.parametrize(
    ("said", "right", "difference"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ("b", "2", "3")),
        ({"a": {"x": 1}}, {"a": {"x": True}}, ("a.x", "1", "true")),
        ({"a": 1}, {}, ("a", "1", "absent")),
        ({}, {"a": {"b": None}}, ("a", "absent", '{"b":null}')),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2}, ("a", "1", "2")),
        ([1, [2]], [1, [3]], ("1.0", "2", "3")),
        ({"a": [0]}, {"a": [False]}, ("a.0", "0", "false")),
        ([1], [1, 1], ("", "[1]", "[1,1]")),
        ({"a": Decimal("1E+99")}, {"a": 1}, ("a", "1E+99", "1")),
        ({"a": Decimal("1.0")}, {"a": 1}, None),
    ],
)
def test_first_difference(said: Json, right: Json, difference: tuple[str, str, str] | None) -> None:
    assert first_difference(said, right) == difference


@given(texts)
def test_a_text_differs_from_its_copy_in_nothing(value: str) -> None:
    assert first_difference({"a": [value]}, {"a": [value]}) is None
