"""Batches: closing, showing, exporting and anchoring them."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from wattseal.anchor.attest import Attestor
from wattseal.anchor.port import AnchorUnavailableError
from wattseal.api.answer import answer, described
from wattseal.api.batch_export import MAX_ENTRIES, BatchExport, export_document, export_zip
from wattseal.api.batch_view import AnchorView, BatchList, BatchView, anchor_view, batch_view
from wattseal.api.logs import attachment
from wattseal.api.problem import Problem, conflict, not_found
from wattseal.api.query import BatchId, Cursor, Limit, cursor_of
from wattseal.api.services import AnyCaller, Here, Operator, Services
from wattseal.core.refusal import Refusal
from wattseal.log.port import BatchRow, Read

router = APIRouter(prefix="/api/v1/batches", tags=["batches"])

MAX_BLOCKS: Final = 100


@router.post(
    "/flush",
    summary="Close a batch now",
    response_model=BatchView,
    responses=described(None, "The batch.", 401, 403, 409, 503),
)
async def flush(here: Here, _: Operator) -> Response:
    """Put everything that is durable into a batch and sign its checkpoint. With nothing new: the last batch."""
    if not here.sequencer.next_idx:
        raise conflict("The log is empty: there is nothing to close.", "Register a meter or send a reading first.")
    row = await here.ingest.flush()
    with here.store.read() as read:
        return answer(batch_view(here, read, row))


@router.get("", summary="List batches", response_model=BatchList, responses=described(None, "A page, newest first."))
def list_batches(here: Here, limit: Limit = 20, cursor: Cursor | None = None) -> Response:
    """Batches with their checkpoints and anchors: public, like the tree."""
    with here.store.read() as read:
        rows = read.batches(-1 if cursor is None else cursor, limit + 1, newest_first=True) if cursor != 0 else ()
        items = [batch_view(here, read, row) for row in rows[:limit]]
    return answer({"items": items, "next_cursor": cursor_of(rows[limit - 1].number) if len(rows) > limit else None})


def _found(read: Read, number: int) -> BatchRow:
    row = read.batch(number)
    if row is None:
        raise not_found("batch of this number", "GET /api/v1/batches lists them.")
    return row


@router.get("/{batch_id}", summary="One batch", response_model=BatchView, responses=described(None, "The batch.", 404))
def get_batch(here: Here, batch_id: BatchId) -> Response:
    """Its range, checkpoint and anchors."""
    with here.store.read() as read:
        return answer(batch_view(here, read, _found(read, batch_id)))


class ExportFormat(StrEnum):
    """zip holds the same document with the checkpoint and each anchor as files of their own."""

    JSON = "json"
    ZIP = "zip"


@router.get(
    "/{batch_id}/export",
    summary="A batch with its entries, proofs and anchors",
    response_model=BatchExport,
    responses=described(None, "The batch.", 401, 404, 409, 429, 503)
    | {200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
def export_batch(
    request: Request,
    here: Here,
    caller: AnyCaller,
    batch_id: BatchId,
    format_: Annotated[ExportFormat, Query(alias="format")] = ExportFormat.JSON,
    limit: Annotated[int, Query(ge=1, le=MAX_ENTRIES, description="How many entries at most.")] = MAX_ENTRIES,
    cursor: Cursor | None = None,
) -> Response:
    """For keeping, and for anchoring elsewhere. Anybody gets each entry's hash and proof; who may see more gets it."""
    with here.heavy(request, caller), here.store.read() as read:
        row = _found(read, batch_id)
        if row.checkpoint is None:
            raise conflict("The batch is being signed.", "Ask again in a second.", {"Retry-After": "1"})
        first = row.first_idx if cursor is None else cursor + 1
        if not row.first_idx <= first <= row.last_idx:
            raise Refusal("cursor", "belongs to another batch")
        document = export_document(here, read, caller, row, first, limit)
        if format_ is ExportFormat.JSON:
            return answer(document)
        return attachment(export_zip(document), f"batch-{batch_id}.zip", "application/zip")


def _attestor(here: Services) -> Attestor:
    if here.attestor is None:
        raise conflict("This server anchors nowhere.", "Set `chain` in wattseal.toml and start it again.")
    return here.attestor


@router.post(
    "/{batch_id}/anchor",
    summary="Anchor a batch",
    response_model=AnchorView,
    responses=described(None, "Where the anchor stands.", 401, 403, 404, 409, 503),
)
def anchor_batch(here: Here, _: Operator, batch_id: BatchId) -> Response:
    """Give the checkpoint's digest to the chain. Asking again pays nothing: it tells where the anchor stands."""
    attestor = _attestor(here)
    with here.store.read() as read:
        _found(read, batch_id)
    try:
        return answer(anchor_view(attestor.anchor(batch_id)))
    except AnchorUnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "chain-unavailable",
            "The chain cannot be reached or paid now",
            str(error),
            next_step="Nothing was spent. It is tried again by itself.",
        ) from None


class Mined(BaseModel):
    """What the simulated chain found."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    simulated: bool
    height: int
    """Of the newest block."""
    anchor: AnchorView


@router.post(
    "/{batch_id}/anchor/simulate",
    summary="Anchor a batch in the simulated chain and let it find blocks",
    response_model=Mined,
    responses=described(None, "The chain's height, and where the anchor stands.", 401, 403, 404, 409, 503),
)
def simulate_anchor(
    here: Here,
    _: Operator,
    batch_id: BatchId,
    blocks: Annotated[int, Query(ge=1, le=MAX_BLOCKS, description="How many blocks; 6 make it final.")] = 6,
) -> Response:
    """For trying out: real in form, and proof of nothing."""
    attestor = _attestor(here)
    if not attestor.can_mine:
        raise conflict(f"The chain {attestor.chain} finds its blocks by itself.", "POST …/anchor, and wait.")
    anchor_batch(here, _, batch_id)
    height = attestor.mine(here.now(), blocks)
    return answer({"simulated": True, "height": height, "anchor": anchor_view(attestor.anchor(batch_id))})
