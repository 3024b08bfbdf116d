"""Records of the kind operator that rest on a reading which the operator released (docs/spec/proof.md §3.2)."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from wattseal.core.answers.device_evidence import DeviceEvidence
from wattseal.core.answers.once import Once
from wattseal.core.answers.signers import Signers
from wattseal.core.answers.trail import Trail
from wattseal.core.answers.unknown import Unknown
from wattseal.core.bundle import Bundle, Leaf, Statement
from wattseal.core.document import schema_of
from wattseal.core.emlog import Record
from wattseal.core.entry import Slots
from wattseal.core.refusal import Refusal
from wattseal.core.statement import DECISION, QUARANTINE, parse_decision, statement_text


class ReleasedEvidence:
    """Checks records against the decisions of a bundle; each is opened once."""

    def __init__(self, bundle: Bundle, devices: DeviceEvidence, signers: Signers, trail: Trail) -> None:
        self._devices, self._signers, self._trail = devices, signers, trail
        self._quarantined: dict[bytes, Leaf] = {}
        """By the digest of the reading that was set aside."""
        self._decisions: dict[bytes, Statement] = {}
        """By the entry that they decide about."""
        for statement in bundle.statements:
            # What cannot be read is taken for nothing here, and then belongs to no record.
            with suppress(Refusal):
                schema = schema_of(statement.leaf.body)
                if schema == QUARANTINE:
                    self._quarantined[statement.leaf.slots.start] = statement.leaf
                elif schema == DECISION:
                    self._decisions[parse_decision(statement.leaf.body).subject] = statement
        self._releases = Once(self._open)

    def check(self, record: Record, leaf: Leaf) -> bool:
        """Whether a key involved is simulated; Refusal or Unknown where the record does not follow."""
        released = [digest for digest in (leaf.slots.start, leaf.slots.end) if digest in self._quarantined]
        if not released:
            raise Unknown("the file leaves out the decision by which the operator released one of its readings")
        simulated = list(map(self._releases, released))  # each is asked, so that each is seen to be used
        return self._devices.check(record, leaf, is_released=True) or any(simulated)

    def _open(self, digest: bytes) -> bool:
        """Whether the operator's key is simulated."""
        quarantined = self._quarantined[digest]
        statement = self._decisions.get(quarantined.entry)
        if statement is None:
            raise Unknown("the file leaves out what the operator decided about a reading that was set aside")
        decision = parse_decision(statement.leaf.body)
        if decision.decision != "release":
            raise Refusal("statements", "the operator did not release the reading, but reject it")
        if statement.leaf.slots != Slots(end=hashlib.sha256(statement.note).digest()):
            raise Refusal("statements", "the note is not the one that the decision's entry commits to")
        text = statement_text(DECISION, statement.leaf.body)
        signer = self._signers.open(statement.note, decision.operator, "operator", text)
        self._trail.used.update((quarantined.entry, statement.leaf.entry))
        self._trail.vouchers.add(f"operator {decision.operator} released a reading from quarantine: {decision.reason}")
        return signer.simulated
