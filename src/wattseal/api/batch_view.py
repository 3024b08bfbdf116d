"""A batch and its anchors as the API shows them."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from wattseal.api.answer import logged
from wattseal.api.record_view import AnchorMention, Overlay
from wattseal.api.services import Services
from wattseal.core.bitcoin.digest import to_display
from wattseal.core.units import rfc3339
from wattseal.log.port import AttestationRow, BatchRow, Read

_SHAPE = ConfigDict(extra="forbid", use_attribute_docstrings=True)

ANCHOR_EXAMPLE: Final[dict[str, Any]] = {
    "id": 1,
    "batch": 3,
    "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "kind": "bitcoin",
    "chain": "simulated",
    "simulated": True,
    "state": "in_block",
    "meaning": "A block of the simulated chain holds it; some more blocks make it final.",
    "reference": "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b",
    "height": 107,
    "block_hash": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
    "fee_sat": 412,
    "created_at": "2026-01-31T12:06:00Z",
    "changed_at": "2026-01-31T12:07:00Z",
}


BATCH_EXAMPLE: Final[dict[str, Any]] = {
    "id": 3,
    "first_index": 1200,
    "last_index": 1260,
    "closed_at": "2026-01-31T12:06:00Z",
    "root": "0f3a…",
    "checkpoint": "localhost/wattseal\n1261\nDzo…=\n\n— localhost/wattseal …\n",
    "body": {"schema_version": "batch-1", "batch": 3},
    "anchor": None,
    "anchors": [ANCHOR_EXAMPLE],
}


class AnchorView(BaseModel):
    """An attestation: what was asked of a chain, and what became of it."""

    model_config = _SHAPE | ConfigDict(json_schema_extra={"example": ANCHOR_EXAMPLE})

    id: int
    batch: int
    digest: str
    """SHA-256 of the checkpoint's body (docs/spec/anchor.md §1)."""
    kind: str
    chain: str
    simulated: bool
    state: Literal["planned", "broadcast", "in_block", "final"]
    meaning: str
    """The state in plain words."""
    reference: str | None
    """Transaction id."""
    height: int | None
    block_hash: str | None
    fee_sat: int | None
    created_at: str
    changed_at: str


class BatchView(BaseModel):
    """A closed range of entries and the checkpoint that closes it."""

    model_config = _SHAPE | ConfigDict(json_schema_extra={"example": BATCH_EXAMPLE})

    id: int
    first_index: int
    last_index: int
    """Of its own entry, which is its last."""
    closed_at: str
    root: str
    checkpoint: str | None
    """The signed note; null in the moment before it is signed."""
    body: dict[str, Any]
    """The batch entry's document (docs/spec/log.md §3)."""
    anchor: AnchorMention | None
    """How far it is anchored, by itself or by a later batch."""
    anchors: list[AnchorView]
    """Its own attestations."""


class BatchList(BaseModel):
    """A page of batches."""

    model_config = _SHAPE

    items: list[BatchView]
    next_cursor: str | None


def anchor_view(row: AttestationRow) -> dict[str, Any]:
    """The values of an AnchorView."""
    chain = f"the {row.chain} chain"
    meanings = {
        "planned": "Not given to the chain yet; it is tried again.",
        "broadcast": f"Given to {chain}; it waits for a block.",
        "in_block": f"A block of {chain} holds it; some more blocks make it final.",
        "final": f"A block of {chain} holds it, with enough blocks above it.",
    }
    return {
        "id": row.attestation_no,
        "batch": row.batch,
        "digest": row.digest.hex(),
        "kind": row.kind,
        "chain": row.chain,
        "simulated": row.simulated,
        "state": row.state,
        "meaning": meanings[row.state] + (" The chain is simulated: it proves no time." if row.simulated else ""),
        "reference": row.reference,
        "height": row.height,
        "block_hash": None if row.block_hash is None else to_display(row.block_hash),
        "fee_sat": row.fee_sat,
        "created_at": rfc3339(row.created_s),
        "changed_at": rfc3339(row.changed_s),
    }


def batch_view(services: Services, read: Read, row: BatchRow) -> dict[str, Any]:
    """The values of a BatchView."""
    return {
        "id": row.number,
        "first_index": row.first_idx,
        "last_index": row.last_idx,
        "closed_at": rfc3339(row.closed_s),
        "root": row.root.hex(),
        "checkpoint": row.checkpoint,
        "body": logged(read.entries(row.last_idx, 1)[0].body),
        "anchor": Overlay(services, read).anchor(row.number),
        "anchors": [anchor_view(attestation) for attestation in read.attestations(batch=row.number)],
    }
