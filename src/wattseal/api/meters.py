"""Meters and the devices that they belong to."""

from __future__ import annotations

from collections import defaultdict
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from wattseal.api.answer import answer, described, json_body, logged
from wattseal.api.problem import not_found
from wattseal.api.query import Identifier, Limit
from wattseal.api.registered import (
    KEY_DOCUMENT,
    METER_DOCUMENT,
    DocumentList,
    RegisteredView,
    check_scope,
    now_text,
    page,
    parse_given,
    registered,
    visible_documents,
)
from wattseal.api.services import AnyCaller, Enroller, Here
from wattseal.core import jcs
from wattseal.core.registry import METER_ROLES, DeviceKey, Meter, meter_path, parse_meter

router = APIRouter(prefix="/api/v1", tags=["registry"])

NameCursor = Annotated[str | None, Query(max_length=256, description="`next_cursor` of the page before.")]

_GIVEN: Final = {name: METER_DOCUMENT[name] for name in METER_DOCUMENT if name not in {"schema_version", "valid_from"}}
_METER_SCHEMA: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["site_id", "iot_device_id", "meter_id"],
    "properties": {
        "schema_version": {"const": "meter-1"},
        "site_id": {"type": "string"},
        "iot_device_id": {"type": "string"},
        "meter_id": {"type": "string"},
        "role": {"enum": list(METER_ROLES), "default": "consumption"},
        "kid": {"type": "array", "items": {"type": "string"}, "default": [], "description": "Keys that may sign it."},
        "rated_power_kw": {"type": ["number", "null"], "default": None},
        "record_interval_s": {"type": "integer", "minimum": 1, "maximum": 86400, "default": 300},
        "zone": {"type": "string", "default": "UTC", "description": "IANA time zone."},
        "disclosed": {"type": "boolean", "default": False, "description": "Everybody may read its records."},
        "valid_from": {"type": "string", "format": "date-time", "description": "By default now."},
    },
}


@router.post(
    "/meters",
    status_code=HTTPStatus.CREATED,
    summary="Register a meter, or change one",
    response_model=RegisteredView,
    responses=described(None, "The entry that was made.", 401, 403, 503, status=201),
    openapi_extra=json_body(_METER_SCHEMA, _GIVEN),
)
async def register_meter(here: Here, caller: Enroller, request: Request) -> Response:
    """The values of a meter from now on. All of it is given each time; what is left out takes its default."""
    defaults: dict[str, jcs.Json] = {
        "role": "consumption",
        "kid": [],
        "rated_power_kw": None,
        "record_interval_s": 300,
        "zone": "UTC",
        "disclosed": False,
        "valid_from": now_text(),
    }
    meter = parse_given(await request.body(), "meter-1", defaults, parse_meter)
    check_scope(caller, meter.path)
    entry = await here.ingest.call(lambda tx, now: here.ingest.enrolment.register_meter(tx, now, meter))
    return registered(entry, meter)


@router.get("/meters", summary="List meters", response_model=DocumentList, responses=described(None, "A page.", 401))
def list_meters(
    here: Here, caller: AnyCaller, site: Identifier | None = None, limit: Limit = 100, cursor: NameCursor = None
) -> Response:
    """The meters that the caller may see: without a token the disclosed ones."""
    meters = visible_documents(here, caller)
    return page([meter for meter in meters if site in {None, meter.site_id}], limit, cursor)


class MeterView(BaseModel):
    """A meter as it is in force, and its keys."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"meter": METER_DOCUMENT, "keys": [KEY_DOCUMENT]}}
    )

    meter: dict[str, Any]
    keys: list[dict[str, Any]]


@router.get(
    "/meters/{site}/{device}/{meter}",
    summary="One meter and its keys",
    response_model=MeterView,
    responses=described(None, "The meter.", 401, 404),
)
def get_meter(here: Here, caller: AnyCaller, site: Identifier, device: Identifier, meter: Identifier) -> Response:
    """Its document and those of the keys that may sign it."""
    path = meter_path(site, device, meter)
    registry = here.ingest.registry
    found = registry.meters.get(path)
    if found is None or not here.may_read(caller, path):
        raise not_found(f"meter {path}")
    keys = [logged(registry.keys[kid].body()) for kid in found.kids]
    return answer({"meter": logged(found.body()), "keys": keys})


class DeviceView(BaseModel):
    """A device: its keys and the meters that it signs."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "site_id": "plant-1",
                "iot_device_id": "esp32-01",
                "keys": [KEY_DOCUMENT],
                "meters": [METER_DOCUMENT],
            }
        },
    )

    site_id: str
    iot_device_id: str
    keys: list[dict[str, Any]]
    meters: list[dict[str, Any]]


class DeviceList(BaseModel):
    """A page of devices."""

    model_config = ConfigDict(extra="forbid")

    items: list[DeviceView]
    next_cursor: str | None


@router.get("/devices", summary="List devices", response_model=DeviceList, responses=described(None, "A page.", 401))
def list_devices(
    here: Here, caller: AnyCaller, site: Identifier | None = None, limit: Limit = 100, cursor: NameCursor = None
) -> Response:
    """What holds signing keys, with its keys and meters. A device without a meter is seen by operators and auditors."""
    keys: dict[str, list[DeviceKey]] = defaultdict(list)
    meters: dict[str, list[Meter]] = defaultdict(list)
    for key in here.ingest.registry.keys.values():
        keys[f"{key.site_id}/{key.iot_device_id}"].append(key)
    for meter in visible_documents(here, caller):
        meters[f"{meter.site_id}/{meter.iot_device_id}"].append(meter)
    sees_all = here.visible_meters(caller) is None
    paths = sorted(keys.keys() | meters.keys() if sees_all else meters.keys())
    wanted = [path for path in paths if site in {None, path.partition("/")[0]} and (cursor is None or path > cursor)]
    items = [
        {
            "site_id": path.partition("/")[0],
            "iot_device_id": path.partition("/")[2],
            "keys": [logged(key.body()) for key in keys[path]],
            "meters": [logged(meter.body()) for meter in meters[path]],
        }
        for path in wanted[:limit]
    ]
    return answer({"items": items, "next_cursor": wanted[limit - 1] if len(wanted) > limit else None})
