"""The keys that a bundle's evidence may be signed with, and on whose word (docs/spec/proof.md §3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from wattseal.core.answers.once import Once
from wattseal.core.answers.unknown import Unknown
from wattseal.core.bundle import Bundle
from wattseal.core.reading import Reading, kid_of, load_public_key
from wattseal.core.refusal import Refusal
from wattseal.core.registration import parse_registration
from wattseal.core.registry import DeviceKey, Meter, parse_device_key, parse_meter
from wattseal.core.trust import Trust, TrustedKey
from wattseal.core.units import rfc3339

_PROVENANCE = {
    "chip-certificate": "with a certificate of the chip's maker",
    "provisioned": "which was made in the device on site",
    "registered": "on its operator's word alone",
}


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
        self._bundle, self._registry = bundle, registry
        self._trusted = {kid_of(key.public_key): key for key in trust.device_keys}
        self._keys = Once(self._find)
        self._registered = Once(self._parse)

    @cached_property
    def meter(self) -> Meter | None:
        """The meter's registration; None where none is shown to be the log's."""
        body = None if self._registry is None else self._registry.get(f"meter/{self._bundle.path}")
        return None if body is None else parse_meter(body)

    def key(self, kid: bytes) -> Key:
        """The device key of that id; Unknown where nobody vouches for it."""
        return self._keys(kid)

    def follows(self, kid: bytes, before: bytes, digest: bytes) -> bool:
        """Whether the registry says that a key took over from another one whose last reading had that digest."""
        key = self._registered(kid)
        return key is not None and key.previous_kid == before and key.previous_digest == digest

    def _find(self, kid: bytes) -> Key:
        if self._registry is not None and self.meter is None:
            # Else whoever leaves the registration out of the file would turn a no into a yes.
            raise Unknown("the file leaves out the meter's registration, which says whose key may sign for it")
        if self.meter is not None and kid not in self.meter.kids:
            # Before the key is looked up: a key that the meter does not have is a no, not an unknown.
            raise Refusal("kid", "the log's registry does not let this key sign for this meter")
        trusted = self._trusted.get(kid)
        registered = self._registered(kid)
        if trusted is not None:
            self._check_trusted(trusted)
            if self._registry is not None and registered is None:
                raise Unknown(f"the file leaves out what the log's registry says of the key {kid.hex()}")
            return _both(kid, trusted, self._admitted.get(kid, []) if registered is None else [registered])
        if registered is None:
            raise Unknown(f"neither the log's registry nor your trust file vouches for the key {kid.hex()}")
        return Key(
            load_public_key(registered.public_key),
            registered.serial,
            registered.valid_from_s,
            _end(registered),
            registered.simulated,
            f"key {kid.hex()}: registered in the log, {_PROVENANCE[registered.provenance]}",
        )

    def _parse(self, kid: bytes) -> DeviceKey | None:
        body = None if self._registry is None else self._registry.get(f"key/{kid.hex()}")
        if body is None:
            return None
        key = parse_device_key(body)
        if (key.site_id, key.iot_device_id) != (self._bundle.site_id, self._bundle.iot_device_id):
            raise Refusal("kid", "is registered for another device")
        return key

    @cached_property
    def _admitted(self) -> Mapping[bytes, list[DeviceKey]]:
        """What the file itself says of keys. Nothing shows it to be the log's, so it counts only against a key."""
        found: dict[bytes, list[DeviceKey]] = {}
        for item in self._bundle.registry:
            try:
                said = parse_registration(item.name, item.leaf.body)
            except Refusal:
                continue
            if isinstance(said, DeviceKey):
                found.setdefault(said.kid, []).append(said)
        return found

    def _check_trusted(self, trusted: TrustedKey) -> None:
        bundle = self._bundle
        for mine, theirs in (
            (trusted.site_id, bundle.site_id),
            (trusted.iot_device_id, bundle.iot_device_id),
            (trusted.meter_id, bundle.meter_id),
        ):
            if mine is not None and mine != theirs:
                raise Refusal("kid", "is trusted for another device or meter in your trust file")
        if self._registry is None and None in (trusted.site_id, trusted.iot_device_id):
            # The readings name neither, so whoever holds them could show them as those of any site.
            raise Unknown(
                "your trust file does not say of which site and device the key is, and no registration of the meter "
                "is shown to be the log's"
            )


def _both(kid: bytes, trusted: TrustedKey, said: Sequence[DeviceKey]) -> Key:
    """A key that the verifier vouches for, within what is said of it elsewhere."""
    return Key(
        load_public_key(trusted.public_key),
        said[0].serial if said else None,
        _latest(trusted.valid_from_s, *(key.valid_from_s for key in said)),
        _earliest(trusted.valid_until_s, *(_end(key) for key in said)),
        trusted.simulated or any(key.simulated for key in said),
        f"key {kid.hex()}: you vouch for it in your trust file ({trusted.provenance or 'no origin given'})",
    )


def _end(key: DeviceKey) -> int | None:
    """When a registered key ends, in Unix seconds; one that was revoked and not told when, was never valid."""
    return key.valid_from_s if key.reason == "revoked" and key.valid_until_s is None else key.valid_until_s


def _latest(*times: int | None) -> int | None:
    """The latest of several beginnings: a key is valid only where everybody who speaks of it says so."""
    return max((time_s for time_s in times if time_s is not None), default=None)


def _earliest(*times: int | None) -> int | None:
    """The earliest of several ends."""
    return min((time_s for time_s in times if time_s is not None), default=None)
