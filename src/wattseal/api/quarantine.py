"""What was set aside: readings that the gate did not admit, and the operator's decisions about them."""

from __future__ import annotations

import base64
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from wattseal.api.answer import answer, described, json_body, logged
from wattseal.api.problem import conflict, not_found
from wattseal.api.query import Cursor, Limit, LogId, cursor_of
from wattseal.api.registered import MAX_DOCUMENT_BYTES
from wattseal.api.services import Auditor, Here, Operator, Services
from wattseal.core import jcs
from wattseal.core.discontinuity import SCHEMA as DISCONTINUITY
from wattseal.core.document import Members
from wattseal.core.statement import DECISIONS, QUARANTINE, parse_decision
from wattseal.core.units import rfc3339
from wattseal.log.port import EntryRow, InboxRow, MeterRow, Read
from wattseal.log.releases import decision_of

router = APIRouter(prefix="/api/v1", tags=["quarantine"])

_SHAPE = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class DecisionView(BaseModel):
    """What settled it: an operator's decision about it, or what the operator said before it was judged again."""

    model_config = _SHAPE

    log_id: str
    index: int
    body: dict[str, Any]
    """decision-1, of this item or of one before it in its chain; or discontinuity-1"""


class QuarantineView(BaseModel):
    """A reading or interval that was set aside."""

    model_config = _SHAPE | ConfigDict(
        json_schema_extra={
            "example": {
                "log_id": "019a8f3e2c7b7d21b6f04a3c9e5d8f10",
                "index": 1250,
                "state": "open",
                "meter": "plant-1/esp32-01/main",
                "body": {
                    "schema_version": "quarantine-1",
                    "received_at": "2026-01-31T12:05:01Z",
                    "reason": "register-fell",
                    "detail": "the import register fell from 12.5 to 12.4 kWh",
                    "kid": "5f0c3a9e1b7d4c2088e6f1a2b3c4d5e6",
                    "meter_id": "main",
                    "epoch": 1,
                    "seq": 46,
                },
                "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "evidence": {"kind": "reading", "data": "0oRV…"},
                "decision": None,
            }
        }
    )

    log_id: str
    index: int
    state: Literal["open", "released", "rejected"]
    meter: str | None
    """site/device/meter, where it is registered."""
    body: dict[str, Any]
    """quarantine-1: the reason, and what could be read."""
    digest: str
    """SHA-256 of the reading's payload or of the interval's bytes."""
    evidence: dict[str, str] | None
    """The bytes as they came, in base64; `kind` is reading (COSE) or interval (JSON)."""
    decision: DecisionView | None


class QuarantineList(BaseModel):
    """A page, oldest first."""

    model_config = _SHAPE

    items: list[QuarantineView]
    next_cursor: str | None


class State(StrEnum):
    """Of a quarantined item."""

    OPEN = "open"
    RELEASED = "released"
    REJECTED = "rejected"


_STATES: Final = {"release": State.RELEASED, "reject": State.REJECTED}


