"""Registry entries: signers, device keys, meters and tariff versions (docs/spec/log.md §2).

Each has the name under which a batch commits to it (§3).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal

from wattseal.core import jcs
from wattseal.core.document import parse_document
from wattseal.core.note_key import Verifier
from wattseal.core.reading import kid_of
from wattseal.core.refusal import Refusal
from wattseal.core.units import MAX_ENERGY_MWH, identifier, kw_text, rfc3339, sats_text

NAME_TAG = b"wattseal/registry/1\n"
SIGNER_ROLES = ("log", "operator", "gateway", "witness")
METER_ROLES = ("consumption", "production", "storage", "main", "sub")
PROVENANCES = ("chip-certificate", "provisioned", "registered")
REASONS = ("registered", "rotated", "revoked")
MAX_PRICE_MSAT = 10**12


def map_key(name: str) -> bytes:
    """The key of a registry name in the sorted map."""
    return hashlib.sha256(NAME_TAG + name.encode()).digest()


def meter_path(site_id: str, device_id: str, meter_id: str) -> str:
    """The one way to write which meter is meant: site/device/meter."""
    return f"{site_id}/{device_id}/{meter_id}"


def _time(value: int | None) -> str | None:
    return None if value is None else rfc3339(value)


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs notes: the log's own, the operator's, the gateway's, or a witness's."""

    name: str
    role: str
    vkey: str
    valid_from_s: int
    valid_until_s: int | None = None
    simulated: bool = False

    @property
    def registry_name(self) -> str:
        """signer/<vkey name>+<key id>."""
        # Name and key id hold no plus sign; the base64 of the key may.
        return "signer/" + "+".join(self.vkey.split("+", 2)[:2])

    def body(self) -> bytes:
        """Canonical `signer-1`."""
        return jcs.dumps(
            {
                "schema_version": "signer-1",
                "name": self.name,
                "role": self.role,
                "vkey": self.vkey,
                "valid_from": rfc3339(self.valid_from_s),
                "valid_until": _time(self.valid_until_s),
                "simulated": self.simulated,
            }
        )


def parse_signer(data: bytes) -> Signer:
    """A Signer from its body; Refusal when vkey is no key of that name."""
    members = parse_document(data, "signer-1")
    signer = Signer(
        members.text("name"),
        members.one_of("role", SIGNER_ROLES),
        members.text("vkey", 512),
        members.time("valid_from"),
        members.optional_time("valid_until"),
        members.boolean("simulated"),
    )
    members.done()
    if Verifier.from_vkey(signer.vkey).name != signer.name:
        raise Refusal("name", "is not the name in vkey")
    return signer


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """A device's public key (64 bytes X ‖ Y) with the time in which readings may carry it; valid_until is exclusive."""

    public_key: bytes
    site_id: str
    iot_device_id: str
    serial: bytes
    valid_from_s: int
    valid_until_s: int | None = None
    provenance: str = "registered"
    simulated: bool = False
    previous_kid: bytes | None = None
    previous_digest: bytes | None = None
    reason: str = "registered"

    @property
    def kid(self) -> bytes:
        """First 16 bytes of SHA-256(public key)."""
        return kid_of(self.public_key)

    @property
    def registry_name(self) -> str:
        """key/<kid>."""
        return f"key/{self.kid.hex()}"

    def valid_at(self, time_s: int) -> bool:
        """Whether a reading of that time may carry this key."""
        return self.valid_from_s <= time_s and (self.valid_until_s is None or time_s < self.valid_until_s)

    def body(self) -> bytes:
        """Canonical `key-1`."""
        return jcs.dumps(
            {
                "schema_version": "key-1",
                "kid": self.kid.hex(),
                "alg": "ES256",
                "public_key": self.public_key.hex(),
                "site_id": self.site_id,
                "iot_device_id": self.iot_device_id,
                "serial": self.serial.hex(),
                "valid_from": rfc3339(self.valid_from_s),
                "valid_until": _time(self.valid_until_s),
                "provenance": self.provenance,
                "simulated": self.simulated,
                "previous_kid": None if self.previous_kid is None else self.previous_kid.hex(),
                "previous_digest": None if self.previous_digest is None else self.previous_digest.hex(),
                "reason": self.reason,
            }
        )


