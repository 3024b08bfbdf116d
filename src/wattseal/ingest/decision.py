"""An operator's decisions about what was set aside (docs/spec/log.md §2): each is a signed entry of the log."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from wattseal.core.entry import Slots
from wattseal.core.note import Note
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.refusal import Refusal
from wattseal.core.statement import DECISION, QUARANTINE, Decision, parse_decision, statement_text
from wattseal.ingest.admission import Round
from wattseal.ingest.arrival import stored_arrival
from wattseal.ingest.draft import Logged, statement_draft
from wattseal.ingest.registry import pages
from wattseal.ingest.releasable import check_releasable, reason_of
from wattseal.log.port import SET_ASIDE, SET_ASIDE_IN_CHAIN, EntryRow, Read, SecretRow, Write
from wattseal.log.releases import decision_key, decision_of
from wattseal.log.salts import SaltSource


def released_digests(read: Read) -> set[bytes]:
    """The payload digests of the readings that joined by a release: records that they bound are of kind `operator`.

    As `Round.join` marks them: not those that stayed aside, nor those in their chain without it (`overlap`).
    """
    released = {
        decision.subject
        for decision in (parse_decision(row.body) for row in pages(read, DECISION))
        if decision.decision == "release"
    }
    if not released:
        return set()
    salts = SaltSource(read.secrets())
    return {
        row.start_slot
        for row in pages(read, QUARANTINE)
        if salts.entry(row) in released
        and reason_of(row.body) != "overlap"
        and read.set_aside_by_digest(row.start_slot) is None
    }


def decide(
    work: Round, log_secret: SecretRow, operator: Ed25519Signer, subject: bytes, decision: str, reason: str
) -> Logged:
    """Release or reject what the quarantine entry with that id set aside; Refusal if there is none or it was decided.

    Or if its release would make records that nobody could verify (`releasable`).
    A rejected reading stays where it is, and its digest still satisfies the next prev if it did before.
    """
    row = work.tx.entry_by_id(subject)
    if row is None or row.schema != QUARANTINE:
        raise Refusal("subject", "is not the log_id of a quarantine entry")
    key = operator.verifier
    signer = work.registry.signers.get(f"signer/{key.name}+{key.key_id.hex()}")
    if signer is None or signer.role != "operator":
        raise Refusal("operator", f"{key.name} is not registered as an operator")
    if decision_of(work.tx, subject) is not None:
        raise Refusal("subject", "was decided already, and a decision stands")
    if decision == "release":
        check_releasable(reason_of(row.body))
    entry = SaltSource(work.tx.secrets()).entry(row)
    body = Decision(entry, decision, reason, work.now_s, key.name).body()
    parse_decision(body)
    text = statement_text(DECISION, body).encode()
    note = bytes(Note(text, (operator.sign(text),)))
    slots = Slots(end=hashlib.sha256(note).digest())
    draft = statement_draft(work.next_id(), body, DECISION, log_secret, work.now_s, slots)
    logged = work.log(draft, b"", note.decode())
    work.tx.put_meta(decision_key(subject), draft.entry_id)
    reading = work.tx.set_aside_by_digest(row.start_slot)
    if decision == "release" and reading is not None and reading.chain_no is not None:
        aside = SetAside(work.tx, reading.chain_no)
        aside.settle(work.join(reading.chain_no, stored_arrival(reading.cose), aside.rejected), draft.entry_id)
    return logged


class SetAside:
    """The quarantine entries about the last readings of a chain."""

    def __init__(self, tx: Write, chain_no: int) -> None:
        self._tx = tx
        digests = {row.digest for row in tx.chain_tail(chain_no) if row.state in (SET_ASIDE, SET_ASIDE_IN_CHAIN)}
        self._entries: dict[bytes, EntryRow] = {}
        for row in pages(tx, QUARANTINE) if digests else ():
            if row.start_slot in digests:
                self._entries.setdefault(row.start_slot, row)
        self.rejected = {digest for digest, row in self._entries.items() if decision_of(tx, row.entry_id) is not None}
        """Digests of readings about which an operator decided, and which are aside still."""

    def settle(self, admitted: Sequence[bytes], by: bytes) -> None:
        """Note that the entry with the id `by` led to the admission of these readings."""
        for digest in admitted:
            self._tx.put_meta(decision_key(self._entries[digest].entry_id), by)
