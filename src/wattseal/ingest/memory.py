"""What the writer remembers from one transaction to the next, never ahead of the store but inside a transaction."""

from __future__ import annotations

from typing import NamedTuple

from wattseal.core.derivation import Correction, device_record, weakest
from wattseal.core.emlog import SCHEMA, check
from wattseal.core.entry import Slots
from wattseal.core.evidence import KINDS
from wattseal.ingest.arrival import Arrival
from wattseal.ingest.covered import Covered
from wattseal.ingest.draft import record_draft, salt_maker
from wattseal.ingest.grid import Shift, Span
from wattseal.ingest.record_text import RecordText
from wattseal.ingest.registry import Registry, Source
from wattseal.ingest.shifts import Shifts
from wattseal.ingest.standing import Standings
from wattseal.log.sequencer import Draft


class _Texts(NamedTuple):
    """The text of a chain's records for one kind of evidence, and the half-open time in which its price holds."""

    kind: str
    from_s: int
    to_s: int
    text: RecordText


class Memory:
    """Standings of the chains, what of each meter's time is covered, readings that were released, texts of records."""

    def __init__(self, standings: Standings, released: set[bytes], shifts: Shifts) -> None:
        self.standings = standings
        self.shifts = shifts
        self.covered = Covered()
        self._released = released
        """Digests of readings that are in their chain by an operator's decision."""
        self._newly_released: set[bytes] = set()
        self._texts: dict[int, _Texts] = {}
        self._texts_of: Registry | None = None

    def committed(self) -> None:
        """The transaction is durable."""
        self.standings.committed()
        self.shifts.committed()
        self._released |= self._newly_released
        self._newly_released = set()

    def rolled_back(self) -> None:
        """The transaction left nothing."""
        self.standings.rolled_back()
        self.shifts.rolled_back()
        self.covered.forget()
        self._newly_released = set()

    def mark_released(self, digest: bytes) -> None:
        """From now on, records that this reading bounds are of kind `operator`."""
        self._newly_released.add(digest)

    def record(self, registry: Registry, source: Source, span: Span, entry_id: bytes, now_s: int) -> Draft:
        """The draft of a closed record."""
        if registry is not self._texts_of:
            self._texts, self._texts_of = {}, registry
        start, end, gap, shift = span
        if shift is not None:
            return self._across(registry, source, span, shift, entry_id, now_s)
        kind = self._kind(start, end)
        texts = self._texts.get(source.chain_no)
        if texts is None or texts.kind != kind or not texts.from_s <= start.time_s < texts.to_s:
            quote = registry.quote(source.meter, start.time_s)
            meter = source.meter
            path = (meter.site_id, meter.iot_device_id, meter.meter_id)
            text = RecordText(path, kind, source.key.kid, quote.price_msat, quote.label)
            texts = self._texts[source.chain_no] = _Texts(kind, quote.from_s, quote.to_s, text)
        body, energy_mwh, export_mwh, price_msat, amount_msat = texts.text.body(start, end, gap=gap)
        secret = source.secret
        return Draft(
            entry_id,
            SCHEMA,
            secret.secret_no,
            salt_maker(secret.secret).salts(entry_id),
            Slots(start.digest, end.digest),
            body,
            now_s,
            source.meter_no,
            kind,
            start.time_s,
            end.time_s,
            energy_mwh,
            export_mwh,
            price_msat,
            amount_msat,
            "gap" if gap else "ok",
        )

    def _across(
        self, registry: Registry, source: Source, span: Span, shift: Shift, entry_id: bytes, now_s: int
    ) -> Draft:
        """A record across a declared discontinuity: by the general rule, as it is seldom."""
        meter, quote = source.meter, registry.quote(source.meter, span.start.time_s)
        record = device_record(
            meter.site_id,
            meter.iot_device_id,
            meter.meter_id,
            "operator",
            source.key.kid,
            span.start,
            span.end,
            gap=span.gap,
            price_msat=quote.price_msat,
            tariff_version=quote.label,
            discontinuity=Correction(shift.import_mwh, shift.export_mwh, shift.source),
        )
        check(record)
        slots = Slots(span.start.digest, span.end.digest)
        return record_draft(entry_id, source.secret, source.meter_no, record, slots, now_s)

    def _kind(self, start: Arrival, end: Arrival) -> str:
        """What stands behind a record is what stands behind the weaker of its two readings."""
        if not (start.from_source or end.from_source or self._released or self._newly_released):
            return "device"
        return weakest(KINDS, self._kind_of(start), self._kind_of(end))

    def _kind_of(self, arrival: Arrival) -> str:
        if arrival.digest in self._released or arrival.digest in self._newly_released:
            return "operator"
        return "gateway" if arrival.from_source else "device"
