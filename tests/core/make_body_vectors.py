"""The bodies of vectors/log.json: registrations, batches and statements, and what is refused of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from tests.core.reading_samples import KID, PUBLIC
from tests.core.refused import refused
from wattseal.core import jcs
from wattseal.core.batch import Batch, parse_batch
from wattseal.core.discontinuity import Discontinuity, parse_discontinuity
from wattseal.core.note_key import CosignatureV1Signer, Ed25519Signer
from wattseal.core.registry import (
    DeviceKey,
    Meter,
    Signer,
    Tariff,
    parse_device_key,
    parse_meter,
    parse_signer,
    parse_tariff,
)
from wattseal.core.statement import Decision, Import, Quarantine, parse_decision, parse_import

START: Final = 1_764_547_200
# The base64 of this key holds plus signs, which also stand between the parts of a vkey.
LOG: Final = Ed25519Signer("log.example/vectors", bytes([19]) * 32).verifier
WITNESS: Final = CosignatureV1Signer("witness.example/vectors", bytes([8]) * 32).verifier

Body = Signer | DeviceKey | Meter | Tariff | Batch | Import | Quarantine | Decision | Discontinuity

SIGNER: Final = Signer(LOG.name, "log", LOG.vkey, START)
KEY: Final = DeviceKey(PUBLIC, "PLANT-01", "gw-01", bytes.fromhex("0123456789abcdefee"), START)
METER: Final = Meter("PLANT-01", "gw-01", "MTR-001", "consumption", (KID,), 300, "Europe/Berlin", START)
TARIFF: Final = Tariff("flat", 1, "PLANT-01", 100_000, START)
BATCH: Final = Batch("log.example/vectors", 0, 0, 8, START + 60, None, 12_340_000, 0, 5, b"\x22" * 32)
IMPORT: Final = Import(
    b"\x33" * 32, {"time": "end", "unit": "kWh"}, 3, ("PLANT-01/gw-01/MTR-001",), START, START + 900, "op.example"
)
DECISION: Final = Decision(b"\x11" * 32, "release", "the clock was set", START, "op.example")
SWAPPED: Final = Discontinuity(
    "meter-swap",
    "PLANT-01",
    "gw-01",
    "MTR-001",
    KID,
    b"\x66" * 32,
    1_014_200_000,
    0,
    500_000,
    0,
    True,
    "calibration has run out",
    START,
    "op.example",
)
RESET_UNREAD: Final = replace(SWAPPED, kind="register-reset", import_after_mwh=0, before_known=False)

WITNESS_SIGNER: Final = Signer(WITNESS.name, "witness", WITNESS.vkey, START, START + 1, simulated=True)
ROTATED: Final = replace(
    KEY,
    valid_until_s=START + 86_400,
    provenance="chip-certificate",
    simulated=True,
    previous_kid=b"\x44" * 16,
    previous_digest=b"\x55" * 32,
    reason="rotated",
)
RATED: Final = replace(METER, rated_power_mw=11_000_000, kids=(KID, b"\x44" * 16), disclosed=True)
KEYLESS: Final = replace(METER, kids=(), role="production", record_interval_s=1)
CHEAPER: Final = replace(TARIFF, version=2, price_msat_per_kwh=99_500, meters=("gw-01/MTR-001", "gw-01/MTR-002"))
NEXT: Final = replace(BATCH, number=1, first_index=9, last_index=9, previous=b"\x66" * 32, production_mwh=1)

BODIES: Final[tuple[tuple[str, str, Body], ...]] = (
    ("a log's key", "log.md §2", SIGNER),
    ("a witness's key, simulated, with an end", "log.md §2", WITNESS_SIGNER),
    ("a device key", "log.md §2", KEY),
    ("a device key that replaced another", "log.md §2", ROTATED),
    ("a meter", "log.md §2", METER),
    ("a meter with a rating and two keys", "log.md §2", RATED),
    ("a meter without keys", "log.md §2", KEYLESS),
    ("a tariff for a whole site", "log.md §2", TARIFF),
    ("a tariff for two meters", "log.md §2", CHEAPER),
    ("the first batch", "log.md §3", BATCH),
    ("the next batch", "log.md §3", NEXT),
    ("an import", "log.md §2", IMPORT),
    ("a quarantined reading", "log.md §2", Quarantine(START, "replay", "it is too old", KID, "MTR-001", 3, 17)),
    ("quarantined bytes", "log.md §2", Quarantine(START, "overlap", "", None, None, None, None)),
    ("a decision", "log.md §2", DECISION),
    ("a meter swap", "log.md §2", SWAPPED),
    ("a reset whose end nobody read", "log.md §2", RESET_UNREAD),
)

PARSERS: Final[dict[str, Callable[[bytes], Body]]] = {
    "signer-1": parse_signer,
    "key-1": parse_device_key,
    "meter-1": parse_meter,
    "tariff-1": parse_tariff,
    "batch-1": parse_batch,
    "import-1": parse_import,
    "decision-1": parse_decision,
    "discontinuity-1": parse_discontinuity,
}

CHANGES: Final[tuple[tuple[str, Body, dict[str, Any]], ...]] = (
    ("role of nobody", SIGNER, {"role": "auditor"}),
    ("another name than in vkey", SIGNER, {"name": "log.example/other"}),
    ("vkey of no key", SIGNER, {"vkey": "log.example/vectors+00000000+AA=="}),
    ("simulated as a number", SIGNER, {"simulated": 0}),
    ("valid_from null", SIGNER, {"valid_from": None}),
    ("valid_from in another zone", SIGNER, {"valid_from": "2025-12-01T01:00:00+01:00"}),
    ("valid_until as a number", SIGNER, {"valid_until": START}),
    ("another schema", SIGNER, {"schema_version": "signer-2"}),
    ("unknown member", SIGNER, {"colour": "green"}),
    ("alg EdDSA", KEY, {"alg": "EdDSA"}),
    ("kid of another key", KEY, {"kid": "00" * 16}),
    ("kid of 15 bytes", KEY, {"kid": "00" * 15}),
    ("kid in upper case", KEY, {"kid": KID.hex().upper()}),
    ("public key of 65 bytes", KEY, {"public_key": "04" + PUBLIC.hex()}),
    ("serial empty", KEY, {"serial": ""}),
    ("serial with half a byte", KEY, {"serial": "012"}),
    ("provenance of nobody", KEY, {"provenance": "trusted"}),
    ("previous digest of 31 bytes", KEY, {"previous_digest": "00" * 31}),
    ("reason lost", KEY, {"reason": "lost"}),
    ("device with a slash", KEY, {"iot_device_id": "gw/01"}),
    ("role of a signer", METER, {"role": "log"}),
    ("kid as a text", METER, {"kid": KID.hex()}),
    ("a kid in upper case", METER, {"kid": [KID.hex().upper()]}),
    ("a kid as a number", METER, {"kid": [1]}),
    ("rating of nothing", METER, {"rated_power_kw": 0}),
    ("rating negative", METER, {"rated_power_kw": -1}),
    ("rating as text", METER, {"rated_power_kw": "11"}),
    ("interval of nothing", METER, {"record_interval_s": 0}),
    ("interval of more than a day", METER, {"record_interval_s": 86_401}),
    ("disclosed as text", METER, {"disclosed": "true"}),
    ("kind tiers", TARIFF, {"kind": "tiers"}),
    ("version 0", TARIFF, {"version": 0}),
    ("version true", TARIFF, {"version": True}),
    ("price negative", TARIFF, {"price_sats_per_kwh": -1}),
    ("price null", TARIFF, {"price_sats_per_kwh": None}),
    ("price above a billion sats", TARIFF, {"price_sats_per_kwh": 1_000_000_001}),
    ("a meter without its device", TARIFF, {"meters": ["MTR-001"]}),
    ("a meter with its site", TARIFF, {"meters": ["PLANT-01/gw-01/MTR-001"]}),
    ("a meter as a number", TARIFF, {"meters": [1]}),
    ("batch negative", BATCH, {"batch": -1}),
    ("first index as text", BATCH, {"first_index": "0"}),
    ("previous of 31 bytes", BATCH, {"previous": "00" * 31}),
    ("registry null", BATCH, {"registry": None}),
    ("registry without a root", BATCH, {"registry": {"size": 5}}),
    ("registry with more", BATCH, {"registry": {"size": 5, "root": "22" * 32, "extra": 0}}),
    ("registry of a negative size", BATCH, {"registry": {"size": -1, "root": "22" * 32}}),
    ("consumption negative", BATCH, {"consumption_kwh": -1}),
    ("production above 15 digits", BATCH, {"production_kwh": 1_000_000_000}),
    ("mapping of another digest", IMPORT, {"mapping_sha256": "00" * 32}),
    ("rows negative", IMPORT, {"rows": -1}),
    ("a meter of another form", IMPORT, {"meters": ["MTR-001"]}),
    ("a meter that is null", IMPORT, {"meters": [None]}),
    ("no operator", IMPORT, {"operator": None}),
    ("a decision to wait", DECISION, {"decision": "wait"}),
    ("a discontinuity of another kind", SWAPPED, {"kind": "storm"}),
    ("a swap whose end nobody read", SWAPPED, {"before_known": False}),
    ("a discontinuity with a negative register", SWAPPED, {"export_after_kwh": -1}),
    ("a discontinuity without a reason", SWAPPED, {"reason": " "}),
    ("a subject of 16 bytes", DECISION, {"subject": "11" * 16}),
)


def _schema(document: Body) -> str:
    value = jcs.loads(document.body(), 65_536)
    if not isinstance(value, dict):
        raise TypeError(document)
    return str(value["schema_version"])


def changed(document: Body, members: dict[str, Any]) -> bytes:
    """The canonical body with other members."""
    value = jcs.loads(document.body(), 65_536)
    if not isinstance(value, dict):
        raise TypeError(document)
    return jcs.dumps({**value, **members})


def bodies() -> list[dict[str, Any]]:
    """The member `bodies`: schema, text, and for a registration the name under which a batch commits to it."""
    return [
        {
            "name": name,
            "spec": spec,
            "schema": _schema(document),
            "body": document.body().decode(),
            "registry_name": document.registry_name
            if isinstance(document, Signer | DeviceKey | Meter | Tariff)
            else None,
        }
        for name, spec, document in BODIES
    ]


def refusals() -> list[dict[str, Any]]:
    """The member `bodies_invalid`."""
    cases = [(name, _schema(document), changed(document, members)) for name, document, members in CHANGES]
    good = METER.body()
    cases += [
        (
            "members not sorted",
            "meter-1",
            b'{"zone":"Europe/Berlin",' + good[1:].replace(b',"zone":"Europe/Berlin"', b""),
        ),
        ("white space", "meter-1", good.replace(b",", b", ")),
        ("a member twice", "meter-1", good.replace(b'"zone"', b'"disclosed":false,"zone"')),
        (
            "a rating with a zero at its end",
            "meter-1",
            changed(METER, {"rated_power_kw": 11}).replace(b":11,", b":11.0,"),
        ),
        (
            "a rating with an exponent",
            "meter-1",
            changed(METER, {"rated_power_kw": 11}).replace(b":11,", b":11e999999999,"),
        ),
        ("longer than 65536 bytes", "meter-1", good.replace(b"Europe/Berlin", b"E" * 65_536)),
        ("an array", "meter-1", b"[]"),
        ("nothing", "meter-1", b""),
    ]
    for member in ("kid", "zone", "schema_version"):
        value = jcs.loads(good, 65_536)
        if isinstance(value, dict):
            text = jcs.dumps({name: item for name, item in value.items() if name != member})
            cases.append((f"{member} is missing", "meter-1", text))
    return [
        {"name": name, "spec": "log.md §2", "schema": schema, "body": data.decode(), **refused(PARSERS[schema], data)}
        for name, schema, data in cases
    ]
