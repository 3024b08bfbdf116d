"""The signed reading: COSE_Sign1 over one meter's registers at one instant (docs/spec/reading.md)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from wattseal.core import cbor
from wattseal.core.refusal import Refusal
from wattseal.core.units import MAX_REGISTER_MWH, MAX_TIME_S, identifier

MAX_READING_BYTES = 4_096
MAX_POWER_MW = 10**12
PUBLIC_KEY_BYTES = 64
EXTERNAL_AAD = b"wattseal/reading/1"

FLAG_TAMPER, FLAG_POWER_LOSS, FLAG_REGISTER_RESET, FLAG_METER_UNREACHABLE, FLAG_CLOCK_UNSYNCED = (
    1 << bit for bit in range(5)
)

_HEAD = bytes.fromhex("d28455a201260450")
_PROTECTED_HEAD = _HEAD[3:]
_KID_END = len(_HEAD) + 16
_SIGNATURE_HEAD = b"\x58\x40"
_SIGNATURE_BYTES = 64
_SMALLEST = _KID_END + 1 + 2 + len(_SIGNATURE_HEAD) + _SIGNATURE_BYTES
_SIG_STRUCTURE_HEAD = b"\x84\x6aSignature1\x55"
_SIG_STRUCTURE_AAD = b"\x52" + EXTERNAL_AAD
"""Text of 10 bytes, byte strings of 21 and 18 bytes: RFC 9052 §4.4 with our fixed lengths."""


@dataclass(frozen=True, slots=True)
class Beacon:
    """A block that the device knew when it signed: height, and the first 8 bytes (internal order) of its hash."""

    height: int
    hash8: bytes


@dataclass(frozen=True, slots=True)
class Sample:
    """One step of a profile: seconds since the sample before, mWh in that time, power in mW at its end."""

    seconds: int
    import_mwh: int
    export_mwh: int
    power_mw: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The signed fields (docs/spec/reading.md §2); energy in mWh, power in mW, time in Unix seconds."""

    serial: bytes
    meter_id: str
    epoch: int
    seq: int
    time_s: int
    clock: int
    import_mwh: int
    export_mwh: int
    power_mw: int
    flags: int
    firmware: bytes
    prev: bytes
    beacon: Beacon | None = None
    voltage_mv: int | None = None
    current_ma: int | None = None
    temperature_mc: int | None = None
    profile: tuple[Sample, ...] = ()
    source_digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """The parts of a COSE reading before its payload is read: kid (16 bytes), payload bytes, signature r ‖ s."""

    kid: bytes
    payload: bytes
    signature: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the payload: the reading's identity. Never of the signature, which anyone can vary (§1)."""
        return hashlib.sha256(self.payload).digest()


def kid_of(public_key: bytes) -> bytes:
    """The key id of a public key X ‖ Y (64 bytes)."""
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise Refusal("public_key", "must be the 64 bytes X and Y of a P-256 point")
    return hashlib.sha256(public_key).digest()[:16]


def load_public_key(public_key: bytes) -> EllipticCurvePublicKey:
    """A P-256 key from X ‖ Y; Refusal if the point is not on the curve."""
    kid_of(public_key)
    try:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), b"\x04" + public_key)
    except ValueError:
        raise Refusal("public_key", "is no point of the curve P-256") from None


def parse_envelope(data: bytes) -> Envelope:
    """Split a COSE reading (§1); only the one encoding that §1 allows is accepted."""
    if len(data) > MAX_READING_BYTES:
        raise Refusal("reading", f"is longer than {MAX_READING_BYTES} bytes")
    if len(data) < _SMALLEST:
        raise Refusal("reading", "is cut short")
    if not data.startswith(_HEAD):
        raise Refusal("reading", "must begin with COSE tag 18 and the protected header {alg: ES256, kid of 16 bytes}")
    if data[_KID_END] != 0xA0:
        raise Refusal("reading", "must have an empty unprotected header")
    start, length = _payload_span(data)
    end = start + length
    if data[end : end + 2] != _SIGNATURE_HEAD or len(data) != end + 2 + _SIGNATURE_BYTES:
        raise Refusal("reading", "must end with a signature of 64 bytes right after its payload")
    return Envelope(data[len(_HEAD) : _KID_END], data[start:end], data[end + 2 :])