def parse_device_key(data: bytes) -> DeviceKey:
    """A DeviceKey from its body; Refusal when the kid is not that of the key."""
    members = parse_document(data, "key-1")
    kid = members.hex("kid", 16)
    members.one_of("alg", ("ES256",))
    key = DeviceKey(
        members.hex("public_key", 64),
        members.identifier("site_id"),
        members.identifier("iot_device_id"),
        members.hex("serial"),
        members.time("valid_from"),
        members.optional_time("valid_until"),
        members.one_of("provenance", PROVENANCES),
        members.boolean("simulated"),
        members.optional_hex("previous_kid", 16),
        members.optional_hex("previous_digest", 32),
        members.one_of("reason", REASONS),
    )
    members.done()
    if key.kid != kid:
        raise Refusal("kid", "is not the id of public_key")
    return key


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter: what counts, where it stands, who may sign it, and on which grid its records lie."""

    site_id: str
    iot_device_id: str
    meter_id: str
    role: str
    kids: tuple[bytes, ...]
    record_interval_s: int
    zone: str
    valid_from_s: int
    rated_power_mw: int | None = None
    disclosed: bool = False

    @property
    def path(self) -> str:
        """site/device/meter."""
        return meter_path(self.site_id, self.iot_device_id, self.meter_id)

    @property
    def registry_name(self) -> str:
        """meter/<site>/<device>/<meter>."""
        return f"meter/{self.path}"

    def body(self) -> bytes:
        """Canonical `meter-1`."""
        rated = None if self.rated_power_mw is None else Decimal(kw_text(self.rated_power_mw))
        return jcs.dumps(
            {
                "schema_version": "meter-1",
                "site_id": self.site_id,
                "iot_device_id": self.iot_device_id,
                "meter_id": self.meter_id,
                "role": self.role,
                "kid": [kid.hex() for kid in self.kids],
                "rated_power_kw": rated,
                "record_interval_s": self.record_interval_s,
                "zone": self.zone,
                "disclosed": self.disclosed,
                "valid_from": rfc3339(self.valid_from_s),
            }
        )


def parse_meter(data: bytes) -> Meter:
    """A Meter from its body."""
    members = parse_document(data, "meter-1")
    kids = []
    for kid in members.list("kid", 64):
        if not isinstance(kid, str) or len(kid) != 32 or not set(kid) <= set("0123456789abcdef"):
            raise Refusal("kid", "must be a list of 16-byte key ids in lower-case hex")
        kids.append(bytes.fromhex(kid))
    meter = Meter(
        members.identifier("site_id"),
        members.identifier("iot_device_id"),
        members.identifier("meter_id"),
        members.one_of("role", METER_ROLES),
        tuple(kids),
        members.integer("record_interval_s", 1, 86_400),
        members.text("zone", 64),
        members.time("valid_from"),
        members.optional_decimal("rated_power_kw", 6),
        members.boolean("disclosed"),
    )
    members.done()
    if meter.rated_power_mw is not None and not 0 < meter.rated_power_mw <= MAX_ENERGY_MWH:
        raise Refusal("rated_power_kw", "must be more than 0")
    return meter


@dataclass(frozen=True, slots=True)
class Tariff:
    """A flat tariff version: price in msat per kWh from a time on, for meters of a site.

    `meters` lists them as "device/meter"; empty: all of the site.
    """

    tariff_id: str
    version: int
    site_id: str
    price_msat_per_kwh: int
    valid_from_s: int
    meters: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """id/version, as tx.tariff_version shows it."""
        return f"{self.tariff_id}/{self.version}"

    @property
    def registry_name(self) -> str:
        """tariff/<id>/<version>."""
        return f"tariff/{self.label}"

    def body(self) -> bytes:
        """Canonical `tariff-1`."""
        return jcs.dumps(
            {
                "schema_version": "tariff-1",
                "tariff_id": self.tariff_id,
                "version": self.version,
                "kind": "flat",
                "site_id": self.site_id,
                "price_sats_per_kwh": Decimal(sats_text(self.price_msat_per_kwh)),
                "valid_from": rfc3339(self.valid_from_s),
                "meters": list(self.meters),
            }
        )


def parse_tariff(data: bytes) -> Tariff:
    """A Tariff from its body."""
    members = parse_document(data, "tariff-1")
    members.one_of("kind", ("flat",))
    meters = []
    for meter in members.list("meters", 1_000):
        device_id, slash, meter_id = meter.partition("/") if isinstance(meter, str) else ("", "", "")
        if not slash:
            raise Refusal("meters", 'must be a list of "device/meter"')
        meters.append(f"{identifier(device_id, 'meters')}/{identifier(meter_id, 'meters')}")
    tariff = Tariff(
        members.identifier("tariff_id"),
        members.integer("version", 1, 10**9),
        members.identifier("site_id"),
        members.decimal("price_sats_per_kwh", 3),
        members.time("valid_from"),
        tuple(meters),
    )
    members.done()
    if tariff.price_msat_per_kwh > MAX_PRICE_MSAT:
        raise Refusal("price_sats_per_kwh", "is more than a billion sats per kWh")
    return tariff
