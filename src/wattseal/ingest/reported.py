"""Reported intervals (docs/spec/emlog.md §6): JSON without registers or signature; the gateway signs it as it came."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from wattseal.core.emlog import parse_body
from wattseal.core.entry import Slots
from wattseal.core.note import Note
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.refusal import Refusal
from wattseal.core.registry import Meter, meter_path
from wattseal.core.reported import Interval, parse_interval
from wattseal.core.statement import QUARANTINE, Quarantine, reported_text
from wattseal.core.units import identifier
from wattseal.ingest.admission import Round
from wattseal.ingest.chain import ADMITTED, DUPLICATE, QUARANTINED, REFUSED
from wattseal.ingest.draft import Logged, record_draft, statement_draft
from wattseal.ingest.enrolment import Enrolment
from wattseal.ingest.gate import AHEAD_S, EARLIEST_S
from wattseal.ingest.receipt import Receipt
from wattseal.log.port import EntryRow, SecretRow

_REMEMBERED: Final = 4_096
_INTERVAL_S: Final = 300
"""The grid of a meter that nobody registered before it reported."""


class ReportedInterval(NamedTuple):
    """The bytes received, and the meter as far as a topic or a path names it; that beats the payload."""

    raw: bytes
    site_id: str | None = None
    iot_device_id: str | None = None
    meter_id: str | None = None


class Reported(NamedTuple):
    """A well-formed interval: the bytes, their digest, what they say, and site, device and meter."""

    raw: bytes
    digest: bytes
    interval: Interval
    path: tuple[str, str, str]


def parse_reported(item: ReportedInterval) -> Reported | Receipt:
    """The interval in the bytes, or the receipt of a refusal."""
    try:
        interval = parse_interval(item.raw)
        path = (
            _named(item.site_id, interval.site_id, "site_id"),
            _named(item.iot_device_id, interval.iot_device_id, "iot_device_id"),
            _named(item.meter_id, interval.meter_id, "meter_id"),
        )
        interval.record(*path)  # whatever no record can carry is refused before it gets to the writer
    except Refusal as refusal:
        return Receipt(REFUSED, None, None, None, "malformed", refusal.field, refusal.reason)
    return Reported(item.raw, hashlib.sha256(item.raw).digest(), interval, path)


def _named(by_topic: str | None, by_payload: str | None, field: str) -> str:
    name = by_payload if by_topic is None else by_topic
    if name is None:
        raise Refusal(field, "is missing: the payload or the topic must name the meter")
    return identifier(name, field)


class ReportedAdmission:
    """What outlives a transaction: the gateway's key, and which bytes were quarantined lately."""

    def __init__(self, gateway: Ed25519Signer, enrolment: Enrolment, *, register: bool) -> None:
        self._gateway = gateway
        self._enrolment = enrolment
        self._register = register
        """Whether a meter that reports and is not registered is registered, so that a first POST simply works."""
        self._quarantined: OrderedDict[bytes, Logged] = OrderedDict()
        """By digest: who sends again what was set aside does not grow the log. Forgets the oldest."""
        self._staged: dict[bytes, Logged] = {}

    def committed(self) -> None:
        """The transaction is durable."""
        self._quarantined.update(self._staged)
        self._staged = {}
        while len(self._quarantined) > _REMEMBERED:
            self._quarantined.popitem(last=False)

    def rolled_back(self) -> None:
        """The transaction left nothing."""
        self._staged = {}

    def admit(self, work: Round, items: Sequence[Reported]) -> list[Receipt]:
        """Judge one request's intervals in their order."""
        work.append()
        return [self._admit(work, item) for item in items]

    def _admit(self, work: Round, item: Reported) -> Receipt:
        interval, path = item.interval, meter_path(*item.path)
        meter = work.registry.meters.get(path)
        if meter is None and self._register:
            meter = self._register_meter(work, item)
        if meter is None:
            return self._set_aside(work, item, None, "unknown-meter", f"{path} is not registered")
        meter_no = work.registry.meter_nos[path]
        secret = work.registry.secrets[meter_no]
        if not EARLIEST_S <= interval.start_s < interval.end_s <= work.now_s + AHEAD_S:
            detail = "its time lies in the future, or before 2020"
            return self._set_aside(work, item, secret, "clock-impossible", detail)
        if meter.kids:
            # Else whoever may report could cover a device's time beforehand, and its signed energy would count nothing.
            detail = "a device signs for this meter, and weaker evidence never takes its place"
            return self._set_aside(work, item, secret, "signed-meter", detail)
        for row in work.tx.records_of_meter(meter_no, interval.start_s, interval.end_s):
            if row.kind != "reported" or (row.start_s, row.end_s) != (interval.start_s, interval.end_s):
                detail = f"the record {row.entry_id.hex()} covers a part of its time"
                return self._set_aside(work, item, secret, "overlap", detail)
            if _same_values(row, interval):
                return Receipt(DUPLICATE, item.digest, row.idx, row.entry_id)
            detail = f"the record {row.entry_id.hex()} of the same time has other values"
            return self._set_aside(work, item, secret, "equivocation", detail)
        quote = work.registry.quote(meter, interval.start_s)
        try:
            record = interval.record(*item.path, quote.price_msat, quote.label)
        except Refusal as refusal:
            return Receipt(REFUSED, item.digest, None, None, "malformed", refusal.field, refusal.reason)
        text = reported_text(item.raw, path, work.now_s).encode()
        note = bytes(Note(text, (self._gateway.sign(text),)))
        slots = Slots(item.digest, hashlib.sha256(note).digest())
        draft = record_draft(work.next_id(), secret, meter_no, record, slots, work.now_s)
        logged = work.log(draft, item.raw, note.decode())
        work.append()  # the next interval of this request must see it
        work.covered.add(meter_no, interval.end_s)
        return Receipt(ADMITTED, item.digest, logged.index, logged.log_id)

    def _register_meter(self, work: Round, item: Reported) -> Meter:
        meter = Meter(*item.path, "consumption", (), _INTERVAL_S, "UTC", item.interval.start_s)
        work.append()
        self._enrolment.register_meter(work.tx, work.now_s, meter)
        work.registry = self._enrolment.staged
        return meter

    def _set_aside(self, work: Round, item: Reported, secret: SecretRow | None, reason: str, detail: str) -> Receipt:
        before = self._staged.get(item.digest) or self._quarantined.get(item.digest)
        if before is not None:
            return Receipt(DUPLICATE, item.digest, before.index, before.log_id, reason, None, detail)
        if secret is None:
            secret = self._enrolment.log_secret(work.tx)
        quarantine = Quarantine(work.now_s, reason, detail, None, item.path[2], None, None).body()
        slots = Slots(item.digest)
        draft = statement_draft(work.next_id(), quarantine, QUARANTINE, secret, work.now_s, slots)
        logged = work.log(draft._replace(meter_no=secret.meter_no, start_s=item.interval.start_s), item.raw)
        self._staged[item.digest] = logged
        return Receipt(QUARANTINED, item.digest, logged.index, logged.log_id, reason, None, detail)


def _same_values(row: EntryRow, interval: Interval) -> bool:
    """Price and claims do not count: a tariff may have replaced the one, and the others follow from the rest."""
    stored = parse_body(row.body)
    mine = (stored.energy_mwh, stored.export_mwh, stored.status, stored.tags)
    return mine == (interval.energy_mwh, interval.export_mwh, interval.status, interval.tags)
