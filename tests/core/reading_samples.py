"""Readings that stand for the many kinds of them, and a test key that signs them the same way at every run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from wattseal.core.reading import (
    EXTERNAL_AAD,
    Beacon,
    Reading,
    Sample,
    assemble,
    encode_payload,
    kid_of,
    signed_bytes,
)

SECRET: Final = 0x1E240_CAFE_F00D
KEY: Final = ec.derive_private_key(SECRET, ec.SECP256R1())
NUMBERS: Final = KEY.public_key().public_numbers()
PUBLIC: Final = NUMBERS.x.to_bytes(32, "big") + NUMBERS.y.to_bytes(32, "big")
KID: Final = kid_of(PUBLIC)
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256 (SEC 2, §2.4.2): s and ORDER - s are both good."""
TOP: Final = 2**53 - 1
U32: Final = 2**32 - 1

TYPICAL: Final = Reading(
    serial=bytes.fromhex("0123456789abcdefee"),
    meter_id="MTR-001",
    epoch=3,
    seq=17,
    time_s=1_764_547_200,
    clock=2,
    import_mwh=5_000_123_456,
    export_mwh=42_000,
    power_mw=1_481_040,
    flags=0,
    firmware=bytes.fromhex("00010203deadbeef"),
    prev=hashlib.sha256(b"the reading before").digest(),
)
PROFILE: Final = (Sample(100, 30_000, 0, 1_080_000), Sample(100, 0, 500, -18_000), Sample(100, 1, 2, 3))
FULL: Final = replace(
    TYPICAL,
    beacon=Beacon(925_000, bytes.fromhex("a1b2c3d4e5f60718")),
    voltage_mv=230_150,
    current_ma=-6_400,
    temperature_mc=-12_500,
    profile=PROFILE,
    source_digest=hashlib.sha256(b"what the meter answered").digest(),
)
LARGEST: Final = Reading(
    serial=bytes(range(224, 256)),
    meter_id="z" * 64,
    epoch=U32,
    seq=U32,
    time_s=253_402_300_799,
    clock=3,
    import_mwh=TOP,
    export_mwh=TOP,
    power_mw=10**12,
    flags=31,
    firmware=b"\xff" * 8,
    prev=b"\xff" * 32,
    beacon=Beacon(U32, b"\xff" * 8),
    voltage_mv=10**9,
    current_ma=10**9,
    temperature_mc=10**6,
    source_digest=b"\xff" * 32,
)
SMALLEST: Final = Reading(b"\0", "0", 0, 0, 0, 0, 0, 0, 0, 0, bytes(8), bytes(32))
WIDTHS: Final = (23, 24, 255, 256, 65_535, 65_536, U32, U32 + 1)


def sign(payload: bytes, *, external_aad: bytes = EXTERNAL_AAD) -> bytes:
    """r ‖ s with low s, the same at every run."""
    message = signed_bytes(KID, payload).replace(
        b"\x52" + EXTERNAL_AAD, bytes((0x40 + len(external_aad),)) + external_aad
    )
    r, s = utils.decode_dss_signature(KEY.sign(message, ec.ECDSA(SHA256(), deterministic_signing=True)))
    return r.to_bytes(32, "big") + min(s, ORDER - s).to_bytes(32, "big")


def with_s(signature: bytes, s: int) -> bytes:
    return signature[:32] + s.to_bytes(32, "big")


def cose(payload: bytes) -> bytes:
    return assemble(KID, payload, sign(payload))


def of_length(length: int) -> Reading:
    """A reading whose payload has exactly that many bytes: the length of the meter id makes up the rest."""
    for letters in range(24, 65):
        for samples in range(10):
            reading = replace(FULL, meter_id="m" * letters, profile=PROFILE[2:] * samples)
            if len(encode_payload(reading)) == length:
                return reading
    raise LookupError(length)


def samples() -> Iterator[tuple[str, str, Reading]]:
    """(name, section, reading)"""
    yield "typical", "reading.md §2", TYPICAL
    yield "every optional field", "reading.md §2", FULL
    yield "smallest values", "reading.md §2", SMALLEST
    yield "largest values", "reading.md §2", LARGEST
    lowest = replace(TYPICAL, power_mw=-(10**12), voltage_mv=0, current_ma=-(10**9), temperature_mc=-273_150)
    yield "lowest values", "reading.md §2", lowest
    yield "profile of 60 samples", "reading.md §2", replace(TYPICAL, profile=(Sample(U32, TOP, TOP, -(10**12)),) * 60)
    yield "every flag", "reading.md §2", replace(TYPICAL, flags=31)
    yield "meter id with every sign", "reading.md §2.1", replace(TYPICAL, meter_id="0.a_B:9-")
    yield "payload of 255 bytes", "reading.md §1", of_length(255)
    yield "payload of 256 bytes", "reading.md §1", of_length(256)
    for value in WIDTHS:
        yield f"import register {value}", "RFC 8949 §4.2.1", replace(TYPICAL, import_mwh=value)
    for value in WIDTHS:
        yield f"active power -{value}", "RFC 8949 §4.2.1", replace(TYPICAL, power_mw=-value)
