"""Records of the kind import: the operator's signed statement stands for them (docs/spec/proof.md §3.2)."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from wattseal.core.answers.once import Once
from wattseal.core.answers.signers import Signers
from wattseal.core.answers.trail import Trail
from wattseal.core.bundle import Bundle, Leaf
from wattseal.core.emlog import Record
from wattseal.core.entry import NOTHING, Slots
from wattseal.core.refusal import Refusal
from wattseal.core.statement import parse_import, statement_text


class _Opened(NamedTuple):
    """An import whose note is the operator's, as far as it is about the bundle's meter. Times in Unix seconds."""

    entry: bytes
    covers_meter: bool
    first_s: int
    last_s: int
    simulated: bool
    voucher: str


class ImportEvidence:
    """Checks records against the statements of a bundle; each is parsed and its signature verified once."""

    def __init__(self, bundle: Bundle, signers: Signers, trail: Trail) -> None:
        self._path, self._signers, self._trail = bundle.path, signers, trail
        self._by_entry = {statement.leaf.entry.hex(): statement for statement in bundle.statements}
        self._statements = Once(self._open)

    def check(self, record: Record, leaf: Leaf) -> bool:
        """Whether the operator's key is simulated; Refusal or Unknown where no statement stands for the record."""
        opened = self._statements(record.evidence.source or "")
        if not opened.covers_meter or not opened.first_s <= record.start_s < record.end_s <= opened.last_s:
            raise Refusal("statements", "the operator's import does not cover this meter and time")
        if NOTHING in (leaf.slots.start, leaf.slots.end):
            raise Refusal("slots", "an imported record has a row chain on both sides")
        self._trail.used.add(opened.entry)
        self._trail.vouchers.add(opened.voucher)
        return opened.simulated

    def _open(self, source: str) -> _Opened:
        statement = self._by_entry.get(source)
        if statement is None:
            raise Refusal("evidence.source", "names an import that is not in the file")
        claim = parse_import(statement.leaf.body)
        if statement.leaf.slots != Slots(end=hashlib.sha256(statement.note).digest()):
            raise Refusal("statements", "the note is not the one that the import's entry commits to")
        text = statement_text("import-1", statement.leaf.body)
        signer = self._signers.open(statement.note, claim.operator, "operator", text)
        return _Opened(
            bytes.fromhex(source),
            self._path in claim.meters,
            claim.first_s,
            claim.last_s,
            signer.simulated,
            f"operator {claim.operator} imported the file {claim.file_sha256.hex()}",
        )
