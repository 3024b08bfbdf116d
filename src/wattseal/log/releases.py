"""Decisions about readings that were set aside: where they stand, and what a bundle needs of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from wattseal.core.refusal import Refusal
from wattseal.core.statement import DECISION, QUARANTINE, parse_decision
from wattseal.log.port import EntryRow, Read
from wattseal.log.salts import SaltSource

_PAGE = 10_000


class Release(NamedTuple):
    """A reading's quarantine entry, the entry of the decision that released it, and that decision's signed note."""

    quarantined: EntryRow
    decision: EntryRow
    note: str


def decision_key(subject: bytes) -> str:
    """The setting under which stands which entry settled the quarantine entry with that id (16 bytes)."""
    return f"decided/{subject.hex()}"


def decision_of(read: Read, subject: bytes) -> EntryRow | None:
    """What settled the quarantine entry with that id (16 bytes): the decision about it, if there is one.

    Or the decision, or the declared discontinuity, after which it was judged again and admitted.
    """
    entry_id = read.meta(decision_key(subject))
    return None if entry_id is None else read.entry_by_id(entry_id)


def releases_of(read: Read, digests: Collection[bytes], salts: SaltSource) -> list[Release]:
    """The releases of readings with these payload digests, in the order of their quarantine entries."""
    found: list[Release] = []
    after = -1
    while digests and (rows := read.entries_of_schema(QUARANTINE, after, _PAGE)):
        for row in rows:
            decision = decision_of(read, row.entry_id) if row.start_slot in digests else None
            # What was only judged again after another's decision is admitted as any other reading is.
            if decision is not None and decision.schema == DECISION and _releases(decision, salts.entry(row)):
                found.append(Release(row, decision, _note(read, decision)))
        after = rows[-1].idx
    return found


def _releases(decision: EntryRow, entry: bytes) -> bool:
    said = parse_decision(decision.body)
    return said.decision == "release" and said.subject == entry


def _note(read: Read, decision: EntryRow) -> str:
    raw = read.raw(decision.idx)
    if raw is None:
        raise Refusal("statements", f"the operator's note of entry {decision.idx} is missing: run fsck")
    return raw[1]
