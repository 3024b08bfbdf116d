"""What fsck looks at in one row besides its hash: the columns, and the evidence that is kept beside it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from wattseal.core.discontinuity import SCHEMA as DISCONTINUITY
from wattseal.core.emlog import Record
from wattseal.core.entry import EMPTY_SLOTS, Slots
from wattseal.core.note import open_note
from wattseal.core.refusal import Refusal
from wattseal.core.registry import meter_path
from wattseal.core.statement import DECISION, QUARANTINE, statement_text
from wattseal.log.amendments import SUPERSESSION, TOMBSTONE
from wattseal.log.audit import Audit
from wattseal.log.edge_check import EdgeCheck
from wattseal.log.port import EntryRow, Read
from wattseal.log.report import Findings

_STATEMENTS: Final = frozenset({"import-1", DECISION, DISCONTINUITY, TOMBSTONE})
_COLUMNS: Final = EntryRow._fields[EntryRow._fields.index("meter_no") :]


class RowCheck:
    """Looks into rows in order, with the audit that follows their bodies."""

    def __init__(self, read: Read, audit: Audit, tombstones: frozenset[bytes], findings: Findings) -> None:
        self._read = read
        self._audit = audit
        self._tombstones = tombstones
        self._findings = findings
        self.edges = EdgeCheck(read, findings)
        self._meters: Mapping[int | None, str] = {
            row.meter_no: meter_path(row.site_id, row.iot_device_id, row.meter_id) for row in read.meters()
        }

    def look_at_marks(self, rows: Mapping[int, bytes]) -> None:
        """Check that the records among these, entries by index, are marked as superseded if an entry says so."""
        marked = self._read.superseded(list(rows))
        for idx, entry in rows.items():
            if self._audit.is_superseded(entry) != (idx in marked):
                said = "is" if idx in marked else "is not"
                self._findings.bad(f"it {said} marked as superseded, and the entries say otherwise", idx)

    def look_into(self, row: EntryRow, entry: bytes) -> None:
        """Check a row whose 32-byte entry is known."""
        if not row.body:
            self._findings.count("erased bodies")
            self._audit.erased()
            if entry not in self._tombstones:
                self._findings.bad("its body is missing, and no tombstone says why", row.idx)
            return
        value = self._audit.body(row.idx, row.schema, row.body, entry, Slots(row.start_slot, row.end_slot))
        self.edges.look_into(row, value)
        if row.schema != QUARANTINE:
            self._check_columns(row, value)
        if row.schema in _STATEMENTS:
            raw = self._read.raw(row.idx)
            fault = "its signed note is missing" if raw is None else self._note_fault(row, raw[1])
            if fault is not None:
                self._findings.bad(fault, row.idx)
        elif row.schema == SUPERSESSION and Slots(row.start_slot, row.end_slot) != EMPTY_SLOTS:
            self._findings.bad("its slots are not empty", row.idx)
        elif row.kind == "reported":
            self._check_reported(row)

    def _check_columns(self, row: EntryRow, value: object) -> None:
        """No hash covers the columns, and queries and bills are made from them."""
        said: dict[str, object] = {name: getattr(row, name) for name in _COLUMNS}
        said["meter_no"] = self._meters.get(row.meter_no)
        found = _columns(value) if isinstance(value, Record) else dict.fromkeys(_COLUMNS)
        for name in _COLUMNS:
            if said[name] != found[name]:
                self._findings.bad(f"its column {name} says {said[name]}, and its body {found[name]}", row.idx)

    def _note_fault(self, row: EntryRow, note: str) -> str | None:
        if sha256(note.encode()).digest() != row.end_slot:
            return "its signed note was changed"
        try:
            opened = open_note(note.encode(), self._audit.operators)
        except Refusal as refusal:
            return f"its note is not signed by a registered operator: {refusal}"
        if opened.text != statement_text(row.schema, row.body).encode():
            return "its note is about another statement"
        return None

    def _check_reported(self, row: EntryRow) -> None:
        raw = self._read.raw(row.idx)
        if raw is None:
            self._findings.bad("the bytes that were reported for it are missing", row.idx)
        elif (sha256(raw[0]).digest(), sha256(raw[1].encode()).digest()) != (row.start_slot, row.end_slot):
            self._findings.bad("the bytes that were reported for it, or the gateway's note, were changed", row.idx)


def _columns(record: Record) -> dict[str, object]:
    return {
        "meter_no": meter_path(record.site_id, record.iot_device_id, record.meter_id),
        "kind": record.evidence.kind,
        "start_s": record.start_s,
        "end_s": record.end_s,
        "energy_mwh": record.energy_mwh,
        "export_mwh": record.export_mwh,
        "price_msat": record.price_msat_per_kwh,
        "amount_msat": record.amount_msat,
        "status": record.status,
    }
