"""Reading the records: lists, one by one, and their proofs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from wattseal.api.access_token import Caller
from wattseal.api.answer import answer, described
from wattseal.api.problem import Problem, conflict, not_found
from wattseal.api.query import Cursor, Identifier, Instant, Limit, LogId, cursor_of
from wattseal.api.record_view import EntryList, EntryView, Overlay
from wattseal.api.services import AnyCaller, Here, Services
from wattseal.core.emlog import SCHEMA
from wattseal.core.refusal import Refusal
from wattseal.log.amendments import SUPERSESSION
from wattseal.log.bundle import NotYet, proof_document, record_bundle, tlog_proof
from wattseal.log.port import EntryRow, Read, RecordFilter

router = APIRouter(prefix="/api/v1/logs", tags=["records"])

_PUBLIC_SCHEMAS: Final = frozenset({"batch-1", SUPERSESSION})
"""They name other entries, and nothing of a meter."""


class Status(StrEnum):
    """A record's status (docs/spec/emlog.md §2)."""

    OK = "ok"
    ESTIMATED = "estimated"
    ERROR = "error"
    GAP = "gap"


class Order(StrEnum):
    """By index."""

    NEWEST = "newest"
    OLDEST = "oldest"


class RecordQuery(BaseModel):
    """Which records."""

    site: Identifier | None = None
    device: Identifier | None = None
    meter: Identifier | None = None
    from_: Annotated[Instant | None, Field(alias="from", description="Records that start at this time or later.")] = (
        None
    )
    to: Annotated[Instant | None, Field(description="Records that start before this time.")] = None
    status: Status | None = None
    order: Order = Order.NEWEST
    limit: Limit = 100
    cursor: Cursor | None = None


@router.get("", summary="List records", response_model=EntryList, responses=described(None, "A page of records.", 401))
def list_records(here: Here, caller: AnyCaller, query: Annotated[RecordQuery, Query()]) -> Response:
    """Records that the caller may see, newest first. Without a token these are the ones of disclosed meters."""
    chosen = RecordFilter(
        site_id=query.site,
        iot_device_id=query.device,
        meter_id=query.meter,
        from_s=query.from_,
        to_s=query.to,
        status=query.status,
        meter_nos=here.visible_meters(caller),
        after_idx=-1 if query.cursor is None else query.cursor,
        newest_first=query.order is Order.NEWEST,
        limit=query.limit + 1,
    )
    with here.store.read() as read:
        rows = read.records(chosen)
        overlay = Overlay(here, read)
        items = [overlay.view(row) for row in rows[: query.limit]]
    has_more = len(rows) > query.limit
    return answer({"items": items, "next_cursor": cursor_of(rows[query.limit - 1].idx) if has_more else None})


def visible_entry(here: Services, read: Read, caller: Caller, log_id: bytes) -> EntryRow:
    """The entry with that id, if the caller may see it; a Problem if there is none, or none that they may see."""
    row = read.entry_by_id(log_id)
    visible = here.visible_meters(caller)
    if row is None or (visible is not None and row.schema not in _PUBLIC_SCHEMAS and row.meter_no not in visible):
        raise not_found("entry with this log_id", "Check the id, or use a token that may see its meter.")
    return row


@router.get(
    "/{log_id}", summary="One record", response_model=EntryView, responses=described(None, "The record.", 401, 404)
)
def get_record(here: Here, caller: AnyCaller, log_id: LogId) -> Response:
    """The logged document as it was hashed, and what happened to it since: batch, anchor, settlement."""
    with here.store.read() as read:
        return answer(Overlay(here, read).view(visible_entry(here, read, caller, log_id)))


class ProofFormat(StrEnum):
    """json: the inclusion proof in plain JSON. tlog-proof: C2SP. bundle: all that `wattseal verify` needs."""

    JSON = "json"
    TLOG_PROOF = "tlog-proof"
    BUNDLE = "bundle"


class Proof(BaseModel):
    """An RFC 6962 inclusion proof of an entry."""

    log_id: str
    leaf_index: int
    tree_size: int
    entry: str
    """The 32 bytes that the log commits to; the leaf is SHA-256(0x00 ‖ entry)."""
    hashes: list[str]
    """From the leaf's sibling up."""
    checkpoint: str
    """The signed note that the proof leads to."""
    batch_id: int
    root: str


@router.get(
    "/{log_id}/proof",
    summary="The proof of one record",
    response_model=Proof,
    responses=described(None, "The proof, in the format asked for.", 401, 404, 409, 410, 429, 503)
    | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_proof(
    request: Request,
    here: Here,
    caller: AnyCaller,
    log_id: LogId,
    format_: Annotated[ProofFormat, Query(alias="format")] = ProofFormat.JSON,
    since: Annotated[int | None, Query(ge=1, le=2**53, description="A size of the log that you know already.")] = None,
) -> Response:
    """That the log holds the record: where, and under which checkpoint. Before its batch closes there is none yet."""
    name = log_id.hex()
    if since is not None and format_ is not ProofFormat.BUNDLE:
        raise Refusal("since", "belongs to format=bundle")
    with here.store.read() as read:
        row = visible_entry(here, read, caller, log_id)
        try:
            if format_ is ProofFormat.JSON:
                return answer(proof_document(read, row))
            if format_ is ProofFormat.TLOG_PROOF:
                return attachment(tlog_proof(read, row), f"{name}.tlog-proof", "text/plain; charset=utf-8")
            if row.schema != SCHEMA:
                raise Refusal("log_id", "is no record; ask for format=json or tlog-proof")
            with here.heavy(request, caller):
                return attachment(record_bundle(read, row, since=since), f"{name}.wattseal.json", "application/json")
        except NotYet as error:
            raise not_yet(here, error) from None


def not_yet(here: Services, error: NotYet) -> Problem:
    """No checkpoint covers it yet."""
    wait_s = here.settings.batch_max_s
    next_step = f"Ask again within {wait_s} s, or let an operator POST /api/v1/batches/flush."
    return conflict(str(error), next_step, {"Retry-After": str(wait_s)})


def attachment(data: bytes, name: str, media_type: str) -> Response:
    """A file to keep. `name` is made by us, never by a sender."""
    return Response(data, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})
