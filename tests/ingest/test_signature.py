"""One contract over every implementation of P-256 verification that is installed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.refusal import Refusal
from wattseal.ingest.signature import LOADERS, Verify, der, verification_key

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEY = generate_private_key(SECP256R1())
POINT = KEY.public_key().public_numbers()
PUBLIC_KEY = POINT.x.to_bytes(32, "big") + POINT.y.to_bytes(32, "big")
DIGEST = hashlib.sha256(b"a reading").digest()
R, S = decode_dss_signature(KEY.sign(DIGEST, ECDSA(Prehashed(SHA256()))))


def raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


GOOD = raw(R, S)


@pytest.fixture(params=sorted(LOADERS))
def load(request: pytest.FixtureRequest) -> Callable[[bytes], Verify]:
    return LOADERS[request.param]


def test_good_signatures(load: Callable[[bytes], Verify]) -> None:
    verify = load(PUBLIC_KEY)
    assert verify(DIGEST, GOOD) is True
    assert verify(DIGEST, raw(R, ORDER - S)) is True  # the other one of high and low s


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        GOOD[:63],
        GOOD + b"\0",
        bytes(64),
        raw(0, S),
        raw(R, 0),
        raw(ORDER, S),
        raw(R, ORDER),
        raw(R, ORDER + 1),
        raw(2**256 - 1, 2**256 - 1),
        raw(S, R),
        encode_dss_signature(R, S),
    ],
    ids=[
        "empty",
        "63 bytes",
        "65 bytes",
        "zero",
        "r zero",
        "s zero",
        "r is the order",
        "s is the order",
        "s above the order",
        "all ones",
        "swapped",
        "DER",
    ],
)
def test_bad_signatures(load: Callable[[bytes], Verify], signature: bytes) -> None:
    assert load(PUBLIC_KEY)(DIGEST, signature) is False


def test_every_flipped_bit_counts(load: Callable[[bytes], Verify]) -> None:
    verify = load(PUBLIC_KEY)
    for bit in range(512):
        signature = (int.from_bytes(GOOD, "big") ^ 1 << bit).to_bytes(64, "big")
        assert verify(DIGEST, signature) is False
    for bit in range(0, 256, 7):
        assert verify((int.from_bytes(DIGEST, "big") ^ 1 << bit).to_bytes(32, "big"), GOOD) is False


def test_another_key_is_another_key(load: Callable[[bytes], Verify]) -> None:
    point = generate_private_key(SECP256R1()).public_key().public_numbers()
    assert load(point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big"))(DIGEST, GOOD) is False


@pytest.mark.parametrize(
    "public_key",
    [b"", PUBLIC_KEY[:63], PUBLIC_KEY + b"\0", bytes(64), b"\xff" * 64, b"\4" + PUBLIC_KEY],
    ids=["empty", "63 bytes", "65 bytes", "zero", "all ones", "with a head"],
)
def test_what_is_no_point(load: Callable[[bytes], Verify], public_key: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        load(public_key)
    assert refused.value.field == "public_key"


@given(st.binary(min_size=64, max_size=64), st.integers(0, 32), st.integers(0, 32))
def test_der_is_that_of_the_library(signature: bytes, first: int, second: int) -> None:
    signature = (bytes(first) + signature)[:32] + (bytes(second) + signature[32:])[:32]
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    assert der(signature) == encode_dss_signature(r, s)


def test_keys_stay_loaded() -> None:
    assert verification_key(PUBLIC_KEY) is verification_key(PUBLIC_KEY)
    assert verification_key(PUBLIC_KEY)(DIGEST, GOOD)
