"""Device keys: registering, replacing and revoking them; and the keys that sign for the log itself."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from wattseal.api.answer import answer, described, json_body, logged
from wattseal.api.meters import NameCursor
from wattseal.api.problem import not_found
from wattseal.api.query import Identifier, Kid, Limit
from wattseal.api.registered import (
    KEY_DOCUMENT,
    MAX_DOCUMENT_BYTES,
    DocumentList,
    RegisteredView,
    check_scope,
    now_text,
    page,
    parse_given,
    registered,
    visible_documents,
)
from wattseal.api.services import AnyCaller, Enroller, Here, Operator, Services
from wattseal.core import jcs
from wattseal.core.document import Members
from wattseal.core.reading import kid_of
from wattseal.core.registry import PROVENANCES, DeviceKey, parse_device_key

router = APIRouter(prefix="/api/v1", tags=["registry"])

_KEY_EXAMPLE: Final = {
    "public_key": "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    "site_id": "plant-1",
    "iot_device_id": "esp32-01",
    "serial": "0123a4b5c6d7e8f9ee",
}
_KEY_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["public_key", "site_id", "iot_device_id", "serial"],
    "properties": {
        "schema_version": {"const": "key-1"},
        "public_key": {"type": "string", "description": "X and Y of a P-256 point, 128 hex digits."},
        "site_id": {"type": "string"},
        "iot_device_id": {"type": "string"},
        "serial": {"type": "string", "description": "Of the secure element, in hex."},
        "valid_from": {"type": "string", "format": "date-time", "description": "By default now."},
        "valid_until": {"type": ["string", "null"], "format": "date-time", "default": None},
        "provenance": {"enum": list(PROVENANCES), "default": "registered"},
        "simulated": {"type": "boolean", "default": False},
    },
}
_REVOKE_SCHEMA: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"valid_until": {"type": "string", "format": "date-time", "description": "By default now."}},
}


def _given_key(body: bytes) -> DeviceKey:
    def parse(data: bytes) -> DeviceKey:
        value = jcs.loads(data, MAX_DOCUMENT_BYTES)
        kid = kid_of(Members(value).hex("public_key", 64)).hex()
        return parse_device_key(jcs.dumps({"kid": kid, **value}))  # type: ignore[dict-item]  # parse_given gives an object

    defaults = {
        "alg": "ES256",
        "valid_from": now_text(),
        "valid_until": None,
        "provenance": "registered",
        "simulated": False,
        "previous_kid": None,
        "previous_digest": None,
        "reason": "registered",
    }
    return parse_given(body, "key-1", defaults, parse)


def _registered_key(here: Services, kid: bytes) -> DeviceKey:
    key = here.ingest.registry.keys.get(kid)
    if key is None:
        raise not_found("key with this id", "Register it: POST /api/v1/keys.")
    return key


@router.post(
    "/keys",
    status_code=HTTPStatus.CREATED,
    summary="Register a device key",
    response_model=RegisteredView,
    responses=described(None, "The entry that was made.", 401, 403, 503, status=201),
    openapi_extra=json_body(_KEY_SCHEMA, _KEY_EXAMPLE),
)
async def register_key(here: Here, caller: Enroller, request: Request) -> Response:
    """Let a device sign. Its meters are registered after it and name it."""
    key = _given_key(await request.body())
    check_scope(caller, f"{key.site_id}/{key.iot_device_id}")
    entry = await here.ingest.call(lambda tx, now: here.ingest.enrolment.register_key(tx, now, key))
    return registered(entry, key)


@router.get("/keys", summary="List device keys", response_model=DocumentList, responses=described(None, "A page.", 401))
def list_keys(
    here: Here, caller: AnyCaller, site: Identifier | None = None, limit: Limit = 100, cursor: NameCursor = None
) -> Response:
    """The keys of the meters that the caller may see, with when and why they stopped counting."""
    keys = here.ingest.registry.keys
    kids = keys.keys() if here.visible_meters(caller) is None else _kids(here, caller)
    return page([keys[kid] for kid in kids if site in {None, keys[kid].site_id}], limit, cursor)


def _kids(here: Services, caller: AnyCaller) -> set[bytes]:
    return {kid for meter in visible_documents(here, caller) for kid in meter.kids}


@router.get(
    "/keys/{kid}",
    summary="One device key",
    responses=described(None, "key-1.", 401, 404)
    | {200: {"description": "key-1.", "content": {"application/json": {"example": KEY_DOCUMENT}}}},
)
def get_key(here: Here, caller: AnyCaller, kid: Kid) -> Response:
    """The key as it is in force."""
    key = _registered_key(here, kid)
    if here.visible_meters(caller) is not None and kid not in _kids(here, caller):
        raise not_found("key with this id")
    return answer(logged(key.body()))


@router.post(
    "/keys/{kid}/rotate",
    status_code=HTTPStatus.CREATED,
    summary="Replace a device key",
    response_model=RegisteredView,
    responses=described(None, "The new key's entry.", 401, 403, 404, 503, status=201),
    openapi_extra=json_body(_KEY_SCHEMA, _KEY_EXAMPLE, "The new key."),
)
async def rotate_key(here: Here, caller: Enroller, kid: Kid, request: Request) -> Response:
    """The new key takes over the old one's meters at its valid_from, and its entry names the old one's last reading."""
    old, new = _registered_key(here, kid), _given_key(await request.body())
    for key in (old, new):
        check_scope(caller, f"{key.site_id}/{key.iot_device_id}")
    entries = await here.ingest.call(lambda tx, now: here.ingest.enrolment.rotate_key(tx, now, kid, new))
    return registered(entries[0], here.ingest.registry.keys[new.kid])


@router.post(
    "/keys/{kid}/revoke",
    status_code=HTTPStatus.CREATED,
    summary="Revoke a device key",
    response_model=RegisteredView,
    responses=described(None, "The key's new entry.", 401, 403, 404, 503, status=201),
    openapi_extra=json_body(_REVOKE_SCHEMA, {"valid_until": "2026-01-31T12:00:00Z"}),
)
async def revoke_key(here: Here, _: Operator, kid: Kid, request: Request) -> Response:
    """Readings from that time on are quarantined. The key stays in the registry, with the time at which it ended."""
    _registered_key(here, kid)
    body = await request.body()
    value = jcs.loads(body, MAX_DOCUMENT_BYTES) if body else {}
    members = Members({"valid_until": None, **value} if isinstance(value, Mapping) else value)
    until_s = members.optional_time("valid_until")
    members.done()
    entry = await here.ingest.call(
        lambda tx, now: here.ingest.enrolment.revoke_key(tx, now, kid, now if until_s is None else until_s)
    )
    return registered(entry, here.ingest.registry.keys[kid])


@router.get(
    "/signers",
    summary="The keys that sign for the log",
    response_model=DocumentList,
    responses=described(None, "A page."),
)
def list_signers(here: Here, limit: Limit = 100, cursor: NameCursor = None) -> Response:
    """The log's, the operator's and the gateway's keys. Whom to trust is yours to say: get them by another road too."""
    return page(here.ingest.registry.signers.values(), limit, cursor)
