"""Whether a reading or a record is allowed, decided a second time: with cbor2, rfc8785, Decimal and the tables of the
specification, and with nothing of `wattseal`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Any, Final

import cbor2
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

AAD: Final = b"wattseal/reading/1"
IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII)

# --- readings (docs/spec/reading.md) ----------------------------------------------------------------------------------

NAMES: Final = {
    2: "serial",
    3: "meter_id",
    4: "epoch",
    5: "seq",
    6: "time_s",
    7: "clock",
    8: "import_mwh",
    9: "export_mwh",
    10: "power_mw",
    11: "flags",
    12: "firmware",
    13: "prev",
    14: "beacon",
    15: "voltage_mv",
    16: "current_ma",
    17: "temperature_mc",
    18: "profile",
    19: "source_digest",
}
RANGES: Final = {
    1: (1, 1),
    4: (0, 2**32 - 1),
    5: (0, 2**32 - 1),
    6: (0, 253_402_300_799),
    7: (0, 3),
    8: (0, 2**53 - 1),
    9: (0, 2**53 - 1),
    10: (-(10**12), 10**12),
    11: (0, 31),
    15: (0, 10**9),
    16: (-(10**9), 10**9),
    17: (-273_150, 10**6),
}
LENGTHS: Final = {2: (1, 32), 12: (8, 8), 13: (32, 32), 19: (32, 32)}


def _ranged(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _allowed(key: object, value: Any) -> bool:  # noqa: ANN401 - whatever cbor2 decodes
    if type(key) is not int:
        return False
    if key in RANGES:
        return _ranged(value, *RANGES[key])
    if key in LENGTHS:
        return type(value) is bytes and LENGTHS[key][0] <= len(value) <= LENGTHS[key][1]
    if key == 3:
        return type(value) is str and IDENTIFIER.fullmatch(value) is not None
    if key == 14:
        is_pair = type(value) is list and len(value) == 2
        return is_pair and _ranged(value[0], 0, 2**32 - 1) and type(value[1]) is bytes and len(value[1]) == 8
    limits = ((1, 2**32 - 1), (0, 2**53 - 1), (0, 2**53 - 1), (-(10**12), 10**12))
    return (
        key == 18
        and type(value) is list
        and 1 <= len(value) <= 60
        and all(
            type(sample) is list
            and len(sample) == 4
            and all(_ranged(part, *limit) for part, limit in zip(sample, limits, strict=True))
            for sample in value
        )
    )


def _decoded(data: bytes) -> Any:  # noqa: ANN401
    try:
        value = cbor2.loads(data)
        # Written again in deterministic form. Other bytes: it was not in this form, or something followed.
        return value if cbor2.dumps(value, canonical=True) == data else None
    except (cbor2.CBORDecodeError, cbor2.CBOREncodeError, ValueError, TypeError, OverflowError, RecursionError):
        return None


def payload_fields(payload: bytes) -> dict[str, Any] | None:
    """The fields by name, bytes as hex; None where the payload is not allowed."""
    fields = _decoded(payload)
    if not isinstance(fields, dict) or not set(range(1, 14)) <= set(fields):
        return None
    if not all(_allowed(key, value) for key, value in fields.items()):
        return None
    found: dict[str, Any] = dict.fromkeys(NAMES.values())
    found["profile"] = []
    for key, value in fields.items():
        if key == 14:
            found["beacon"] = {"height": value[0], "hash8": value[1].hex()}
        elif key != 1:
            found[NAMES[key]] = value.hex() if isinstance(value, bytes) else value
    return found


def reading(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """kid, payload and signature; None where the envelope or the payload is not allowed."""
    tag = _decoded(data) if len(data) <= 4_096 else None
    if not isinstance(tag, cbor2.CBORTag) or tag.tag != 18 or not isinstance(tag.value, list | tuple):
        return None
    if len(tag.value) != 4:
        return None
    protected, unprotected, payload, signature = tag.value
    if {type(protected), type(payload), type(signature)} != {bytes} or not isinstance(unprotected, Mapping):
        return None
    header = _decoded(protected)
    if unprotected or not isinstance(header, dict) or list(header) != [1, 4] or header[1] != -7:
        return None
    kid = header[4]
    if type(kid) is not bytes or len(kid) != 16 or len(signature) != 64 or len(payload) < 24:
        return None
    return None if payload_fields(payload) is None else (kid, payload, signature)


def signature_is_good(data: bytes, public: bytes) -> bool:
    """Whether the reading is signed by the key X ‖ Y (RFC 9052 §4.4)."""
    protected, _, payload, signature = cbor2.loads(data).value
    key = ec.EllipticCurvePublicNumbers(
        int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big"), ec.SECP256R1()
    ).public_key()
    der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        key.verify(der, cbor2.dumps(["Signature1", protected, AAD, payload]), ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


# --- records (docs/spec/emlog.md) -------------------------------------------------------------------------------------

TOP: Final = Decimal("999999999.999999")
MEMBERS: Final = {
    "schema_version", "site_id", "iot_device_id", "meter_id", "ts_start", "ts_end", "interval_s", "energy_kwh",
    "export_kwh", "power_kw_avg", "status", "tags", "tx", "evidence",
}  # fmt: skip
FIXED: Final = {"unit": "sats", "settlement_status": "pending", "ln_invoice_id": None, "bitcoin_txid": None}
QUOTE: Final = {
    "price_sats_per_kwh", "price_msat_per_kwh", "amount_sats", "amount_msat", "tariff_version", "channel", *FIXED,
}  # fmt: skip
EVIDENCE: Final = {"kind", "kid", "epoch", "seq", "source", "claims"}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError(pairs)
    return dict(pairs)


def canonical(data: bytes) -> bool:
    """Whether these bytes are what RFC 8785 makes of their value, read as other parsers read it: into doubles."""
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique)
        return rfc8785.dumps(value) == data
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        return False


def _time(text: object) -> int | None:
    try:
        moment = datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    # strptime takes one digit for two.
    if moment.isoformat().replace("+00:00", "Z") != text or moment.year < 1970:
        return None
    return int(moment.timestamp())


def _quotient(top: Decimal, bottom: Decimal, decimals: int) -> Decimal:
    with localcontext(Context(prec=80)):
        return (top / bottom).quantize(Decimal(10) ** -decimals, ROUND_HALF_EVEN)


def _number(value: object, decimals: int, low: Decimal | int, high: Decimal | int) -> bool:
    if type(value) not in (int, Decimal):
        return False
    number = Decimal(str(value))
    exponent = number.as_tuple().exponent
    return low <= number <= high and isinstance(exponent, int) and -decimals <= exponent <= 20


def _pair(value: object) -> bool:
    return type(value) is list and len(value) == 2 and all(_ranged(part, 0, 2**32 - 1) for part in value)


def _evidence(evidence: Any) -> bool:  # noqa: ANN401
    if not isinstance(evidence, dict) or set(evidence) != EVIDENCE:
        return False
    kind, kid, source, claims = (evidence[name] for name in ("kind", "kid", "source", "claims"))
    if kind not in ("device", "ocmf", "gateway", "text", "operator", "import", "reported"):
        return False
    chain = (kid, evidence["epoch"], evidence["seq"])
    if kind in ("device", "gateway", "operator") and None in chain:
        return False
    if kind == "reported" and chain != (None, None, None):
        return False
    if kid is not None and not (isinstance(kid, str) and re.fullmatch("[0-9a-f]{32}", kid)):
        return False
    if not all(pair is None or _pair(pair) for pair in chain[1:]):
        return False
    if kind == "import" and not (isinstance(source, str) and re.fullmatch("[0-9a-f]{64}", source)):
        return False
    if kind != "import" and source is not None:
        return False
    if claims is None:
        return True
    return (
        isinstance(claims, dict)
        and bool(claims)
        and set(claims) <= {"power_kw_avg", "amount_sats"}
        and ("power_kw_avg" not in claims or _number(claims["power_kw_avg"], 6, -TOP, TOP))
        and ("amount_sats" not in claims or _number(claims["amount_sats"], 3, -TOP * 1_000, TOP * 1_000))
    )


def _quote(tx: Any, energy: Decimal) -> bool:  # noqa: ANN401
    if not isinstance(tx, dict) or set(tx) != QUOTE or any(tx[name] != value for name, value in FIXED.items()):
        return False
    if tx["channel"] not in ("ln", "onchain", "internal"):
        return False
    price, version = tx["price_msat_per_kwh"], tx["tariff_version"]
    if price is None:
        return all(tx[name] is None for name in ("price_sats_per_kwh", "amount_sats", "amount_msat", "tariff_version"))
    if not _ranged(price, 0, 10**12) or not (version is None or (isinstance(version, str) and len(version) <= 256)):
        return False
    amount = _quotient(energy * price, Decimal(1), 0)
    values = (tx["amount_msat"], tx["price_sats_per_kwh"], tx["amount_sats"])
    return amount < 10**15 and [Decimal(str(value)) for value in values if type(value) in (int, Decimal)] == [
        amount,
        Decimal(price) / 1_000,
        amount / 1_000,
    ]


def record(data: bytes) -> bool:
    """Whether this is the canonical body of a record."""
    if len(data) > 4_096 or not canonical(data):
        return False
    value = json.loads(data, parse_float=Decimal)
    if not isinstance(value, dict) or set(value) != MEMBERS or value["schema_version"] != "emlog-1.1":
        return False
    names = (value["site_id"], value["iot_device_id"], value["meter_id"])
    start, end = _time(value["ts_start"]), _time(value["ts_end"])
    tags = value["tags"]
    if not all(isinstance(name, str) and IDENTIFIER.fullmatch(name) for name in names) or start is None or end is None:
        return False
    if end <= start or not (type(value["interval_s"]) is int and value["interval_s"] == end - start):
        return False
    if value["status"] not in ("ok", "estimated", "error", "gap") or not isinstance(tags, list) or len(tags) > 16:
        return False
    if not all(isinstance(tag, str) and len(tag) <= 64 for tag in tags):
        return False
    if not all(_number(value[name], 6, 0, TOP) for name in ("energy_kwh", "export_kwh", "power_kw_avg")):
        return False
    energy = Decimal(str(value["energy_kwh"]))
    if Decimal(str(value["power_kw_avg"])) != _quotient(energy * 3_600, Decimal(end - start), 6):
        return False
    return _quote(value["tx"], energy) and _evidence(value["evidence"])


def entry(salts: list[str], body: bytes, slots: list[str]) -> bytes:
    """The entry of a body, written out (docs/spec/log.md §1)."""
    salt_entry, salt_body, salt_reading = (bytes.fromhex(salt) for salt in salts)
    start, end = (bytes.fromhex(slot) for slot in slots)
    commit_body = hashlib.sha256(salt_body + body).digest()
    commit_reading = hashlib.sha256(salt_reading + start + end).digest()
    return hashlib.sha256(b"wattseal/entry/1\n" + salt_entry + commit_body + commit_reading).digest()
