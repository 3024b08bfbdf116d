"""Makes vectors/reading.json; `python -m tests.core.make_vectors` writes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from tests.core import make_bad_reading_vectors
from tests.core.reading_samples import KID, ORDER, PUBLIC, SECRET, TYPICAL, samples, sign, with_s
from wattseal.core.reading import (
    EXTERNAL_AAD,
    Reading,
    assemble,
    encode_payload,
    is_successor,
    parse_payload,
    signed_bytes,
)


def fields_of(reading: Reading) -> dict[str, Any]:
    """The fields as JSON: bytes as hex, a beacon as an object, a profile as a list of lists."""
    fields: dict[str, Any] = asdict(reading)
    for name in ("serial", "firmware", "prev", "source_digest"):
        fields[name] = None if fields[name] is None else fields[name].hex()
    if reading.beacon is not None:
        fields["beacon"] = {"height": reading.beacon.height, "hash8": reading.beacon.hash8.hex()}
    fields["profile"] = [list(sample.values()) for sample in fields["profile"]]
    return fields


def _positive(name: str, spec: str, payload: bytes, signature: bytes) -> dict[str, Any]:
    return {
        "name": name,
        "spec": spec,
        "cose": assemble(KID, payload, signature).hex(),
        "kid": KID.hex(),
        "payload": payload.hex(),
        "sig_structure": signed_bytes(KID, payload).hex(),
        "signature": signature.hex(),
        "digest": hashlib.sha256(payload).hexdigest(),
        "fields": fields_of(parse_payload(payload)),
    }


def _bad_signatures() -> Iterator[tuple[str, bytes]]:
    payload = encode_payload(TYPICAL)
    signature = sign(payload)
    yield "one bit of r", bytes((signature[0] ^ 1,)) + signature[1:]
    yield "one bit of s", signature[:-1] + bytes((signature[-1] ^ 1,))
    yield "r and s exchanged", signature[32:] + signature[:32]
    yield "r is 0", bytes(32) + signature[32:]
    yield "s is 0", with_s(signature, 0)
    yield "s is the order of the group", with_s(signature, ORDER)
    yield "s plus one", with_s(signature, int.from_bytes(signature[32:], "big") + 1)
    yield "all ones", b"\xff" * 64
    yield "over another payload", sign(encode_payload(replace(TYPICAL, import_mwh=TYPICAL.import_mwh + 1)))
    yield "without external_aad", sign(payload, external_aad=b"")
    yield "with the external_aad of another version", sign(payload, external_aad=b"wattseal/reading/2")


def _successors() -> Iterator[dict[str, Any]]:
    digest = hashlib.sha256(encode_payload(TYPICAL)).digest()
    for name, epoch, seq, prev in (
        ("next in its epoch", 3, 18, digest),
        ("first of the next epoch", 4, 0, digest),
        ("first of a later epoch", 9, 0, digest),
        ("another prev", 3, 18, bytes(32)),
        ("one is missing", 3, 19, digest),
        ("the same seq", 3, 17, digest),
        ("second of the next epoch", 4, 1, digest),
        ("first of the same epoch", 3, 0, digest),
        ("an earlier epoch", 2, 18, digest),
    ):
        after = replace(TYPICAL, epoch=epoch, seq=seq, prev=prev, time_s=TYPICAL.time_s + 60)
        yield {
            "name": name,
            "spec": "reading.md §3",
            "before": encode_payload(TYPICAL).hex(),
            "after": encode_payload(after).hex(),
            "is_successor": is_successor(after, TYPICAL.epoch, TYPICAL.seq, digest),
        }


def vectors() -> dict[str, Any]:
    """The whole file."""
    valid = [
        _positive(name, spec, encode_payload(reading), sign(encode_payload(reading)))
        for name, spec, reading in samples()
    ]
    typical = encode_payload(TYPICAL)
    high = with_s(sign(typical), ORDER - int.from_bytes(sign(typical)[32:], "big"))
    valid.append(_positive("high s", "reading.md §1", typical, high))
    return {
        "format": "wattseal-vectors-reading-1",
        "specification": "docs/spec/reading.md",
        "key": {"private": f"{SECRET:064x}", "public": PUBLIC.hex(), "kid": KID.hex()},
        "external_aad": EXTERNAL_AAD.decode(),
        "valid": valid,
        "invalid": make_bad_reading_vectors.refusals(),
        "bad_signatures": [
            {"name": name, "spec": "reading.md §1", "cose": assemble(KID, typical, signature).hex()}
            for name, signature in _bad_signatures()
        ],
        "successors": list(_successors()),
    }
