"""What registry routes have in common: reading a document strictly, showing documents as they are logged, paging."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from time import time
from typing import Any, Final, Protocol, TypeVar

from fastapi import Response
from pydantic import BaseModel, ConfigDict

from wattseal.api.access_token import Caller
from wattseal.api.answer import answer, logged
from wattseal.api.services import Services, forbidden
from wattseal.core import jcs
from wattseal.core.refusal import Refusal
from wattseal.core.registry import Meter
from wattseal.core.units import rfc3339
from wattseal.ingest.draft import Logged

MAX_DOCUMENT_BYTES: Final = 65_536
_SHAPE = ConfigDict(extra="forbid", use_attribute_docstrings=True)

T = TypeVar("T")


KEY_DOCUMENT: Final[dict[str, Any]] = {
    "schema_version": "key-1",
    "kid": "5f0c3a9e1b7d4c2088e6f1a2b3c4d5e6",
    "alg": "ES256",
    "public_key": "6b17d1f2…",
    "site_id": "plant-1",
    "iot_device_id": "esp32-01",
    "serial": "0123a4b5c6d7e8f9ee",
    "valid_from": "2026-01-01T00:00:00Z",
    "valid_until": None,
    "provenance": "registered",
    "simulated": False,
    "previous_kid": None,
    "previous_digest": None,
    "reason": "registered",
}
METER_DOCUMENT: Final[dict[str, Any]] = {
    "schema_version": "meter-1",
    "site_id": "plant-1",
    "iot_device_id": "esp32-01",
    "meter_id": "main",
    "role": "consumption",
    "kid": ["5f0c3a9e1b7d4c2088e6f1a2b3c4d5e6"],
    "rated_power_kw": 17,
    "record_interval_s": 300,
    "zone": "Europe/Zurich",
    "disclosed": False,
    "valid_from": "2026-01-01T00:00:00Z",
}


class Document(Protocol):
    """A registry document."""

    @property
    def registry_name(self) -> str:
        """Its name in the registry map."""

    def body(self) -> bytes:
        """Its canonical bytes."""


class RegisteredView(BaseModel):
    """An entry that was made in the registry. It counts from now on; the next batch commits to it."""

    model_config = _SHAPE | ConfigDict(
        json_schema_extra={
            "example": {
                "log_id": "019a8f3e2c7b7d21b6f04a3c9e5d8f10",
                "index": 7,
                "body": METER_DOCUMENT,
            }
        }
    )

    log_id: str
    index: int
    body: dict[str, Any]
    """The document as it is logged."""


class DocumentList(BaseModel):
    """A page of registry documents as they are in force now (docs/spec/log.md §2), by name."""

    model_config = _SHAPE | ConfigDict(
        json_schema_extra={"example": {"items": [METER_DOCUMENT], "next_cursor": "meter/plant-1/esp32-01/main"}}
    )

    items: list[dict[str, Any]]
    next_cursor: str | None


def parse_given(body: bytes, schema: str, defaults: Mapping[str, jcs.Json], parse: Callable[[bytes], T]) -> T:
    """A registry document from a JSON object that may leave out what has a default, or Refusal."""
    value = jcs.loads(body, MAX_DOCUMENT_BYTES)
    if not isinstance(value, Mapping):
        raise Refusal("json", "must be an object")
    return parse(jcs.dumps({"schema_version": schema, **defaults, **value}))


def now_text() -> str:
    """Now in RFC 3339: the default for valid_from."""
    return rfc3339(int(time()))


def registered(entry: Logged, document: Document) -> Response:
    """The answer to a change of the registry."""
    view = {"log_id": entry.log_id.hex(), "index": entry.index, "body": logged(document.body())}
    return answer(view, HTTPStatus.CREATED)


def check_scope(caller: Caller, path: str) -> None:
    """Problem 403 unless the caller may register there."""
    if not caller.may("enrol", path):
        raise forbidden(f"This token may not register anything for {path}.")


def visible_documents(services: Services, caller: Caller) -> list[Meter]:
    """The meters that a caller may know of, by path."""
    registry = services.ingest.registry
    return [meter for path, meter in sorted(registry.meters.items()) if services.may_read(caller, path)]


def page(documents: Iterable[Document], limit: int, cursor: str | None) -> Response:
    """A page of documents in order of their registry names; the cursor is the last name of the page before."""
    wanted = sorted(
        (document for document in documents if cursor is None or document.registry_name > cursor),
        key=lambda document: document.registry_name,
    )
    shown = wanted[:limit]
    next_cursor = shown[-1].registry_name if len(wanted) > limit else None
    return answer({"items": [logged(document.body()) for document in shown], "next_cursor": next_cursor})
