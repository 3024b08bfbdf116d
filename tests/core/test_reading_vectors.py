from __future__ import annotations

import hashlib
from typing import Any

import cbor2
import pytest

from tests.core import second_opinion
from tests.core.make_bad_reading_vectors import BAD_VALUES
from tests.core.make_reading_vectors import fields_of
from tests.core.make_vectors import load
from wattseal.core.reading import (
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

VECTORS = load("reading")
PUBLIC = bytes.fromhex(VECTORS["key"]["public"])
AAD = VECTORS["external_aad"].encode()


def test_the_key() -> None:
    assert hashlib.sha256(PUBLIC).hexdigest()[:32] == VECTORS["key"]["kid"] == kid_of(PUBLIC).hex()


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["name"])
def test_valid(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["cose"])
    envelope = parse_envelope(data)
    reading = parse_payload(envelope.payload)
    assert fields_of(reading) == case["fields"]
    assert envelope.payload.hex() == case["payload"]
    assert envelope.digest.hex() == case["digest"]
    assert (envelope.kid.hex(), envelope.signature.hex()) == (case["kid"], case["signature"])
    assert signed_bytes(envelope.kid, envelope.payload).hex() == case["sig_structure"]
    assert signature_is_good(envelope, load_public_key(PUBLIC))
    assert encode_payload(reading) == envelope.payload
    assert assemble(envelope.kid, envelope.payload, envelope.signature) == data
    assert parse_fields(envelope.payload) == tuple(getattr(reading, name) for name in case["fields"])


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["name"])
def test_valid_in_the_opinion_of_others(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["cose"])
    parts = second_opinion.reading(data)
    assert parts is not None
    kid, payload, signature = parts
    protected = cbor2.dumps({1: -7, 4: kid}, canonical=True)
    assert cbor2.dumps(["Signature1", protected, AAD, payload]).hex() == case["sig_structure"]
    assert second_opinion.payload_fields(payload) == case["fields"]
    assert hashlib.sha256(payload).hexdigest() == case["digest"]
    assert (kid.hex(), payload.hex(), signature.hex()) == (case["kid"], case["payload"], case["signature"])
    assert second_opinion.signature_is_good(data, PUBLIC)


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: case["name"])
def test_invalid(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["cose"])
    with pytest.raises(Refusal) as caught:
        parse_payload(parse_envelope(data).payload)
    assert (caught.value.field, caught.value.reason) == (case["field"], case["reason"])
    assert second_opinion.reading(data) is None
    if case["field"] != "reading":
        # Only the payload is wrong: the signature over it is good, and the fast way refuses it in the same words.
        envelope = parse_envelope(data)
        assert signature_is_good(envelope, load_public_key(PUBLIC))
        with pytest.raises(Refusal, match=f"^{case['field']}: "):
            parse_fields(envelope.payload)


def test_a_refused_value_is_named_by_its_key() -> None:
    fields = {case["name"]: case["field"] for case in VECTORS["invalid"]}
    assert {name: fields[name] for name, _, _ in BAD_VALUES} == {name: f"payload.{key}" for name, key, _ in BAD_VALUES}


@pytest.mark.parametrize("case", VECTORS["bad_signatures"], ids=lambda case: case["name"])
def test_bad_signatures(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["cose"])
    assert not signature_is_good(parse_envelope(data), load_public_key(PUBLIC))
    assert second_opinion.reading(data) is not None
    assert not second_opinion.signature_is_good(data, PUBLIC)


@pytest.mark.parametrize("case", VECTORS["successors"], ids=lambda case: case["name"])
def test_successors(case: dict[str, Any]) -> None:
    before, after = bytes.fromhex(case["before"]), parse_payload(bytes.fromhex(case["after"]))
    last, digest = parse_payload(before), hashlib.sha256(before).digest()
    assert is_successor(after, last.epoch, last.seq, digest) is case["is_successor"]
    in_order = (after.epoch == last.epoch and after.seq == last.seq + 1) or (after.epoch > last.epoch and not after.seq)
    assert (in_order and after.prev == digest) is case["is_successor"]
