"""Declared discontinuities of a meter's registers: swaps, rollovers, resets (docs/spec/log.md §2)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from wattseal.api.answer import answer, described, json_body, logged
from wattseal.api.problem import not_found
from wattseal.api.query import Identifier
from wattseal.api.registered import MAX_DOCUMENT_BYTES, RegisteredView
from wattseal.api.services import AnyCaller, Here, Operator
from wattseal.core import jcs
from wattseal.core.discontinuity import KINDS, SCHEMA, parse_discontinuity
from wattseal.core.document import Members
from wattseal.core.registry import meter_path
from wattseal.ingest.declaration import Declaration
from wattseal.log.port import EntryRow, Read

router = APIRouter(prefix="/api/v1", tags=["registry"])

_REGISTER: Final = {"type": ["number", "null"], "default": None}
_SCHEMA: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["kind", "reason"],
    "properties": {
        "kind": {"enum": list(KINDS)},
        "import_before_kwh": _REGISTER
        | {"description": "What the old register showed last; of a rollover, where it begins anew. null: unread."},
        "import_after_kwh": {"type": "number", "default": 0, "description": "Where the new register began."},
        "export_before_kwh": _REGISTER | {"description": "May be left out where none was counted, or at a rollover."},
        "export_after_kwh": _REGISTER,
        "reason": {"type": "string", "maxLength": 1024},
        "kid": {"type": ["string", "null"], "description": "Whose chain; by default the one that was read last."},
        "after": {"type": ["string", "null"], "description": "Digest of the last admitted reading, to be sure of it."},
    },
}
_GIVEN: Final[dict[str, Any]] = {
    "kind": "meter-swap",
    "import_before_kwh": 1014.2,
    "import_after_kwh": 0.5,
    "reason": "Calibration ran out; protocol 2026-114.",
}
_DEFAULTS: Final[dict[str, jcs.Json]] = {
    "import_before_kwh": None,
    "import_after_kwh": 0,
    "export_before_kwh": None,
    "export_after_kwh": None,
    "kid": None,
    "after": None,
}


@router.post(
    "/meters/{site}/{device}/{meter}/discontinuities",
    status_code=HTTPStatus.CREATED,
    summary="Declare a meter swap, a rollover or a reset",
    response_model=RegisteredView,
    responses=described(None, "The entry that was made.", 401, 403, 503, status=201),
    openapi_extra=json_body(_SCHEMA, _GIVEN),
)
async def declare(
    here: Here, _: Operator, site: Identifier, device: Identifier, meter: Identifier, request: Request
) -> Response:
    """It lies after the last admitted reading. What was set aside since then is judged again.

    Signed by the operator's key and logged for good: the record across says that the operator declared it.
    """
    given = jcs.loads(await request.body(), MAX_DOCUMENT_BYTES)
    members = Members(_DEFAULTS | given if isinstance(given, dict) else given)
    said = Declaration(
        members.one_of("kind", KINDS),
        meter_path(site, device, meter),
        members.optional_decimal("import_before_kwh", 6),
        members.decimal("import_after_kwh", 6),
        members.optional_decimal("export_before_kwh", 6),
        members.optional_decimal("export_after_kwh", 6),
        members.text("reason", 1_024),
        members.optional_hex("kid", 16),
        members.optional_hex("after", 32),
    )
    members.done()
    made = await here.ingest.declare(said, here.operator)
    with here.store.read() as read:
        return answer(_view(read.entries(made.index, 1)[0]), HTTPStatus.CREATED)


class DiscontinuityList(BaseModel):
    """All of one meter, oldest first."""

    model_config = ConfigDict(extra="forbid")

    items: list[RegisteredView]


@router.get(
    "/meters/{site}/{device}/{meter}/discontinuities",
    summary="Declared discontinuities of a meter",
    response_model=DiscontinuityList,
    responses=described(None, "All of them, oldest first.", 401, 404),
)
def list_discontinuities(
    here: Here, caller: AnyCaller, site: Identifier, device: Identifier, meter: Identifier
) -> Response:
    """Whoever may read the meter's records may see what was declared of it."""
    path = meter_path(site, device, meter)
    if path not in here.ingest.registry.meters or not here.may_read(caller, path):
        raise not_found(f"meter {path}")
    with here.store.read() as read:
        return answer({"items": [_view(row) for row in _of_meter(read, path)]})


def _of_meter(read: Read, path: str) -> list[EntryRow]:
    return [row for row in read.entries_of_schema(SCHEMA) if parse_discontinuity(row.body).path == path]


def _view(row: EntryRow) -> dict[str, Any]:
    return {"log_id": row.entry_id.hex(), "index": row.idx, "body": logged(row.body)}
