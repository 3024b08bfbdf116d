from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core import second_opinion
from tests.core.refused import refusal_of
from tests.core.strategies import HASHES
from wattseal.core.entry import (
    EMPTY_SLOTS,
    NOTHING,
    PUBLIC,
    Salts,
    Slots,
    commit_body,
    commit_reading,
    derive_salts,
    entry_hash,
)

IDS = st.binary(min_size=16, max_size=16)
SALTS = st.builds(Salts, HASHES, HASHES, HASHES)
SLOTS = st.builds(Slots, HASHES, HASHES)
BODIES = st.binary(max_size=200)


def hexes(*values: bytes) -> list[str]:
    return [value.hex() for value in values]


@given(SALTS, BODIES, SLOTS)
def test_an_entry_written_out(salts: Salts, body: bytes, slots: Slots) -> None:
    expected = second_opinion.entry(hexes(salts.entry, salts.body, salts.reading), body, hexes(slots.start, slots.end))
    assert entry_hash(salts, body, slots) == expected
    assert commit_body(salts.body, body) == hashlib.sha256(salts.body + body).digest()
    assert commit_reading(salts.reading, slots) == hashlib.sha256(salts.reading + slots.start + slots.end).digest()


@given(SALTS, BODIES, SLOTS)
def test_each_part_counts(salts: Salts, body: bytes, slots: Slots) -> None:
    other = hashlib.sha256(salts.entry + salts.body + salts.reading + slots.start + slots.end).digest()
    entries = {
        entry_hash(salts, body, slots),
        entry_hash(Salts(other, salts.body, salts.reading), body, slots),
        entry_hash(Salts(salts.entry, other, salts.reading), body, slots),
        entry_hash(Salts(salts.entry, salts.body, other), body, slots),
        entry_hash(salts, body + b"\0", slots),
        entry_hash(salts, body, Slots(other, slots.end)),
        entry_hash(salts, body, Slots(slots.start, other)),
    }
    assert len(entries) == 7


@given(HASHES, IDS)
def test_salts(secret: bytes, entry_id: bytes) -> None:
    salts = derive_salts(secret, entry_id)
    message = b"wattseal/salt/1\n" + entry_id
    expected = [hmac.new(secret, message + purpose, hashlib.sha256).digest() for purpose in (b"e", b"b", b"r")]
    assert [salts.entry, salts.body, salts.reading] == expected
    assert len(set(expected)) == 3


@pytest.mark.parametrize("lengths", [(0, 16), (31, 16), (33, 16), (32, 0), (32, 15), (32, 17)], ids=str)
def test_secrets_and_ids_have_one_length(lengths: tuple[int, int]) -> None:
    secret, entry_id = map(bytes, lengths)
    assert refusal_of(lambda pair: derive_salts(*pair), (secret, entry_id)).field == "salts"


def test_nothing_is_zeros() -> None:
    assert bytes(32) == NOTHING
    assert Salts(NOTHING, NOTHING, NOTHING) == PUBLIC
    assert Slots() == EMPTY_SLOTS == Slots(NOTHING, NOTHING)
