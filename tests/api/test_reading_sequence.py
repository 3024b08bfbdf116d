from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.api.reading_sequence import split_readings
from wattseal.core.reading import assemble, parse_envelope
from wattseal.core.refusal import Refusal

READINGS = st.builds(
    assemble,
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=24, max_size=600),
    st.binary(min_size=64, max_size=64),
)


@given(st.lists(READINGS, min_size=1, max_size=8))
def test_what_was_put_together_comes_apart(items: list[bytes]) -> None:
    assert split_readings(b"".join(items), 8) == items


@given(st.lists(READINGS, min_size=1, max_size=4), st.data())
def test_cut_anywhere_it_is_refused_or_ends_with_a_reading(items: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(items)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    ends = [sum(map(len, items[:count])) for count in range(1, len(items))]
    if len(cut) in ends:
        assert split_readings(cut, 8) == items[: ends.index(len(cut)) + 1]
    else:
        with pytest.raises(Refusal):
            split_readings(cut, 8)


@given(st.binary(max_size=400))
def test_anything_else_is_refused_or_parsed(data: bytes) -> None:
    """Nothing but a Refusal ever comes out, and the items are all of the data."""
    for prefix in (b"", bytes.fromhex("d28455a201260450")):
        try:
            items = split_readings(prefix + data, 100)
        except Refusal:
            continue
        assert b"".join(items) == prefix + data


def test_the_place_is_named() -> None:
    one = assemble(bytes(16), bytes(30), bytes(64))
    for bad, place in (
        (one + b"x", f"readings.1 (at byte {len(one)})"),
        (one + one[:-1], f"readings.1 (at byte {len(one)})"),
        (one[:9], "readings.0 (at byte 0)"),
        (b"", "readings"),
    ):
        with pytest.raises(Refusal) as refused:
            split_readings(bad, 9)
        assert refused.value.field == place
    with pytest.raises(Refusal, match="at most 2"):
        split_readings(one * 3, 2)


def test_a_payload_in_another_form_is_refused_later() -> None:
    """59 00 28 is no shortest form: cutting takes it, parsing refuses it."""
    one = assemble(bytes(16), bytes(40), bytes(64))
    long = one[:25] + b"\x59\x00\x28" + one[27:]
    assert split_readings(long, 1) == [long]
    with pytest.raises(Refusal):
        parse_envelope(long)
