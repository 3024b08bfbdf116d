from __future__ import annotations

import hashlib
from dataclasses import fields, replace

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core import second_opinion
from tests.core.reading_samples import FULL, KEY, KID, LARGEST, ORDER, PUBLIC, SMALLEST, TYPICAL, cose, sign, with_s
from tests.core.refused import outcome, refusal_of
from tests.core.strategies import FUZZ, HASHES, U32, readings
from wattseal.core.reading import (
    EXTERNAL_AAD,
    FLAG_CLOCK_UNSYNCED,
    FLAG_METER_UNREACHABLE,
    FLAG_POWER_LOSS,
    FLAG_REGISTER_RESET,
    FLAG_TAMPER,
    MAX_READING_BYTES,
    Envelope,
    Reading,
    assemble,
    encode_payload,
    is_successor,
    kid_of,
    load_public_key,
    parse_envelope,
    parse_payload,
    signature_is_good,
    signed_bytes,
)
from wattseal.core.reading_fast import parse_fields
from wattseal.core.refusal import Refusal

SIGNATURES = st.binary(min_size=64, max_size=64)
KIDS = st.binary(min_size=16, max_size=16)
GOOD = cose(encode_payload(FULL))


def parse(data: bytes) -> tuple[Envelope, Reading]:
    envelope = parse_envelope(data)
    return envelope, parse_payload(envelope.payload)


# --- there and back ---------------------------------------------------------------------------------------------------


@given(readings)
@example(SMALLEST)
@example(LARGEST)
@example(FULL)
def test_a_payload_is_read_back(reading: Reading) -> None:
    payload = encode_payload(reading)
    assert parse_payload(payload) == reading
    assert encode_payload(parse_payload(payload)) == payload
    assert second_opinion.payload_fields(payload) is not None
    assert parse_fields(payload) == tuple(getattr(reading, field.name) for field in fields(Reading))
    assert len(assemble(KID, payload, bytes(64))) <= MAX_READING_BYTES


@given(KIDS, readings, SIGNATURES)
def test_an_envelope_is_read_back(kid: bytes, reading: Reading, signature: bytes) -> None:
    payload = encode_payload(reading)
    data = assemble(kid, payload, signature)
    envelope = parse_envelope(data)
    assert envelope == Envelope(kid, payload, signature)
    assert envelope.digest == hashlib.sha256(payload).digest()
    assert second_opinion.reading(data) == (kid, payload, signature)


@given(st.binary(min_size=24, max_size=4_000))
@example(bytes(24))
@example(bytes(255))
@example(bytes(256))
def test_an_envelope_does_not_look_into_its_payload(payload: bytes) -> None:
    assert parse_envelope(assemble(KID, payload, bytes(64))).payload == payload


@given(KIDS, st.binary(min_size=24, max_size=600))
def test_what_is_signed(kid: bytes, payload: bytes) -> None:
    protected = cbor2.dumps({1: -7, 4: kid}, canonical=True)
    assert signed_bytes(kid, payload) == cbor2.dumps(["Signature1", protected, EXTERNAL_AAD, payload])


# --- strictness -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", [TYPICAL, FULL, SMALLEST], ids=["typical", "full", "smallest"])
def test_every_flipped_bit_is_refused_or_another_reading_or_a_bad_signature(reading: Reading) -> None:
    data, key = cose(encode_payload(reading)), load_public_key(PUBLIC)
    accepted = 0
    for at in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        found, opinion = outcome(parse, bytes(flipped)), second_opinion.reading(bytes(flipped))
        if isinstance(found, Refusal):
            assert opinion is None, (at, found)
            continue
        envelope, read = found
        accepted += 1
        assert opinion == (envelope.kid, envelope.payload, envelope.signature)
        assert assemble(envelope.kid, encode_payload(read), envelope.signature) == flipped
        assert not signature_is_good(envelope, key)
    assert accepted > 100


def test_every_cut_and_every_addition_is_refused() -> None:
    for length in range(len(GOOD)):
        assert refusal_of(parse_envelope, GOOD[:length]).field == "reading"
    for byte in range(256):
        assert refusal_of(parse_envelope, GOOD + bytes((byte,))).field == "reading"


