"""Tariff versions: what a record's quote is made of."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response

from wattseal.api.answer import described, json_body
from wattseal.api.meters import NameCursor
from wattseal.api.query import Identifier, Limit
from wattseal.api.registered import (
    DocumentList,
    RegisteredView,
    now_text,
    page,
    parse_given,
    registered,
    visible_documents,
)
from wattseal.api.services import AnyCaller, Here, Operator
from wattseal.core.registry import parse_tariff

router = APIRouter(prefix="/api/v1/tariffs", tags=["registry"])

_TARIFF_EXAMPLE: Final = {
    "tariff_id": "day",
    "version": 1,
    "site_id": "plant-1",
    "price_sats_per_kwh": 100,
    "valid_from": "2026-02-01T00:00:00Z",
    "meters": [],
}
_TARIFF_SCHEMA: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["tariff_id", "version", "site_id", "price_sats_per_kwh"],
    "properties": {
        "schema_version": {"const": "tariff-1"},
        "tariff_id": {"type": "string"},
        "version": {"type": "integer", "minimum": 1},
        "kind": {"const": "flat", "default": "flat"},
        "site_id": {"type": "string"},
        "price_sats_per_kwh": {"type": "number", "minimum": 0, "description": "At most three decimals."},
        "valid_from": {"type": "string", "format": "date-time", "description": "By default now."},
        "meters": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "`device/meter`; empty: all meters of the site.",
        },
    },
}


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    summary="Add a tariff version",
    response_model=RegisteredView,
    responses=described(None, "The entry that was made.", 401, 403, 503, status=201),
    openapi_extra=json_body(_TARIFF_SCHEMA, _TARIFF_EXAMPLE),
)
async def add_tariff(here: Here, _: Operator, request: Request) -> Response:
    """A version is never changed: a new price is a new version with its own valid_from; the past keeps its price."""
    defaults = {"kind": "flat", "valid_from": now_text(), "meters": []}
    tariff = parse_given(await request.body(), "tariff-1", defaults, parse_tariff)
    entry = await here.ingest.call(lambda tx, now: here.ingest.enrolment.add_tariff(tx, now, tariff))
    return registered(entry, tariff)


@router.get("", summary="List tariff versions", response_model=DocumentList, responses=described(None, "A page.", 401))
def list_tariffs(
    here: Here, caller: AnyCaller, site: Identifier | None = None, limit: Limit = 100, cursor: NameCursor = None
) -> Response:
    """The versions of the sites that the caller sees a meter of."""
    tariffs = here.ingest.registry.tariffs.values()
    sites = {meter.site_id for meter in visible_documents(here, caller)}
    sees_all = here.visible_meters(caller) is None
    shown = [tariff for tariff in tariffs if (sees_all or tariff.site_id in sites) and site in {None, tariff.site_id}]
    return page(shown, limit, cursor)