class _Looker:
    """Finds what belongs to quarantine entries, in one committed state."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._meters: dict[int, MeterRow] = {row.meter_no: row for row in read.meters()}

    def state(self, row: EntryRow) -> State:
        decided = decision_of(self._read, row.entry_id)
        if decided is None:
            return State.OPEN
        # Judged again after a discontinuity was declared, and admitted.
        return State.RELEASED if decided.schema == DISCONTINUITY else _STATES[parse_decision(decided.body).decision]

    def view(self, row: EntryRow) -> dict[str, Any]:
        """The values of a QuarantineView."""
        meter = None if row.meter_no is None else self._meters.get(row.meter_no)
        decided = decision_of(self._read, row.entry_id)
        return {
            "log_id": row.entry_id.hex(),
            "index": row.idx,
            "state": self.state(row),
            "meter": meter and f"{meter.site_id}/{meter.iot_device_id}/{meter.meter_id}",
            "body": logged(row.body),
            "digest": row.start_slot.hex(),
            "evidence": self._evidence(row),
            "decision": decided
            and {"log_id": decided.entry_id.hex(), "index": decided.idx, "body": logged(decided.body)},
        }

    def _evidence(self, row: EntryRow) -> dict[str, str] | None:
        reading = self._read.set_aside_by_digest(row.start_slot)
        if reading is not None:
            return {"kind": "reading", "data": base64.b64encode(reading.cose).decode()}
        raw = self._read.raw(row.idx)
        return raw and {"kind": "interval", "data": base64.b64encode(raw[0]).decode()}


@router.get(
    "/quarantine",
    summary="What was set aside",
    response_model=QuarantineList,
    responses=described(None, "A page, oldest first.", 401, 403),
)
def list_quarantine(
    here: Here, _: Auditor, state: State | None = None, limit: Limit = 100, cursor: Cursor | None = None
) -> Response:
    """Each with its reason, its bytes and, once there is one, the decision."""
    after, is_last = -1 if cursor is None else cursor, False
    shown: list[EntryRow] = []
    with here.store.read() as read:
        look = _Looker(read)
        while len(shown) <= limit and not is_last:
            rows = read.entries_of_schema(QUARANTINE, after, limit + 1)
            shown += [row for row in rows if state in {None, look.state(row)}]
            is_last = len(rows) <= limit
            after = rows[-1].idx if rows else after
        items = [look.view(row) for row in shown[:limit]]
    next_cursor = cursor_of(shown[limit - 1].idx) if len(shown) > limit else None
    return answer({"items": items, "next_cursor": next_cursor})


def _found(read: Read, log_id: bytes) -> EntryRow:
    row = read.entry_by_id(log_id)
    if row is None or row.schema != QUARANTINE:
        raise not_found("quarantined item with this log_id", "GET /api/v1/quarantine lists them.")
    return row


def _one(here: Services, log_id: bytes) -> dict[str, Any]:
    with here.store.read() as read:
        return _Looker(read).view(_found(read, log_id))


@router.get(
    "/quarantine/{log_id}",
    summary="One that was set aside",
    response_model=QuarantineView,
    responses=described(None, "It, with its bytes.", 401, 403, 404),
)
def get_quarantined(here: Here, _: Auditor, log_id: LogId) -> Response:
    """The reason, the evidence and the decision."""
    return answer(_one(here, log_id))


_DECISION_SCHEMA: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["decision", "reason"],
    "properties": {"decision": {"enum": list(DECISIONS)}, "reason": {"type": "string", "maxLength": 1024}},
}


@router.post(
    "/quarantine/{log_id}/decision",
    status_code=HTTPStatus.CREATED,
    summary="Release or reject it",
    response_model=QuarantineView,
    responses=described(None, "It, decided.", 401, 403, 404, 409, 503, status=201),
    openapi_extra=json_body(_DECISION_SCHEMA, {"decision": "reject", "reason": "The display shows another value."}),
)
async def decide(here: Here, _: Operator, log_id: LogId, request: Request) -> Response:
    """Signed by the operator's key and logged for good. A decision stands."""
    members = Members(jcs.loads(await request.body(), MAX_DOCUMENT_BYTES))
    decision, reason = members.one_of("decision", DECISIONS), members.text("reason", 1_024)
    members.done()
    if _one(here, log_id)["state"] is not State.OPEN:
        raise conflict("It was decided already, and a decision stands.", "See its `decision`.")
    await here.ingest.decide(log_id, decision, reason, here.operator)
    return answer(_one(here, log_id), HTTPStatus.CREATED)


class InboxItem(BaseModel):
    """Bytes that were refused without a token."""

    model_config = _SHAPE

    received_at: str
    reason: str
    source: str
    """The address that sent it."""
    data: str
    """In base64."""


class Inbox(BaseModel):
    """The newest; it is bounded and forgets the oldest."""

    model_config = _SHAPE

    items: list[InboxItem]


@router.get(
    "/inbox", summary="What strangers sent", response_model=Inbox, responses=described(None, "The newest.", 401, 403)
)
def get_inbox(here: Here, _: Auditor, limit: Limit = 100) -> Response:
    """Readings by unknown keys or with bad signatures, which are in no log: a device to register, or a nuisance."""
    with here.store.read() as read:
        return answer({"items": [_inbox_item(row) for row in read.inbox(limit)]})


def _inbox_item(row: InboxRow) -> dict[str, str]:
    return {
        "received_at": rfc3339(row.received_s),
        "reason": row.reason,
        "source": row.source,
        "data": base64.b64encode(row.data).decode(),
    }