def _payload_span(data: bytes) -> tuple[int, int]:
    at = _KID_END + 1
    if data[at] == 0x58 and data[at + 1] > 23:
        return at + 2, data[at + 1]
    if data[at] == 0x59 and data[at + 1]:
        return at + 3, data[at + 1] << 8 | data[at + 2]
    raise Refusal("reading", "its payload must be a byte string of 24 bytes or more in shortest form")


def signed_bytes(kid: bytes, payload: bytes) -> bytes:
    """The Sig_structure that the device signs (RFC 9052 §4.4)."""
    return _SIG_STRUCTURE_HEAD + _PROTECTED_HEAD + kid + _SIG_STRUCTURE_AAD + _bstr_head(len(payload)) + payload


def _bstr_head(length: int) -> bytes:
    if length < 24:
        return bytes((0x40 | length,))
    return bytes((0x58, length)) if length < 256 else b"\x59" + length.to_bytes(2, "big")


def der_signature(signature: bytes) -> bytes:
    """The DER form of r ‖ s, which verification libraries expect."""
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def signature_is_good(envelope: Envelope, public_key: EllipticCurvePublicKey) -> bool:
    """Whether the envelope's signature is the key's. High and low s both count."""
    try:
        public_key.verify(
            der_signature(envelope.signature), signed_bytes(envelope.kid, envelope.payload), ECDSA(SHA256())
        )
    except InvalidSignature:
        return False
    return True


def assemble(kid: bytes, payload: bytes, signature: bytes) -> bytes:
    """The COSE bytes of a signed payload; the inverse of parse_envelope."""
    return _HEAD + kid + b"\xa0" + _bstr_head(len(payload)) + payload + _SIGNATURE_HEAD + signature


def encode_payload(reading: Reading) -> bytes:
    """The payload bytes of a reading (§2). It is not checked here: what is wrong in it, parse_payload refuses."""
    fields: dict[int, cbor.Encodable] = {
        1: 1,
        2: reading.serial,
        3: reading.meter_id,
        4: reading.epoch,
        5: reading.seq,
        6: reading.time_s,
        7: reading.clock,
        8: reading.import_mwh,
        9: reading.export_mwh,
        10: reading.power_mw,
        11: reading.flags,
        12: reading.firmware,
        13: reading.prev,
    }
    if reading.beacon is not None:
        fields[14] = [reading.beacon.height, reading.beacon.hash8]
    optional: dict[int, int | bytes | None] = {
        15: reading.voltage_mv,
        16: reading.current_ma,
        17: reading.temperature_mc,
        19: reading.source_digest,
    }
    fields |= {key: value for key, value in optional.items() if value is not None}
    if reading.profile:
        fields[18] = [[step.seconds, step.import_mwh, step.export_mwh, step.power_mw] for step in reading.profile]
    return cbor.encode(fields)


_REQUIRED = frozenset(range(1, 14))
_KNOWN = frozenset(range(1, 20))
_U32 = 2**32 - 1
_FLAGS = 31
_MAX_SAMPLES = 60
_INTEGERS = {
    4: ("epoch", 0, _U32),
    5: ("seq", 0, _U32),
    6: ("time", 0, MAX_TIME_S),
    7: ("clock quality", 0, 3),
    8: ("import register", 0, MAX_REGISTER_MWH),
    9: ("export register", 0, MAX_REGISTER_MWH),
    10: ("active power", -MAX_POWER_MW, MAX_POWER_MW),
    11: ("flags", 0, _FLAGS),
    15: ("voltage", 0, 10**9),
    16: ("current", -(10**9), 10**9),
    17: ("temperature", -273_150, 10**6),
}


