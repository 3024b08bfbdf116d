"""Making, listing and revoking access tokens."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from time import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict

from wattseal.api.access_token import SCOPES, mint
from wattseal.api.answer import answer, described, json_body
from wattseal.api.problem import not_found
from wattseal.api.services import Here, Operator
from wattseal.core import jcs
from wattseal.core.document import Members
from wattseal.core.refusal import Refusal
from wattseal.core.units import rfc3339
from wattseal.log.port import TokenRow, Write

router = APIRouter(prefix="/api/v1/tokens", tags=["tokens"])

_MAX_BYTES: Final = 262_144
_SHAPE = ConfigDict(extra="forbid", use_attribute_docstrings=True)
_SCHEMA: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["label", "scopes"],
    "properties": {
        "label": {"type": "string", "maxLength": 100},
        "scopes": {"type": "array", "items": {"enum": list(SCOPES)}, "minItems": 1},
        "subject": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "What it is limited to: site, site/device or site/device/meter.",
        },
        "expires": {"type": ["string", "null"], "format": "date-time", "default": None},
    },
}


class TokenView(BaseModel):
    """A token, without what proves it."""

    model_config = _SHAPE

    id: str
    """The first 16 hex digits of its SHA-256."""
    label: str
    scopes: list[str]
    subject: list[str]
    created_at: str
    expires: str | None
    revoked_at: str | None


class NewTokenView(TokenView):
    """A token that was just made."""

    token: str
    """Shown this once: only its hash is kept."""


class TokenList(BaseModel):
    """All tokens."""

    model_config = _SHAPE

    items: list[TokenView]


def _view(row: TokenRow) -> dict[str, Any]:
    return {
        "id": row.token_hash.hex()[:16],
        "label": row.label,
        "scopes": row.scopes.split(),
        "subject": row.subject.split("\n") if row.subject else [],
        "created_at": rfc3339(row.created_s),
        "expires": None if row.expires_s is None else rfc3339(row.expires_s),
        "revoked_at": None if row.revoked_s is None else rfc3339(row.revoked_s),
    }


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    summary="Make a token",
    response_model=NewTokenView,
    responses=described(None, "The token; it is not shown again.", 401, 403, 503, status=201),
    openapi_extra=json_body(
        _SCHEMA, {"label": "Tenant of flat 3", "scopes": ["tenant"], "subject": ["house-7/gateway/flat-3"]}
    ),
)
async def make_token(here: Here, _: Operator, request: Request) -> Response:
    """tenant: reads its meters. auditor: reads all. enrol: registers. report: sends intervals. operator: all."""
    value = jcs.loads(await request.body(), _MAX_BYTES)
    members = Members({"subject": [], "expires": None, **value} if isinstance(value, dict) else value)
    text, row = mint(
        members.text("label"),
        [_text(item, "scopes") for item in members.list("scopes", len(SCOPES))],
        [_text(item, "subject") for item in members.list("subject", 1_000)],
        int(time()),
        members.optional_time("expires"),
    )
    members.done()

    def add(tx: Write, _: int) -> Sequence[TokenRow]:
        tx.add_token(row)
        return tx.tokens()

    here.tokens.replace(await here.ingest.call(add))
    return answer(_view(row) | {"token": text}, HTTPStatus.CREATED)


def _text(value: jcs.Json, field: str) -> str:
    if not isinstance(value, str):
        raise Refusal(field, "must be an array of texts")
    return value


@router.get("", summary="List tokens", response_model=TokenList, responses=described(None, "All tokens.", 401, 403))
def list_tokens(here: Here, _: Operator) -> Response:
    """Also those that have expired or were revoked."""
    with here.store.read() as read:
        return answer({"items": [_view(row) for row in read.tokens()]})


@router.delete(
    "/{token_id}",
    summary="Revoke a token",
    response_model=TokenView,
    responses=described(None, "The token, revoked.", 401, 403, 404, 503),
)
async def revoke_token(
    here: Here,
    _: Operator,
    token_id: Annotated[str, Path(pattern="^[0-9a-f]{16}$", examples=["019a8f3e2c7b7d21"])],
) -> Response:
    """It counts no more, from now on."""
    with here.store.read() as read:
        row = next((row for row in read.tokens() if row.token_hash.hex().startswith(token_id)), None)
    if row is None:
        raise not_found("token with this id")
    if row.revoked_s is None:
        here.tokens.replace(await here.ingest.call(partial(_revoke, row.token_hash)))
        with here.store.read() as read:
            row = read.token(row.token_hash) or row
    return answer(_view(row))


def _revoke(token_hash: bytes, tx: Write, now: int) -> Sequence[TokenRow]:
    tx.revoke_token(token_hash, now)
    return tx.tokens()
