"""Late readings give a gap its shape back: the gap's record is superseded by its parts (docs/spec/emlog.md §5.1).

Within one transaction the late readings of a gap are gathered, and settled once, at its end: their states, the parts
and the supersession stand in the store together or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from wattseal.core.emlog import parse_body
from wattseal.core.entry import Slots, entry_hash
from wattseal.ingest.arrival import Arrival, stored_arrival
from wattseal.ingest.chain import Stored
from wattseal.ingest.draft import Logged, salt_maker, statement_draft
from wattseal.ingest.grid import Division, Link, Open, Shift, Span, divide
from wattseal.ingest.late import IN_CHAIN, Gap, is_settled
from wattseal.ingest.memory import Memory
from wattseal.ingest.registry import Registry, Source
from wattseal.ingest.standing import Standing
from wattseal.log.amendments import MAX_PARTS, SUPERSESSION, Supersession
from wattseal.log.port import BOUNDARY, DETAIL, SET_ASIDE_IN_CHAIN, EntryRow, SecretRow, Write
from wattseal.log.salts import SaltSource
from wattseal.log.sequencer import Draft

_LOOK_AHEAD: Final = 256


class Work(Protocol):
    """The transaction that the readings belong to: `admission.Round`."""

    tx: Write
    registry: Registry
    now_s: int

    def flush(self) -> None:
        """Write the readings' rows, so that queries see them."""

    def append(self) -> None:
        """Append what was logged so far."""

    def log(self, draft: Draft) -> Logged:
        """Take an entry into the transaction."""

    def next_id(self) -> bytes:
        """A fresh entry id."""