@FUZZ
@given(
    st.binary(max_size=300)
    | st.binary(max_size=200).map(lambda rest: GOOD[:25] + rest)
    | st.builds(lambda at, byte: GOOD[:at] + byte + GOOD[at + 1 :], st.integers(0, len(GOOD)), st.binary(max_size=3))
)
@example(bytes(MAX_READING_BYTES + 1))
def test_any_bytes_are_a_reading_or_refused(data: bytes) -> None:
    found = outcome(parse, data)
    assert isinstance(found, Refusal) is (second_opinion.reading(data) is None)


@FUZZ
@given(st.binary(max_size=300) | st.binary(min_size=1, max_size=40).map(lambda rest: encode_payload(TYPICAL) + rest))
def test_any_payload_is_read_or_refused(payload: bytes) -> None:
    found = outcome(parse_payload, payload)
    assert isinstance(found, Refusal) is (second_opinion.payload_fields(payload) is None)
    if isinstance(found, Refusal):
        assert str(refusal_of(parse_fields, payload)) == str(found)


def test_length_is_checked_before_anything_else() -> None:
    assert refusal_of(parse_envelope, bytes(MAX_READING_BYTES + 1)).reason == "is longer than 4096 bytes"


# --- keys and signatures ----------------------------------------------------------------------------------------------


def test_high_and_low_s_are_both_good() -> None:
    payload = encode_payload(TYPICAL)
    low = sign(payload)
    high = with_s(low, ORDER - int.from_bytes(low[32:], "big"))
    key = load_public_key(PUBLIC)
    readings_ = [parse_envelope(assemble(KID, payload, signature)) for signature in (low, high)]
    assert [signature_is_good(envelope, key) for envelope in readings_] == [True, True]
    assert readings_[0].digest == readings_[1].digest


@pytest.mark.parametrize("part", [0, 1, ORDER - 1, ORDER, ORDER + 1, 2**256 - 1])
def test_an_impossible_signature_is_bad_and_no_error(part: int) -> None:
    number = part.to_bytes(32, "big")
    payload = encode_payload(TYPICAL)
    for signature in (number + number, number + sign(payload)[32:], sign(payload)[:32] + number):
        assert not signature_is_good(Envelope(KID, payload, signature), load_public_key(PUBLIC))


def test_the_signature_is_over_the_kid_as_well() -> None:
    payload = encode_payload(TYPICAL)
    assert not signature_is_good(Envelope(bytes(16), payload, sign(payload)), load_public_key(PUBLIC))


def test_a_signature_by_another_key_is_bad() -> None:
    other = ec.derive_private_key(2, ec.SECP256R1()).public_key()
    envelope = parse_envelope(GOOD)
    assert signature_is_good(envelope, KEY.public_key())
    assert not signature_is_good(envelope, other)


def test_a_public_key_has_a_kid() -> None:
    assert kid_of(PUBLIC) == hashlib.sha256(PUBLIC).digest()[:16]
    assert load_public_key(PUBLIC) == KEY.public_key()


@pytest.mark.parametrize(
    "public", [b"", PUBLIC[:-1], b"\x04" + PUBLIC, bytes(64), b"\xff" * 64, PUBLIC[:32] + bytes(32), PUBLIC[32:] * 2]
)
def test_what_is_no_public_key(public: bytes) -> None:
    assert refusal_of(load_public_key, public).field == "public_key"
    if len(public) != 64:
        assert refusal_of(kid_of, public).field == "public_key"


# --- chains -----------------------------------------------------------------------------------------------------------


@given(U32, U32, U32, U32, HASHES, st.booleans())
@example(1, 2**32 - 1, 1, 0, bytes(32), True)
def test_successors(epoch: int, seq: int, next_epoch: int, next_seq: int, digest: bytes, named: bool) -> None:
    prev = digest if named else hashlib.sha256(digest).digest()
    after = replace(TYPICAL, epoch=next_epoch, seq=next_seq, prev=prev)
    expected = named and (next_epoch, next_seq) in {(epoch, seq + 1), (max(next_epoch, epoch + 1), 0)}
    assert is_successor(after, epoch, seq, digest) is expected


def test_the_flags_are_those_of_the_page() -> None:
    flags = (FLAG_TAMPER, FLAG_POWER_LOSS, FLAG_REGISTER_RESET, FLAG_METER_UNREACHABLE, FLAG_CLOCK_UNSYNCED)
    assert flags == (1, 2, 4, 8, 16)
    assert parse_payload(encode_payload(replace(TYPICAL, flags=sum(flags)))).flags == 31
