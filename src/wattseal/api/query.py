"""The kinds of query and path parameters; whatever is not one of them is refused by name."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Query, Request
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from wattseal.core.refusal import Refusal
from wattseal.core.units import MAX_TIME_S, identifier, parse_rfc3339

MAX_PAGE: Final = 1_000
_INDEX_BYTES: Final = 8
_MAX_INDEX: Final = 2**53 - 1


def _instant(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MAX_TIME_S)):
        if int(value) > MAX_TIME_S:
            raise Refusal("time", "must lie between 1970 and 9999")
        return int(value)
    return parse_rfc3339(value, "time")


def _digits(value: object) -> object:
    """Without this, 1.0 and +1 would be other addresses of batch 1."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise Refusal("batch_id", "must be a number")
    return value


def _meter_path(value: str) -> str:
    parts = value.split("/")
    if len(parts) != 3:
        raise Refusal("meter", "must be site/device/meter")
    for part in parts:
        identifier(part, "meter")
    return value


def _hex(length: int, what: str) -> BeforeValidator:
    def parse(value: object) -> bytes:
        if not isinstance(value, str) or len(value) != 2 * length or not set(value) <= set("0123456789abcdef"):
            raise Refusal(what, f"must be {2 * length} lower-case hex digits")
        return bytes.fromhex(value)

    return BeforeValidator(parse)


def _hex_schema(length: int, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^[0-9a-f]{{{2 * length}}}$", "examples": [example]})


Identifier = Annotated[
    str,
    AfterValidator(lambda value: identifier(value, "id")),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$", "examples": ["park-1"]}),
]
Instant = Annotated[
    int,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-31T12:00:00Z"]}),
]
"""RFC 3339 or Unix seconds, as Unix seconds."""
MeterPath = Annotated[
    str, AfterValidator(_meter_path), WithJsonSchema({"type": "string", "examples": ["park-1/inverter-1/m1"]})
]
LogId = Annotated[
    bytes,
    _hex(16, "log_id"),
    _hex_schema(16, "019a8f3e2c7b7d21b6f04a3c9e5d8f10"),
    Path(description="The entry's log_id."),
]
Kid = Annotated[
    bytes,
    _hex(16, "kid"),
    _hex_schema(16, "5f0c3a9e1b7d4c2088e6f1a2b3c4d5e6"),
    Path(description="The key's id: the first 16 bytes of SHA-256 of the public key."),
]
BatchId = Annotated[
    int,
    BeforeValidator(_digits),
    Path(ge=0, le=_MAX_INDEX, description="The batch's number.", examples=[3]),
]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most.")]


def cursor_of(index: int) -> str:
    """The opaque text that stands for an index."""
    return base64.urlsafe_b64encode(index.to_bytes(_INDEX_BYTES, "big")).rstrip(b"=").decode()


def _cursor(value: object) -> int:
    try:
        data = base64.b64decode(f"{value}=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    index = int.from_bytes(data, "big")
    if len(data) != _INDEX_BYTES or index > _MAX_INDEX or cursor_of(index) != value:
        raise Refusal("cursor", "is none that this server gave; begin without one")
    return index


Cursor = Annotated[
    int,
    BeforeValidator(_cursor),
    WithJsonSchema({"type": "string", "examples": ["AAAAAAAABNI"]}),
    Query(description="Where the answer before this one ended: its `next_cursor`."),
]


def known_queries(app: FastAPI) -> dict[tuple[str, str], frozenset[str]]:
    """The names of the query parameters of every documented route, by method and path template."""
    paths: Mapping[str, Mapping[str, Any]] = app.openapi()["paths"]
    return {
        (method.upper(), path): frozenset(
            parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"
        )
        for path, operations in paths.items()
        for method, operation in operations.items()
    }


async def refuse_unknown_queries(request: Request) -> None:
    """Refuse a parameter that the route does not have, or that came twice: a misspelled filter must not select all."""
    if not request.scope["query_string"]:
        return
    route = request.scope["route"].path
    known = request.app.state.known_queries.get((request.method, route), frozenset())
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise Refusal(name[:64], f"is no parameter here; there are: {names}")
        if name in seen:
            raise Refusal(name, "is given twice")
        seen.add(name)