def parse_payload(payload: bytes) -> Reading:
    """The fields of a payload; Refusal("payload.<key>", why) names the first key that §2 does not allow."""
    fields = cbor.decode(payload)
    if not isinstance(fields, dict):
        raise Refusal("payload", "must be a map")
    if not _REQUIRED <= fields.keys() <= _KNOWN:
        odd = sorted((_REQUIRED - fields.keys()) | (fields.keys() - _KNOWN))
        raise Refusal(f"payload.{odd[0]}", "is missing" if odd[0] in _REQUIRED else "is no key of format version 1")
    if fields[1] != 1:
        raise Refusal("payload.1", "format version must be 1")
    for key, (name, low, high) in _INTEGERS.items():
        value = fields.get(key, 0)
        if not isinstance(value, int) or not low <= value <= high:
            raise Refusal(f"payload.{key}", f"{name} must be an integer from {low} to {high}")
    serial = fields[2]
    if not isinstance(serial, bytes) or not 1 <= len(serial) <= 32:
        raise Refusal("payload.2", "device serial must be 1 to 32 bytes")
    beacon = fields.get(14)
    return Reading(
        serial,
        identifier(fields[3], "payload.3"),
        fields[4],  # type: ignore[arg-type]  # the integer keys were checked above
        fields[5],  # type: ignore[arg-type]
        fields[6],  # type: ignore[arg-type]
        fields[7],  # type: ignore[arg-type]
        fields[8],  # type: ignore[arg-type]
        fields[9],  # type: ignore[arg-type]
        fields[10],  # type: ignore[arg-type]
        fields[11],  # type: ignore[arg-type]
        _fixed(fields[12], 8, "payload.12"),
        _fixed(fields[13], 32, "payload.13"),
        None if beacon is None else _beacon(beacon),
        fields.get(15),  # type: ignore[arg-type]
        fields.get(16),  # type: ignore[arg-type]
        fields.get(17),  # type: ignore[arg-type]
        _profile(fields[18]) if 18 in fields else (),
        _fixed(fields[19], 32, "payload.19") if 19 in fields else None,
    )


def _fixed(value: cbor.Value, length: int, field: str) -> bytes:
    if not isinstance(value, bytes) or len(value) != length:
        raise Refusal(field, f"must be {length} bytes")
    return value


def _beacon(value: cbor.Value) -> Beacon:
    match value:
        case [int(height), bytes(hash8)] if 0 <= height <= _U32 and len(hash8) == 8:
            return Beacon(height, hash8)
    raise Refusal("payload.14", "beacon must be [height, 8 bytes]")


def _profile(value: cbor.Value) -> tuple[Sample, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_SAMPLES:
        raise Refusal("payload.18", f"profile must be an array of 1 to {_MAX_SAMPLES} samples")
    samples = []
    for sample in value:
        match sample:
            case [int(seconds), int(import_mwh), int(export_mwh), int(power_mw)] if (
                0 < seconds <= _U32
                and 0 <= import_mwh <= MAX_REGISTER_MWH
                and 0 <= export_mwh <= MAX_REGISTER_MWH
                and -MAX_POWER_MW <= power_mw <= MAX_POWER_MW
            ):
                samples.append(Sample(seconds, import_mwh, export_mwh, power_mw))
            case _:
                raise Refusal("payload.18", "a sample must be [seconds, delta import, delta export, power]")
    return tuple(samples)


def is_successor(after: Reading, before_epoch: int, before_seq: int, before_digest: bytes) -> bool:
    """Whether a reading continues a chain whose last reading has that epoch, seq and payload digest (§3)."""
    in_order = (after.epoch == before_epoch and after.seq == before_seq + 1) or (
        after.epoch > before_epoch and after.seq == 0
    )
    return in_order and after.prev == before_digest
