from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wattseal.core.bitcoin.wire import Reader, byte_string, compact_size
from wattseal.core.refusal import Refusal


@given(st.integers(0, (1 << 64) - 1))
@example(0xFC)
@example(0xFD)
@example(0xFFFF)
@example(0x1_0000)
@example(0xFFFF_FFFF)
@example(0x1_0000_0000)
def test_compact_size_comes_back(value: int) -> None:
    raw = compact_size(value)
    reader = Reader(raw, "x")
    assert reader.compact_size() == value
    reader.finish()
    assert len(raw) == (1 if value < 0xFD else 3 if value < 1 << 16 else 5 if value < 1 << 32 else 9)


@pytest.mark.parametrize("raw", ["fdfc00", "feffff0000", "ffffffffff00000000", "fd0000"])
def test_longer_forms_are_refused(raw: str) -> None:
    with pytest.raises(Refusal, match="shortest form"):
        Reader(bytes.fromhex(raw), "x").compact_size()


@pytest.mark.parametrize("raw", ["", "fd", "fd01", "fe010203", "ff01020304050607"])
def test_cut_off_sizes_are_refused(raw: str) -> None:
    with pytest.raises(Refusal, match="ends too early"):
        Reader(bytes.fromhex(raw), "x").compact_size()


def test_a_count_is_not_believed_beyond_the_bytes_left() -> None:
    assert Reader(b"\x02" + bytes(82), "x").count(41) == 2
    with pytest.raises(Refusal, match="announces 2 items"):
        Reader(b"\x02" + bytes(81), "x").count(41)
    with pytest.raises(Refusal, match="announces 18446744073709551615 items"):
        Reader(bytes.fromhex("ffffffffffffffffff"), "x").byte_string()


def test_reading_moves_on_and_ends() -> None:
    reader = Reader(byte_string(b"abc") + b"\x01\x02", "x")
    assert reader.byte_string() == b"abc"
    assert reader.peek() == 1
    with pytest.raises(Refusal, match="2 bytes too many") as caught:
        reader.finish()
    assert caught.value.field == "x"
    assert reader.uint(2) == 0x0201
    assert reader.peek() is None
    reader.finish()
