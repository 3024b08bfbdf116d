from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.refused import outcome, refusal_of
from tests.core.strategies import FUZZ, texts
from wattseal.core.cbor import Encodable, Value, decode, encode
from wattseal.core.refusal import Refusal

INTEGERS = st.integers(-(2**64), 2**64 - 1) | st.integers(-300, 300)
LEAVES = INTEGERS | st.binary(max_size=300) | texts
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=30) | st.dictionaries(INTEGERS, inner, max_size=30), max_leaves=20
)


def depth(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 0


def reason_of(data: bytes) -> str:
    refusal = refusal_of(decode, data)
    assert refusal.field == "cbor"
    return refusal.reason


@given(VALUES)
def test_what_is_written_is_read_back(value: Value) -> None:
    data = encode(value)
    if depth(value) > 4:
        assert reason_of(data) == "is nested too deeply"
    else:
        assert decode(data) == value
        assert encode(decode(data)) == data


@given(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=30), max_leaves=20))
def test_cbor2_writes_the_same(value: Value) -> None:
    assert encode(value) == cbor2.dumps(value, canonical=True)


@given(st.dictionaries(st.integers(0, 2**64 - 1), LEAVES, max_size=30))
def test_cbor2_sorts_the_same(value: dict[int, Value]) -> None:
    assert encode(value) == cbor2.dumps(value, canonical=True)


@given(st.dictionaries(INTEGERS, st.integers(0, 23), max_size=30))
def test_keys_are_in_the_order_of_their_bytes(value: dict[int, int]) -> None:
    """RFC 8949 §4.2.1, unlike the older rule of RFC 7049 §3.9, by which a shorter key comes first."""
    keys = sorted(cbor2.dumps(key) for key in value)
    head = cbor2.dumps([0] * len(value))[: len(cbor2.dumps([0] * len(value))) - len(value)]
    items = b"".join(key + cbor2.dumps(value[cbor2.loads(key)]) for key in keys)
    assert encode(value) == bytes((head[0] + 0x20,)) + head[1:] + items
    assert decode(encode(value)) == value


@FUZZ
@given(st.binary(max_size=60))
@example(b"")
@example(b"\xbb" + b"\xff" * 8)
@example(b"\x9b" + b"\x7f" * 8)
@example(b"\x5b" + b"\xff" * 8)
@example(b"\x81" * 100_000)
def test_any_bytes_are_one_value_in_one_form_or_refused(data: bytes) -> None:
    value = outcome(decode, data)
    if isinstance(value, Refusal):
        assert value.field == "cbor"
    else:
        assert encode(value) == data
        assert cbor2.loads(data) == value


@FUZZ
@given(VALUES.filter(lambda value: depth(value) < 4), st.data())
def test_a_changed_byte_is_refused_or_another_value(value: Value, data: st.DataObject) -> None:
    encoded = bytearray(encode(value))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    other = outcome(decode, bytes(encoded))
    assert isinstance(other, Refusal) or encode(other) == encoded


@pytest.mark.parametrize("value", [2**64, -(2**64) - 1, True, False, "\ud800", {True: 1}, {1: "\udfff"}, [False]])
def test_what_is_not_written(value: Encodable) -> None:
    assert refusal_of(encode, value).field == "cbor"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is cut short"),
        (b"\x18", "is cut short"),
        (b"\x19\x01", "is cut short"),
        (b"\x42\x00", "is cut short"),
        (b"\x82\x00", "is cut short"),
        (b"\xa1\x00", "is cut short"),
        (b"\x00\x00", "has 1 bytes after its end"),
        (b"\x18\x17", "an unsigned integer is not in its shortest form"),
        (b"\x19\x00\xff", "an unsigned integer is not in its shortest form"),
        (b"\x1a\x00\x00\xff\xff", "an unsigned integer is not in its shortest form"),
        (b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff", "an unsigned integer is not in its shortest form"),
        (b"\x38\x17", "a negative integer is not in its shortest form"),
        (b"\x58\x00", "a byte string is not in its shortest form"),
        (b"\x78\x00", "a text string is not in its shortest form"),
        (b"\x98\x00", "an array is not in its shortest form"),
        (b"\xb8\x00", "a map is not in its shortest form"),
        (b"\x1c", "an unsigned integer of indefinite or reserved length is not deterministic"),
        (b"\x5f\xff", "a byte string of indefinite or reserved length is not deterministic"),
        (b"\x9f\xff", "an array of indefinite or reserved length is not deterministic"),
        (b"\xbf\xff", "a map of indefinite or reserved length is not deterministic"),
        (b"\xc0\x00", "a tag is not part of this subset"),
        (b"\xd8\x12", "a tag is not part of this subset"),
        (b"\xf4", "a float or simple value is not part of this subset"),
        (b"\xf9\x3c\x00", "a float or simple value is not part of this subset"),
        (b"\xff", "a float or simple value is not part of this subset"),
        (b"\x61\xff", "a text string is not UTF-8"),
        (b"\x63\xed\xa0\x80", "a text string is not UTF-8"),
        (b"\xa1\x60\x00", "a map key is no integer"),
        (b"\xa2\x01\x00\x01\x00", "map key 1 is repeated or out of order"),
        (b"\xa2\x02\x00\x01\x00", "map key 1 is repeated or out of order"),
        (b"\xa2\x20\x00\x01\x00", "map key 1 is repeated or out of order"),
        (b"\x81\x81\x81\x81\x80", "is nested too deeply"),
    ],
)
def test_what_is_not_read(data: bytes, reason: str) -> None:
    assert reason_of(data) == reason


def test_a_length_allocates_nothing() -> None:
    """A count of 2^63 is refused before room is made for it."""
    import tracemalloc

    tracemalloc.start()
    for head in (b"\x9b", b"\xbb", b"\x5b", b"\x7b"):
        assert reason_of(head + (2**62).to_bytes(8, "big")) == "is cut short"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000
