"""Records of the kind operator across a discontinuity that the operator declared (docs/spec/proof.md §3.2)."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from wattseal.core.answers.device_evidence import DeviceEvidence
from wattseal.core.answers.key_ring import KeyRing
from wattseal.core.answers.once import Once
from wattseal.core.answers.signers import Signers
from wattseal.core.answers.trail import Trail
from wattseal.core.bundle import Bundle, Leaf
from wattseal.core.discontinuity import SCHEMA, WORDS, Declared, check_between, parse_discontinuity
from wattseal.core.emlog import Record
from wattseal.core.entry import Slots
from wattseal.core.refusal import Refusal
from wattseal.core.statement import statement_text
from wattseal.core.units import is_within_rating, kw_text, kwh_text


class _Opened(NamedTuple):
    """A discontinuity whose note is the operator's."""

    declared: Declared
    simulated: bool
    voucher: str


class DeclaredEvidence:
    """Checks records against the statements and readings of a bundle; each statement is opened once."""

    def __init__(self, bundle: Bundle, devices: DeviceEvidence, ring: KeyRing, signers: Signers, trail: Trail) -> None:
        self._ring = ring
        self._path, self._devices, self._signers, self._trail = bundle.path, devices, signers, trail
        self._by_entry = {statement.leaf.entry.hex(): statement for statement in bundle.statements}
        self._statements = Once(self._open)

    def check(self, record: Record, leaf: Leaf) -> bool:
        """Whether a key involved is simulated; Refusal or Unknown where the record does not follow from both."""
        opened = self._statements(record.evidence.source or "")
        said = opened.declared.statement
        if said.path != self._path:
            raise Refusal("statements", "the declared discontinuity is of another meter")
        (kid, last), (start_kid, start), (end_kid, end) = map(
            self._devices.reading, (said.after, leaf.slots.start, leaf.slots.end)
        )
        if not said.kid == kid == start_kid == end_kid:
            raise Refusal("statements", "the declared discontinuity is of another chain")
        if not (start.epoch, start.seq) <= (last.epoch, last.seq) < (end.epoch, end.seq):
            raise Refusal("statements", "the declared discontinuity does not lie between the record's readings")
        check_between(said, start, last, end)
        if not said.before_known and record.status != "gap":
            raise Refusal("status", "must be gap: nobody read the end of the register before its reset")
        simulated = self._devices.check(record, leaf, opened.declared)
        self._trail.used.add(opened.declared.entry)
        self._trail.vouchers.add(f"{opened.voucher}; {self._bound(record)}")
        return simulated or opened.simulated

    def _bound(self, record: Record) -> str:
        """What bounds the energy that only the operator's word stands for; Refusal where it is beyond that."""
        meter = self._ring.meter
        if meter is None or meter.valid_from_s > record.start_s:
            return "the rated power that held then is not in this file"
        if meter.rated_power_mw is None:
            return "no rated power of the meter bounds it"
        most = max(record.energy_mwh, record.export_mwh)
        if not is_within_rating(most, meter.rated_power_mw, record.end_s - record.start_s):
            raise Refusal("energy_kwh", f"is more than the meter's rated {kw_text(meter.rated_power_mw)} kW allow")
        return f"the meter's rated {kw_text(meter.rated_power_mw)} kW allow it"

    def _open(self, source: str) -> _Opened:
        statement = self._by_entry.get(source)
        if statement is None:
            raise Refusal("evidence.source", "names a discontinuity that is not in the file")
        said = parse_discontinuity(statement.leaf.body)
        if statement.leaf.slots != Slots(end=hashlib.sha256(statement.note).digest()):
            raise Refusal("statements", "the note is not the one that the discontinuity's entry commits to")
        text = statement_text(SCHEMA, statement.leaf.body)
        signer = self._signers.open(statement.note, said.operator, "operator", text)
        shown = ", ".join(
            f"{name} {kwh_text(before)} to {kwh_text(after)} kWh"
            for name, before, after in (
                ("import", said.import_before_mwh, said.import_after_mwh),
                ("export", said.export_before_mwh, said.export_after_mwh),
            )
            if before or after
        )
        voucher = f"operator {said.operator} declared {WORDS[said.kind]} ({shown}): {said.reason}"
        return _Opened(Declared(said, bytes.fromhex(source)), signer.simulated, voucher)
