"""The keys that a bundle's evidence may be signed with, and on whose word (docs/spec/proof.md §3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from wattseal.core.bundle import Bundle
from wattseal.core.reading import Reading, load_public_key
from wattseal.core.refusal import Refusal
from wattseal.core.registry import DeviceKey, Meter, Signer, parse_device_key, parse_meter, parse_signer
from wattseal.core.trust import Trust, TrustedKey
from wattseal.core.units import rfc3339

_PROVENANCE = {
    "chip-certificate": "with a certificate of the chip's maker",
    "provisioned": "which was made in the device on site",
    "registered": "on its operator's word alone",
}


class Unknown(Exception):
    """Something that a check needs is neither in the bundle nor in the trust file: neither good nor bad."""


@dataclass(frozen=True, slots=True)
class Key:
    """A device key that may be relied on. Validity in Unix seconds, its end exclusive; None: no limit."""

    public_key: EllipticCurvePublicKey
    serial: bytes | None
    valid_from_s: int | None
    valid_until_s: int | None
    simulated: bool
    voucher: str

    def check(self, reading: Reading) -> None:
        """Refuse a reading of another device, or of a time in which the key was not valid."""
        if self.serial is not None and reading.serial != self.serial:
            raise Refusal("serial", "of the reading is not that of the key's device")
        check_validity("kid", reading.time_s, self.valid_from_s, self.valid_until_s)


def check_validity(field: str, time_s: int, valid_from_s: int | None, valid_until_s: int | None) -> None:
    """Refuse a time outside of a key's validity."""
    if valid_from_s is not None and time_s < valid_from_s:
        raise Refusal(field, f"was not valid yet at {rfc3339(time_s)}")
    if valid_until_s is not None and time_s >= valid_until_s:
        raise Refusal(field, f"was not valid any more at {rfc3339(time_s)}")


class KeyRing:
    """The keys for one bundle; each is looked up once.

    `registry` holds the bodies that *included* has shown to be the log's, or is None where it could not.
    """

    def __init__(self, bundle: Bundle, trust: Trust, registry: Mapping[str, bytes] | None) -> None:
        self._bundle, self._trust, self._registry = bundle, trust, registry
        self._keys: dict[bytes, Key] = {}

    @cached_property
    def meter(self) -> Meter | None:
        """The meter's registration; None where none is shown to be the log's."""
        body = None if self._registry is None else self._registry.get(f"meter/{self._bundle.path}")
        return None if body is None else parse_meter(body)

    def key(self, kid: bytes) -> Key:
        """The device key of that id; Unknown where nobody vouches for it."""
        known = self._keys.get(kid)
        if known is None:
            known = self._keys[kid] = self._find(kid)
        return known

    def signers(self, name: str, role: str) -> list[Signer]:
        """The registered signers of that name and role: one for each key that the name has had."""
        if self._registry is None:
            raise Unknown(f"the registry that names the {role}'s key is not shown to be the log's")
        bodies = [body for key, body in self._registry.items() if key.startswith("signer/")]
        found = [signer for signer in map(parse_signer, bodies) if signer.name == name and signer.role == role]
        if not found:
            raise Refusal("registry", f"names no {role} {name}")
        return found

    def _find(self, kid: bytes) -> Key:
        if self._registry is not None and self.meter is None:
            # Else whoever leaves the registration out of the file would turn a no into a yes.
            raise Unknown("the file leaves out the meter's registration, which says whose key may sign for it")
        if self.meter is not None and kid not in self.meter.kids:
            # Before the key is looked up: a key that the meter does not have is a no, not an unknown.
            raise Refusal("kid", "the log's registry does not let this key sign for this meter")
        trusted = self._trust.key(kid)
        registered = self._registered(kid)
        if trusted is not None:
            if self._registry is not None and registered is None:
                raise Unknown(f"the file leaves out what the log's registry says of the key {kid.hex()}")
            return self._trusted(kid, trusted, registered)
        if registered is None:
            raise Unknown(f"neither the log's registry nor your trust file vouches for the key {kid.hex()}")
        return Key(
            load_public_key(registered.public_key),
            registered.serial,
            registered.valid_from_s,
            registered.valid_until_s,
            registered.simulated,
            f"key {kid.hex()}: registered in the log, {_PROVENANCE[registered.provenance]}",
        )

    def follows(self, kid: bytes, before: bytes, digest: bytes) -> bool:
        """Whether the registry says that a key took over from another one whose last reading had that digest."""
        key = self._registered(kid)
        return key is not None and key.previous_kid == before and key.previous_digest == digest

    def _registered(self, kid: bytes) -> DeviceKey | None:
        body = None if self._registry is None else self._registry.get(f"key/{kid.hex()}")
        if body is None:
            return None
        key = parse_device_key(body)
        if (key.site_id, key.iot_device_id) != (self._bundle.site_id, self._bundle.iot_device_id):
            raise Refusal("kid", "is registered for another device")
        return key

    def _trusted(self, kid: bytes, trusted: TrustedKey, registered: DeviceKey | None) -> Key:
        for mine, theirs in (
            (trusted.site_id, self._bundle.site_id),
            (trusted.iot_device_id, self._bundle.iot_device_id),
            (trusted.meter_id, self._bundle.meter_id),
        ):
            if mine is not None and mine != theirs:
                raise Refusal("kid", "is trusted for another device or meter in your trust file")
        return Key(
            load_public_key(trusted.public_key),
            None if registered is None else registered.serial,
            _latest(trusted.valid_from_s, None if registered is None else registered.valid_from_s),
            _earliest(trusted.valid_until_s, None if registered is None else registered.valid_until_s),
            trusted.simulated or (registered is not None and registered.simulated),
            f"key {kid.hex()}: you vouch for it in your trust file ({trusted.provenance or 'no origin given'})",
        )


def _latest(mine: int | None, theirs: int | None) -> int | None:
    """The later of two beginnings: a key is valid only where both the verifier and the registry say so."""
    return max((time_s for time_s in (mine, theirs) if time_s is not None), default=None)


def _earliest(mine: int | None, theirs: int | None) -> int | None:
    """The earlier of two ends."""
    return min((time_s for time_s in (mine, theirs) if time_s is not None), default=None)