class LateReadings:
    """The late readings of one transaction, gap by gap."""

    def __init__(self, work: Work, memory: Memory, log_secret: SecretRow) -> None:
        self._work = work
        self._memory = memory
        self._log_secret = log_secret
        self._gaps: dict[int, list[tuple[Source, Gap]]] = {}
        """Closed ones by chain number: their boundaries stay where they are, whatever else the transaction does."""

    @property
    def _shifts(self) -> Mapping[bytes, Shift]:
        return self._memory.shifts

    def stored(self, source: Source, current: Open | None, arrival: Arrival) -> Stored:
        """What stands around a place behind its chain, at which nothing is stored."""
        gap = self._gap(source, current, arrival)
        if gap is None:
            return Stored((), self._is_bridged(source.chain_no, arrival))
        around = gap.around(arrival, self._shifts)
        return Stored((), in_gap=around is not None, around=around)

    def add(self, source: Source, standing: Standing, arrival: Arrival) -> Standing:
        """Take in a late reading, whose row was given to the transaction; returns how its chain stands with it."""
        gap = self._gap(source, standing.current, arrival)
        if gap is None:
            return standing  # no record spans its gap, or one that stands: it stays detail
        if gap.record is not None:
            gap.add(arrival)
            return standing
        # The record is still open, so nothing is replaced; it only knows again what it holds. The reading is among its
        # links already: they were read after its row was written.
        division = divide(gap.links, source.meter.record_interval_s, self._shifts, is_closed=False)
        self._work.flush()
        self._set_states(source, gap, division)
        current = standing.current
        if current is None:
            raise RuntimeError("a gap is open, and no record")
        return standing._replace(current=current._replace(gap=division.is_gap))

    def settle(self) -> None:
        """Replace the records of the gaps that look different now."""
        if not self._gaps:
            return
        self._work.flush()
        replaced: list[tuple[int, int]] = []
        for gaps in self._gaps.values():
            for source, gap in gaps:
                if gap.has_more and gap.record is not None:
                    replaced += self._settle(source, gap, gap.record)
        self._gaps = {}
        self._work.append()
        if replaced:
            self._work.tx.mark_superseded(replaced)

    def _settle(self, source: Source, gap: Gap, record: EntryRow) -> list[tuple[int, int]]:
        """Log the parts and what says so; returns the pairs of indexes, of a superseded record and of that entry."""
        division = divide(gap.links, source.meter.record_interval_s, self._shifts, is_closed=True)
        self._set_states(source, gap, division)
        spans = division.spans
        if len(spans) == 1 and spans[0].gap == (record.status == "gap"):
            return []
        replaced, idx, entry = [], record.idx, self._entry(source, record)
        while True:
            # One supersession names so many parts at most; the last of them is then a gap of its own, replaced next.
            now, rest = spans[: MAX_PARTS - 1], spans[MAX_PARTS - 1 :]
            if len(rest) > 1:
                shift = next((span.shift for span in rest if span.shift is not None), None)
                now.append(Span(rest[0].start, rest[-1].end, gap=True, shift=shift))
            else:
                now, rest = spans, []
            drafts = [
                self._memory.record(self._work.registry, source, span, self._work.next_id(), self._work.now_s)
                for span in now
            ]
            parts = [self._work.log(draft) for draft in drafts]
            entries = tuple(entry_hash(draft.salts, draft.body, draft.slots) for draft in drafts)
            said = self._work.log(self._statement(Supersession(entry, entries)))
            replaced.append((idx, said.index))
            if not rest:
                return replaced
            spans, idx, entry = rest, parts[-1].index, entries[-1]

    def _statement(self, supersession: Supersession) -> Draft:
        entry_id, body = self._work.next_id(), supersession.body()
        return statement_draft(entry_id, body, SUPERSESSION, self._log_secret, self._work.now_s)

    def _entry(self, source: Source, row: EntryRow) -> bytes:
        if row.secret_no != source.secret.secret_no:
            return SaltSource(self._work.tx.secrets()).entry(row)
        salts = salt_maker(source.secret.secret).salts(row.entry_id)
        return entry_hash(salts, row.body, Slots(row.start_slot, row.end_slot))

    def _set_states(self, source: Source, gap: Gap, division: Division) -> None:
        for before, now in zip(gap.links, division.links, strict=True):
            if before != now:
                arrival, state, bridged = now
                self._work.tx.set_reading_state(
                    arrival.digest, source.chain_no, arrival.epoch, arrival.seq, state, bridged=bridged
                )
        gap.links = division.links

    # --- Finding it ---------------------------------------------------------------------------------------------------

    def _gap(self, source: Source, current: Open | None, arrival: Arrival) -> Gap | None:
        """The readings between the boundaries around a place; None where no record spans them that may be replaced."""
        for _, gap in self._gaps.get(source.chain_no, ()):
            if gap.encloses(arrival):
                return gap
        self._work.flush()
        end = self._next_boundary(source.chain_no, arrival)
        if end is None:
            if current is None or (arrival.epoch, arrival.seq) < (current.start.epoch, current.start.seq):
                return None
            return Gap(self._links(source.chain_no, (current.start.epoch, current.start.seq), None), None)
        self._work.append()
        rows = self._work.tx.records_of_meter(source.meter_no, end.time_s - 1, end.time_s)
        record = next((row for row in rows if row.end_slot == end.digest), None)
        if record is None or is_settled(record):
            return None
        evidence = parse_body(record.body).evidence
        if evidence.epoch is None or evidence.seq is None:
            return None
        start = evidence.epoch[0], evidence.seq[0]
        gap = Gap(self._links(source.chain_no, start, (end.epoch, end.seq)), record)
        if gap.links[0].arrival.digest != record.start_slot or not gap.encloses(arrival):
            return None
        self._gaps.setdefault(source.chain_no, []).append((source, gap))
        return gap

    def _links(self, chain_no: int, start: tuple[int, int], end: tuple[int, int] | None) -> list[Link]:
        """The readings in the chain from one place to another, both included."""
        links: list[Link] = []
        epoch, seq = start[0], start[1] - 1
        while rows := self._work.tx.readings_after(chain_no, epoch, seq, _LOOK_AHEAD):
            for row in rows:
                if end is not None and (row.epoch, row.seq) > end:
                    return links
                if row.state in IN_CHAIN:
                    links.append(Link(stored_arrival(row.cose), row.state, row.bridged))
            epoch, seq = rows[-1].epoch, rows[-1].seq
        return links

    def _next_boundary(self, chain_no: int, arrival: Arrival) -> Arrival | None:
        epoch, seq = arrival.epoch, arrival.seq
        while rows := self._work.tx.readings_after(chain_no, epoch, seq, _LOOK_AHEAD):
            for row in rows:
                if row.state == BOUNDARY:
                    return stored_arrival(row.cose)
            epoch, seq = rows[-1].epoch, rows[-1].seq
        return None

    def _is_bridged(self, chain_no: int, arrival: Arrival) -> bool:
        """Whether the next reading of the chain was admitted across a gap."""
        epoch, seq = arrival.epoch, arrival.seq
        while rows := self._work.tx.readings_after(chain_no, epoch, seq, _LOOK_AHEAD):
            for row in rows:
                if row.state in (BOUNDARY, DETAIL, SET_ASIDE_IN_CHAIN):
                    return row.bridged
            epoch, seq = rows[-1].epoch, rows[-1].seq
        return False
