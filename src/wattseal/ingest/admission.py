"""From judged readings to rows: what a transaction does with readings (docs/spec/reading.md §4, docs/spec/emlog.md §5).

    gate ─▶ grid ─▶ drafts ─▶ sequencer, and the readings' rows beside them
Nothing here is acknowledged: receipts are made at the end and given out by the writer after the commit.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Final, TypeAlias

from wattseal.core.entry import Slots
from wattseal.core.statement import QUARANTINE, Quarantine
from wattseal.ingest import gate, grid
from wattseal.ingest.arrival import Arrival, stored_arrival
from wattseal.ingest.chain import ADMITTED, DUPLICATE, NOTHING_STORED, QUARANTINED, TOO_LATE, Chain, Stored, Verdict
from wattseal.ingest.draft import Logged, entry_ids, statement_draft
from wattseal.ingest.grid import Open, Shift, Span
from wattseal.ingest.memory import Memory
from wattseal.ingest.receipt import Receipt
from wattseal.ingest.registry import Registry, Source
from wattseal.ingest.standing import Standing, standing_of
from wattseal.ingest.supersession import LateReadings
from wattseal.log.port import BOUNDARY, DETAIL, SET_ASIDE, SET_ASIDE_IN_CHAIN, ReadingRow, SecretRow, Write
from wattseal.log.sequencer import Draft, Sequencer

Examined: TypeAlias = "Arrival | Receipt"
"""What a worker made of the bytes: a reading with a good signature, or the refusal."""


class Round:
    """The work on one transaction of the sequencer: rows and drafts are gathered, and written by `finish`."""

    def __init__(
        self,
        memory: Memory,
        sequencer: Sequencer,
        tx: Write,
        registry: Registry,
        log_secret: SecretRow,
        now_ns: int,
        gap_hold_s: int,
    ) -> None:
        self.tx = tx
        self.registry = registry
        self.now_s = now_ns // 1_000_000_000
        self._memory = memory
        self._sequencer = sequencer
        self._gap_hold_s = gap_hold_s
        self.covered = memory.covered
        self._standings = memory.standings
        self._log_secret = log_secret
        self._ids: Iterator[bytes] = entry_ids(now_ns // 1_000_000)
        self._first = 0
        self._rows: list[ReadingRow] = []
        self._drafts: list[Draft] = []
        self._raw: list[tuple[int, bytes, str]] = []
        self._closed_by: dict[bytes, Logged] = {}
        """The records of this transaction, by the digest of the reading that closed them."""
        self._late = LateReadings(self, memory, log_secret)

    def readings(self, items: Sequence[bytes], examined: Sequence[Examined]) -> list[Receipt]:
        """Judge one request's readings in the order of their chains; the receipts come in the order of the request."""
        receipts: list[Receipt] = []
        arrivals: list[tuple[Arrival, int]] = []
        for place, result in enumerate(examined):
            if isinstance(result, Receipt):
                receipts.append(result)
            else:
                arrivals.append((result, place))
                receipts.append(_PENDING)
        arrivals.sort()
        for arrival, place in arrivals:
            receipts[place] = self._reading(arrival, items[place])
        return receipts

    def release(self) -> int | None:
        """Judge the held readings whose time has come; returns when the next will have waited long enough, if any."""
        due: list[int] = []
        for chain_no in self._standings.waiting:
            chain, current = self._standings.get(self.tx, chain_no)
            first = chain.held[0].arrival
            source = self.registry.source(first.kid, first.meter_id)
            if source is not None:
                standing = self._release(source, chain, current)
                self._standings.set(chain_no, standing)
                due_s = gate.next_release_s(standing.chain, self._gap_hold_s)
                due += [] if due_s is None else [due_s]
        return min(due, default=None)

    def join(self, chain_no: int, arrival: Arrival, rejected: Container[bytes]) -> list[bytes]:
        """Let a released reading join its chain, if nothing after it was admitted (docs/spec/log.md §2).

        What followed it is judged again, but for the rejected; returns the digests of what is admitted by that.
        """
        source = self.registry.source(arrival.kid, arrival.meter_id)
        if source is None or source.chain_no != chain_no:
            return []
        before, after = self._parted(chain_no, (arrival.epoch, arrival.seq))
        if any(row.state in (BOUNDARY, DETAIL) for row in after):
            return []
        chain, current = before
        verdict = gate.judge_released(chain, arrival, source.terms, self.now_s)
        if verdict is None or (current is not None and gate.exceeds_declared(current, arrival, source.terms)):
            return []
        self._memory.mark_released(arrival.digest)
        fell = arrival.import_mwh < chain.import_mwh or arrival.export_mwh < chain.export_mwh
        if fell or (current is not None and gate.overflows(chain, arrival, current.start, current.shift) is not None):
            current = None  # a new baseline: what was used across the fall is not known, and never invented
        verdict, current, _ = self._place(source, chain, current, arrival, verdict)
        self._set_state(chain_no, arrival, verdict)
        return self._judge_again(source, Standing(verdict.chain, current), after, rejected)

    def has_shift(self, chain_no: int, digest: bytes) -> bool:
        """Whether a discontinuity is declared after that reading, or in the record that is open."""
        _, current = self._standings.get(self.tx, chain_no)
        return digest in self._memory.shifts or (current is not None and current.shift is not None)

    def shift(self, source: Source, last: ReadingRow, shift: Shift, rejected: Container[bytes]) -> list[bytes]:
        """Put a declared discontinuity after a chain's last admitted reading; returns as `join`."""
        self._memory.shifts.stage(last.digest, shift)
        before, after = self._parted(source.chain_no, (last.epoch, last.seq + 1))
        return self._judge_again(source, before, after, rejected)

    def _parted(self, chain_no: int, place: tuple[int, int]) -> tuple[Standing, list[ReadingRow]]:
        """How a chain stood before a place, knowing what is stored since, and what is stored in the chain after it."""
        rows = self.tx.chain_tail(chain_no)
        stands, _ = self._standings.get(self.tx, chain_no)
        chain, current = standing_of([row for row in rows if (row.epoch, row.seq) < place], self._memory.shifts)
        chain = chain._replace(held=stands.held, known_epoch=stands.known_epoch, known_seq=stands.known_seq)
        after = [row for row in rows if (row.epoch, row.seq) >= place and row.state in _IN_CHAIN]
        return Standing(chain, current), after

    def _judge_again(
        self, source: Source, standing: Standing, rows: Sequence[ReadingRow], rejected: Container[bytes]
    ) -> list[bytes]:
        """Judge what was set aside in its chain, in order; what is admitted changes its state, then the held go on."""
        chain, current = standing
        admitted = []
        for row in rows:
            arrival = stored_arrival(row.cose)
            if row.state != SET_ASIDE_IN_CHAIN or (arrival.epoch, arrival.seq) <= (chain.epoch, chain.seq):
                continue
            verdict = gate.judge_again(chain, arrival, source.terms, row.received_s, rejected=row.digest in rejected)
            if verdict.outcome == ADMITTED:
                verdict, current, _ = self._place(source, chain, current, arrival, verdict)
                admitted += [row.digest] if verdict.outcome == ADMITTED else []
                self._set_state(source.chain_no, arrival, verdict)
            elif verdict.state == SET_ASIDE_IN_CHAIN:
                current = grid.interrupt(current)
            else:  # its prev is not in the chain any more, and in it fsck would miss it
                self._set_state(source.chain_no, arrival, verdict)
            chain = verdict.chain
        self._standings.set(source.chain_no, self._release(source, chain, current))
        return admitted

    def finish(self) -> None:
        """Write all of it into the transaction."""
        self._late.settle()
        self.flush()
        self.append()
        self._standings.save(self.tx)

    def append(self) -> None:
        """Append what was logged so far, so that queries see it and others may append to the transaction."""
        if self._drafts and self._sequencer.append(self.tx, self._drafts) != self._first:
            raise RuntimeError("somebody else appended entries while these were drafted")
        if self._raw:
            self.tx.add_raw(self._raw)
        self._drafts, self._raw = [], []

    def flush(self) -> None:
        """Write the readings' rows, so that queries see them."""
        if self._rows:
            self.tx.add_readings(self._rows)
            self._rows = []

    def log(self, draft: Draft, raw: bytes | None = None, note: str = "") -> Logged:
        """Take an entry into this transaction, with the raw bytes and the note that belong to it."""
        if not self._drafts:
            self._first = self._sequencer.next_idx
        logged = Logged(self._first + len(self._drafts), draft.entry_id)
        self._drafts.append(draft)
        if raw is not None:
            self._raw.append((logged.index, raw, note))
        return logged

    def next_id(self) -> bytes:
        """A fresh entry id."""
        return next(self._ids)

    def _reading(self, arrival: Arrival, cose: bytes) -> Receipt:
        source = self.registry.source(arrival.kid, arrival.meter_id)
        if source is None:
            return self._unknown_meter(arrival, cose)
        chain_no = source.chain_no
        chain, current = self._standings.get(self.tx, chain_no)
        is_known = gate.needs_lookup(chain, arrival)
        stored = self._stored(source, chain, current, arrival) if is_known else NOTHING_STORED
        verdict = gate.judge(chain, arrival, source.terms, self.now_s, stored)
        verdict, current, logged = self._place(source, chain, current, arrival, verdict)
        outcome, state, reason, detail, after, bridged = verdict
        if state is None:
            return self._duplicate(source, arrival)
        _, _, epoch, seq, time_s, imported, exported, digest, _, _, _, _ = arrival
        self._rows.append(
            ReadingRow(chain_no, epoch, seq, time_s, imported, exported, digest, cose, self.now_s, state, bridged)
        )
        if after.held:
            self._standings.set(chain_no, self._release(source, after, current))
        else:
            self._standings.set(chain_no, Standing(after, current))
        if is_known and outcome == TOO_LATE:
            self._standings.set(chain_no, self._late.add(source, self._standings.get(self.tx, chain_no), arrival))
        if logged is None:
            return Receipt(outcome, digest, None, None, reason, None, detail)
        return Receipt(outcome, digest, logged.index, logged.log_id, reason, None, detail)

    def _place(
        self, source: Source, chain: Chain, current: Open | None, arrival: Arrival, verdict: Verdict
    ) -> tuple[Verdict, Open | None, Logged | None]:
        """Let a verdict take effect: on the grid if it admits, in the log if it sets aside or closes a record."""
        if verdict.outcome == ADMITTED:
            over = None if current is None else gate.overflows(chain, arrival, current.start, current.shift)
            if over is None:
                interval_s = source.meter.record_interval_s
                current, span, is_boundary = grid.advance(current, arrival, interval_s, bridged=verdict.bridged)
                if is_boundary:
                    verdict = Verdict(ADMITTED, BOUNDARY, None, None, verdict.chain, verdict.bridged)
                if span is None:
                    return verdict, current, None
                return self._close(source, span, verdict, current)
            verdict = over
        if verdict.outcome != QUARANTINED:
            return verdict, current, None
        if verdict.state == SET_ASIDE_IN_CHAIN:
            current = grid.interrupt(current)
        return verdict, current, self._quarantine(source, arrival, verdict.reason or "", verdict.detail or "")

    def _close(self, source: Source, span: Span, verdict: Verdict, current: Open) -> tuple[Verdict, Open, Logged]:
        """Log the record of a span, unless its time is covered: then the reading is a boundary without one."""
        start_s, end_s, covered = span.start.time_s, span.end.time_s, self.covered
        if not covered.is_free(source.meter_no, start_s):
            self.append()
            other = covered.overlapping(self.tx, source.meter_no, start_s, end_s)
            if other is not None:
                detail = f"no record was made: {other.entry_id.hex()} covers a part of its time"
                verdict = verdict._replace(outcome=QUARANTINED, reason="overlap", detail=detail)
                return verdict, current, self._quarantine(source, span.end, "overlap", detail)
        logged = self.log(self._memory.record(self.registry, source, span, next(self._ids), self.now_s))
        covered.add(source.meter_no, end_s)
        self._closed_by[span.end.digest] = logged
        return verdict, current, logged

    def _release(self, source: Source, chain: Chain, current: Open | None) -> Standing:
        """Judge the held readings of a chain whose turn has come; their rows change their state."""
        while (step := gate.next_held(chain, source.terms, self.now_s, self._gap_hold_s)) is not None:
            arrival, verdict = step[0].arrival, step[1]
            before = chain._replace(held=chain.held[1:])
            verdict, current, _ = self._place(source, before, current, arrival, verdict)
            chain = verdict.chain
            self._set_state(source.chain_no, arrival, verdict)
        return Standing(chain, current)

    def _set_state(self, chain_no: int, arrival: Arrival, verdict: Verdict) -> None:
        self.flush()
        state = verdict.state or DETAIL
        self.tx.set_reading_state(arrival.digest, chain_no, arrival.epoch, arrival.seq, state, bridged=verdict.bridged)

    def _stored(self, source: Source, chain: Chain, current: Open | None, arrival: Arrival) -> Stored:
        self.flush()
        rows = self.tx.reading(source.chain_no, arrival.epoch, arrival.seq)
        if rows or (arrival.epoch, arrival.seq) > (chain.epoch, chain.seq):
            return Stored(tuple(row.digest for row in rows), in_gap=False)
        return self._late.stored(source, current, arrival)

    def _duplicate(self, source: Source, arrival: Arrival) -> Receipt:
        """The answer of the first time: with the record that the reading closed, if it closed one."""
        logged = self._closed_by.get(arrival.digest)
        if logged is None:
            for row in self.tx.records_of_meter(source.meter_no, arrival.time_s - 1, arrival.time_s):
                if row.end_slot == arrival.digest:
                    logged = Logged(row.idx, row.entry_id)
        if logged is None:
            return Receipt(DUPLICATE, arrival.digest)
        return Receipt(DUPLICATE, arrival.digest, logged.index, logged.log_id)

    def _unknown_meter(self, arrival: Arrival, cose: bytes) -> Receipt:
        self.flush()
        if self.tx.set_aside_by_digest(arrival.digest) is not None:
            return Receipt(DUPLICATE, arrival.digest)
        reason, detail = "unknown-meter", f"no meter {arrival.meter_id} is registered for its key"
        logged = self._quarantine(None, arrival, reason, detail)
        _, _, epoch, seq, time_s, imported, exported, digest, _, _, _, _ = arrival
        self._rows.append(
            ReadingRow(None, epoch, seq, time_s, imported, exported, digest, cose, self.now_s, SET_ASIDE, bridged=False)
        )
        return Receipt(QUARANTINED, digest, logged.index, logged.log_id, reason, None, detail)

    def _quarantine(self, source: Source | None, arrival: Arrival, reason: str, detail: str) -> Logged:
        secret = self._log_secret if source is None else source.secret
        body = Quarantine(self.now_s, reason, detail, arrival.kid, arrival.meter_id, arrival.epoch, arrival.seq).body()
        draft = statement_draft(next(self._ids), body, QUARANTINE, secret, self.now_s, Slots(arrival.digest))
        meter_no = None if source is None else source.meter_no
        return self.log(draft._replace(meter_no=meter_no, start_s=arrival.time_s))


_PENDING: Final = Receipt("")
_IN_CHAIN: Final = frozenset({BOUNDARY, DETAIL, SET_ASIDE_IN_CHAIN})
