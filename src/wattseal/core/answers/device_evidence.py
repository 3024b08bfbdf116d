"""Records of the kinds device and gateway: two readings that a device key signed (docs/spec/proof.md §3.2)."""

from __future__ import annotations

from wattseal.core.answers.derived_body import compare
from wattseal.core.answers.key_ring import Key, KeyRing
from wattseal.core.answers.once import Once
from wattseal.core.answers.trail import Trail
from wattseal.core.bundle import Leaf
from wattseal.core.contents import Contents
from wattseal.core.derivation import device_record
from wattseal.core.discontinuity import Declared
from wattseal.core.emlog import Record
from wattseal.core.reading import (
    FLAG_CLOCK_UNSYNCED,
    FLAG_METER_UNREACHABLE,
    FLAG_REGISTER_RESET,
    FLAG_TAMPER,
    Reading,
    signature_is_good,
)
from wattseal.core.refusal import Refusal

_FLAGS = {
    FLAG_TAMPER: "tampering",
    FLAG_REGISTER_RESET: "a register reset",
    FLAG_METER_UNREACHABLE: "a meter that did not answer",
    FLAG_CLOCK_UNSYNCED: "a clock that was not set",
}


class DeviceEvidence:
    """Checks records against the readings of a bundle; each signature is verified once."""

    def __init__(self, contents: Contents, ring: KeyRing, trail: Trail) -> None:
        self._contents, self._ring, self._trail = contents, ring, trail
        self._readings = Once(self._read)

    def check(self, record: Record, leaf: Leaf, declared: Declared | None = None, *, is_released: bool = False) -> bool:
        """Whether a key involved is simulated; Refusal or Unknown where the record does not follow from readings.

        `declared`: a discontinuity that lies between them. `is_released`: the operator released one of them.
        """
        start_kid, end_kid = self._kid(leaf.slots.start), self._kid(leaf.slots.end)
        if end_kid.hex() != record.evidence.kid:
            raise Refusal("evidence.kid", "is not that of the key that signed the reading")
        keys = self._ring.key(start_kid), self._ring.key(end_kid)
        start, end = self._readings(leaf.slots.start), self._readings(leaf.slots.end)
        for reading in (start, end):
            if reading.meter_id != record.meter_id:
                raise Refusal("meter_id", f"is not that of the reading ({reading.meter_id})")
        self._check_chain(record, leaf, (start_kid, start), (end_kid, end))
        if record.price_msat_per_kwh is not None and record.tariff_version is None:
            raise Refusal("tx.price_msat_per_kwh", "has no tariff version, and a reading names no price")
        derived = device_record(
            record.site_id,
            record.iot_device_id,
            record.meter_id,
            "operator" if is_released or declared is not None else _kind(start, end),
            end_kid,
            start,
            end,
            gap=record.status == "gap",
            price_msat=record.price_msat_per_kwh,
            tariff_version=record.tariff_version,
            discontinuity=None if declared is None else declared.correction,
        )
        compare(leaf, derived)
        self._check_status(record)
        return any(key.simulated for key in keys)

    def reading(self, digest: bytes) -> tuple[bytes, Reading]:
        """The key id and the values of a reading whose signature is good; Refusal where it is missing or bad."""
        return self._kid(digest), self._readings(digest)

    def _check_chain(
        self, record: Record, leaf: Leaf, first: tuple[bytes, Reading], last: tuple[bytes, Reading]
    ) -> None:
        """The end must come after the start in one chain (reading.md §3), or in the chain of the key that followed."""
        (start_kid, start), (end_kid, end) = first, last
        if start_kid != end_kid:
            if not self._ring.follows(end_kid, start_kid, leaf.slots.start):
                raise Refusal("kid", "the readings are signed by two keys, and no registered rotation joins them")
            return
        if (end.epoch, end.seq) <= (start.epoch, start.seq):
            raise Refusal("seq", "the end reading does not come after the start reading in its device's chain")
        is_next = end.seq == start.seq + 1 if end.epoch == start.epoch else end.seq == 0
        if end.epoch == start.epoch and is_next and end.prev != leaf.slots.start:
            raise Refusal("prev", "of the end reading names another reading than the start")
        if record.status == "ok" and end.prev == leaf.slots.start and not is_next:
            raise Refusal("prev", "of the end reading names the start, but their numbers say that readings lie between")

    def _check_status(self, record: Record) -> None:
        if self._ring.meter is None or record.status == "gap":
            return
        interval_s = self._ring.meter.record_interval_s
        slots = record.end_s // interval_s - record.start_s // interval_s
        if slots > 1:
            raise Refusal("status", f"must be gap: the record covers {slots} slots of the meter's grid")

    def _kid(self, digest: bytes) -> bytes:
        found = self._contents.readings.get(digest)
        if found is None:
            raise Refusal("readings", f"hold none with the digest {digest.hex()[:16]}…, from which the record was made")
        return found[0].kid

    def _read(self, digest: bytes) -> Reading:
        envelope, reading = self._contents.readings[digest]
        key: Key = self._ring.key(envelope.kid)
        if not signature_is_good(envelope, key.public_key):
            raise Refusal("readings", f"the signature under {digest.hex()[:16]}… is not its device's")
        key.check(reading)
        self._trail.used.add(digest)
        self._trail.vouchers.add(key.voucher)
        self._trail.cautions.update(
            f"a device reported {words}" for flag, words in _FLAGS.items() if reading.flags & flag
        )
        return reading


def _kind(start: Reading, end: Reading) -> str:
    return "device" if start.source_digest is None and end.source_digest is None else "gateway"
