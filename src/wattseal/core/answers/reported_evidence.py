"""Records of the kind reported: a gateway signed the bytes that somebody sent it (docs/spec/proof.md §3.2)."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from wattseal.core.answers.derived_body import compare
from wattseal.core.answers.key_ring import check_validity
from wattseal.core.answers.once import Once
from wattseal.core.answers.signers import Signers
from wattseal.core.answers.trail import Trail
from wattseal.core.bundle import Bundle, Leaf
from wattseal.core.emlog import Record
from wattseal.core.entry import Slots
from wattseal.core.note import Note
from wattseal.core.refusal import Refusal
from wattseal.core.registry import meter_path
from wattseal.core.reported import Interval, parse_interval
from wattseal.core.statement import reported_text
from wattseal.core.units import parse_rfc3339


class _Opened(NamedTuple):
    """What was reported, and whether the key of the gateway that signed it is simulated."""

    interval: Interval
    simulated: bool


class ReportedEvidence:
    """Checks records against the reports of a bundle; each is parsed and its signature verified once."""

    def __init__(self, bundle: Bundle, signers: Signers, trail: Trail) -> None:
        self._bundle, self._signers, self._trail = bundle, signers, trail
        self._by_slots = {
            Slots(hashlib.sha256(item.raw).digest(), hashlib.sha256(item.note).digest()): item
            for item in bundle.reported
        }
        self._reports = Once(self._open)

    def check(self, record: Record, leaf: Leaf) -> bool:
        """Whether the gateway's key is simulated; Refusal or Unknown where the record follows from no report."""
        opened = self._reports(leaf.slots)
        # Without a tariff version the price can only be the payload's own, which `record` then takes.
        price = None if record.tariff_version is None else record.price_msat_per_kwh
        derived = opened.interval.record(
            record.site_id, record.iot_device_id, record.meter_id, price, record.tariff_version
        )
        compare(leaf, derived)
        return opened.simulated

    def _open(self, slots: Slots) -> _Opened:
        found = self._by_slots.get(slots)
        if found is None:
            raise Refusal(
                "reported", "the bytes or the gateway's note that the record was made from are not in the file"
            )
        note = Note.parse(found.note)
        received_s = parse_rfc3339(note.text.decode().rstrip("\n").rpartition("\n")[2], "reported.note")
        text = reported_text(found.raw, self._bundle.path, received_s)
        signer = self._signers.open(found.note, note.signatures[0].name, "gateway", text)
        check_validity("reported.note", received_s, signer.valid_from_s, signer.valid_until_s)
        interval = parse_interval(found.raw)
        self._compare_meter(interval)
        self._trail.used.add(slots.start)
        self._trail.vouchers.add(f"gateway {signer.name} signed what was reported to it")
        return _Opened(interval, signer.simulated)

    def _compare_meter(self, interval: Interval) -> None:
        """A topic beats the payload (emlog.md §6), so another name is no fault; but who reads the answer must know."""
        bundle = self._bundle
        named = meter_path(
            interval.site_id or bundle.site_id,
            interval.iot_device_id or bundle.iot_device_id,
            interval.meter_id or bundle.meter_id,
        )
        if named != bundle.path:
            self._trail.cautions[
                f"reported bytes name another meter, {named}; the gateway put them under {bundle.path}"
            ] += 1
