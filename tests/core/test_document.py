from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.refused import outcome, refusal_of
from tests.core.strategies import FUZZ, identifiers, json_values, texts
from wattseal.core import jcs
from wattseal.core.document import MAX_BODY_BYTES, Members, parse_document, schema_of
from wattseal.core.refusal import Refusal
from wattseal.core.units import rfc3339

Take = Callable[[Members], object]

TAKES: dict[str, Take] = {
    "text": lambda members: members.text("x", 5),
    "optional_text": lambda members: members.optional_text("x", 5),
    "one_of": lambda members: members.one_of("x", ("red", "green")),
    "identifier": lambda members: members.identifier("x"),
    "integer": lambda members: members.integer("x", -1, 9),
    "boolean": lambda members: members.boolean("x"),
    "decimal": lambda members: members.decimal("x", 3),
    "optional_decimal": lambda members: members.optional_decimal("x", 3),
    "hex": lambda members: members.hex("x", 2),
    "any hex": lambda members: members.hex("x"),
    "optional_hex": lambda members: members.optional_hex("x", 2),
    "time": lambda members: members.time("x"),
    "optional_time": lambda members: members.optional_time("x"),
    "list": lambda members: members.list("x", 2),
}
GOOD: dict[str, list[tuple[jcs.Json, object]]] = {
    "text": [("", ""), ("abcde", "abcde"), ("\U0001f600" * 5, "\U0001f600" * 5)],
    "optional_text": [(None, None), ("", ""), ("abc", "abc")],
    "one_of": [("red", "red"), ("green", "green")],
    "identifier": [("a", "a"), ("A-1:b.c_d", "A-1:b.c_d")],
    "integer": [(-1, -1), (0, 0), (9, 9)],
    "boolean": [(True, True), (False, False)],
    "decimal": [(0, 0), (12, 12_000), (Decimal("0.001"), 1), (Decimal("1.5000"), 1_500)],
    "optional_decimal": [(None, None), (0, 0), (Decimal("0.5"), 500)],
    "hex": [("00ff", b"\x00\xff")],
    "any hex": [("00", b"\x00"), ("ab" * 64, b"\xab" * 64)],
    "optional_hex": [(None, None), ("0102", b"\x01\x02")],
    "time": [("1970-01-01T00:00:00Z", 0), ("1970-01-01T01:00:00+01:00", 0)],
    "optional_time": [(None, None), ("1970-01-01T00:00:01Z", 1)],
    "list": [([], []), ([1, "a"], [1, "a"])],
}
NO_TEXT: list[jcs.Json] = [True, 1, Decimal("0.5"), [], ["a"], {}]
NO_NUMBER: list[jcs.Json] = [True, "1", "", [], [1], {}, Decimal("NaN"), Decimal("Infinity")]
NO_HEX: list[jcs.Json] = [*NO_TEXT, "", "0", "00f", "00FF", "0x00", "00ff00", "\u0660\u0660", "00ff\n"]
NO_TIME: list[jcs.Json] = [*NO_TEXT, "", "1970-01-01", "1970-01-01T00:00:00", "1969-12-31T23:59:59Z"]
BAD: dict[str, list[jcs.Json]] = {
    "text": [*NO_TEXT, None, "abcdef"],
    "optional_text": [*NO_TEXT, "abcdef"],
    "one_of": [*NO_TEXT, None, "", "RED", "red\n", "blue"],
    "identifier": [*NO_TEXT, None, "", "a/b", "red\n", "\u0660", "a" * 65],
    "integer": [None, *NO_NUMBER, -2, 10, 2**60, Decimal(1), Decimal("0.5")],
    "boolean": [None, 0, 1, "true", [], {}, Decimal(1)],
    "decimal": [None, *NO_NUMBER, -1, Decimal("-0.5"), Decimal("0.0001"), Decimal("1E+999999999")],
    "optional_decimal": [*NO_NUMBER, -1, Decimal("0.0001"), Decimal("1E+999999999")],
    "hex": [*NO_HEX, None],
    "any hex": [*(value for value in NO_HEX if value != "00ff00"), None, "ab" * 65],
    "optional_hex": NO_HEX,
    "time": [*NO_TIME, None],
    "optional_time": NO_TIME,
    "list": [None, True, 1, "", {}, [1, 2, 3]],
}


