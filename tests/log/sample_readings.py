"""The signed readings between which the records of sample.py lie; their payloads are the same each time."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from wattseal.core.reading import Reading, assemble, encode_payload, parse_envelope, signed_bytes
from wattseal.log.port import ReadingRow

_SECRET = derive_private_key(1, SECP256R1())
"""Of the curve's generator point, which is the sample's KEY: everybody knows it."""


@cache
def payload(serial: bytes, meter_id: str, seq: int, time_s: int, kind: str, *, is_export: bool) -> bytes:
    """The registers hold what the sample's records add up to, by default. Nothing links it to the one before."""
    counted = seq * 1_000_000 + seq * (seq - 1) // 2
    import_mwh, export_mwh = (0, counted) if is_export else (counted, 0)
    firmware = kind.encode().ljust(8, b"\0")[:8]
    return encode_payload(
        Reading(serial, meter_id, 1, seq, time_s, 2, import_mwh, export_mwh, 0, 0, firmware, bytes(32))
    )


@cache
def signed_reading(kid: bytes, data: bytes) -> bytes:
    r, s = decode_dss_signature(_SECRET.sign(signed_bytes(kid, data), ECDSA(SHA256())))
    return assemble(kid, data, r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def row_of(chain_no: int, cose: bytes, reading: Reading, state: str) -> ReadingRow:
    return ReadingRow(
        chain_no,
        reading.epoch,
        reading.seq,
        reading.time_s,
        reading.import_mwh,
        reading.export_mwh,
        parse_envelope(cose).digest,
        cose,
        reading.time_s,
        state,
        bridged=True,
    )