@pytest.mark.parametrize("name", TAKES)
def test_members_are_taken_by_type(name: str) -> None:
    for value, taken in GOOD[name]:
        members = Members({"x": value})
        found = TAKES[name](members)
        assert (found, type(found)) == (taken, type(taken))
        members.done()
    for value in BAD[name]:
        refusal = refusal_of(TAKES[name], Members({"x": value}))
        assert (refusal.field, bool(refusal.reason)) == ("x", True), value
        assert refusal_of(TAKES[name], Members({"x": value}, "tx")).field == "tx.x"
    assert str(refusal_of(TAKES[name], Members({"y": 1}))) == "x: is missing"


@FUZZ
@given(st.sampled_from(sorted(TAKES)), json_values)
def test_any_value_is_taken_or_refused(name: str, value: jcs.Json) -> None:
    found = outcome(TAKES[name], Members({"x": value}))
    if isinstance(found, Refusal):
        assert found.field == "x"


@pytest.mark.parametrize("value", [None, 1, "a", [], True])
def test_only_objects_have_members(value: jcs.Json) -> None:
    assert str(refusal_of(Members, value)) == "document: must be a JSON object"
    assert refusal_of(lambda value: Members(value, "tx"), value).field == "tx"


def test_what_nobody_took_is_refused() -> None:
    members = Members({"b": 1, "a": 2}, "tx")
    members.any("b")
    with pytest.raises(Refusal) as caught:
        members.done()
    assert str(caught.value) == "tx.a: is no member here"
    members.any("a")
    members.done()
    with pytest.raises(Refusal, match="is missing"):
        members.any("a")


def test_a_long_name_is_cut_in_a_refusal() -> None:
    with pytest.raises(Refusal) as caught:
        Members({"n" * 100_000: 1}).done()
    assert len(caught.value.field) == 64


# --- documents --------------------------------------------------------------------------------------------------------


def document(data: bytes) -> Members:
    return parse_document(data, "test-1")


@given(st.dictionaries(texts, json_values, max_size=5))
def test_a_canonical_document_is_read(value: dict[str, Any]) -> None:
    data = jcs.dumps({**value, "schema_version": "test-1"})
    members = document(data)
    for name, item in value.items():
        if name != "schema_version":
            assert members.any(name) == item
    members.done()
    assert schema_of(data) == "test-1"


@FUZZ
@given(st.dictionaries(identifiers, json_values, max_size=3), st.data())
def test_a_changed_byte_is_refused_or_another_document(value: dict[str, Any], data: st.DataObject) -> None:
    body = bytearray(jcs.dumps({**value, "schema_version": "test-1"}))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    found = outcome(document, bytes(body))
    if not isinstance(found, Refusal):
        assert jcs.dumps({**found._rest, "schema_version": "test-1"}) == body


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b'{"schema_version":"test-2"}', "schema_version: must be test-1"),
        (b'{"schema_version":null}', "schema_version: must be test-1"),
        (b'{"schema_version":["test-1"]}', "schema_version: must be test-1"),
        (b"{}", "schema_version: is missing"),
        (b"[]", "document: must be a JSON object"),
        (b'{"schema_version": "test-1"}', "document: is not in canonical form (RFC 8785)"),
        (b'{"schema_version":"test-1"}\n', "document: is not in canonical form (RFC 8785)"),
        (b'{"a":1.0,"schema_version":"test-1"}', "document: is not in canonical form (RFC 8785)"),
        (b'{"schema_version":"test-1","a":1}', "document: is not in canonical form (RFC 8785)"),
        (b'{"a":1e9999,"schema_version":"test-1"}', "json: 1E+9999 would need an exponent"),
        (b" " * (MAX_BODY_BYTES + 1), "json: is longer than 65536 bytes"),
    ],
)
def test_documents_that_are_refused(data: bytes, refusal: str) -> None:
    assert str(refusal_of(document, data)) == refusal


def test_times_of_documents_have_one_spelling() -> None:
    def time_of(text: str) -> int:
        return document(jcs.dumps({"at": text, "schema_version": "test-1"})).time("at")

    assert time_of(rfc3339(1_764_547_200)) == 1_764_547_200
    for text in ("2025-12-01T01:00:00+01:00", "2025-12-01t00:00:00z", "2025-12-01T00:00:00.0Z"):
        assert str(refusal_of(time_of, text)) == "at: must be written 2025-12-01T00:00:00Z"
    assert refusal_of(time_of, "2025-12-01").field == "at"


@pytest.mark.parametrize("data", [b"{}", b"[]", b'{"schema_version":1}', b'{"schema_version":null}'])
def test_a_document_without_a_schema(data: bytes) -> None:
    assert str(refusal_of(schema_of, data)) == "schema_version: is missing"
