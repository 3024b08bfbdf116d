"""Taking in what meters say: signed readings from anybody, intervals as JSON from whoever has a token.

A signed reading is its own credential. Without a token its source is rate-limited, and what no registered key signed
goes to a bounded inbox and never into the log (docs/spec/reading.md §4.1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from wattseal.api.access_token import NOBODY, Caller
from wattseal.api.answer import answer, described
from wattseal.api.problem import Problem, refused
from wattseal.api.reading_sequence import split_readings
from wattseal.api.record_view import RECORD_EXAMPLE
from wattseal.api.services import AnyCaller, Here, Services, forbidden, source_address, unauthorized
from wattseal.core import jcs
from wattseal.core.refusal import Refusal
from wattseal.core.registry import meter_path
from wattseal.core.reported import parse_interval
from wattseal.ingest.receipt import Receipt
from wattseal.ingest.reported import ReportedInterval

router = APIRouter(prefix="/api/v1/logs", tags=["readings"])

COSE: Final = "application/cose"
SEQUENCE: Final = "application/cbor-seq"
JSON: Final = "application/json"

_REFUSED: Final = "refused"
_COMMAS_PER_INTERVAL: Final = 64
"""More than an interval with 16 tags has: an array is not taken apart if it cannot hold so few items."""
_EXPLAINED_BYTES: Final = 262_144
_STATUS: Final = {"unknown-key": HTTPStatus.FORBIDDEN, "bad-signature": HTTPStatus.FORBIDDEN}
_NEXT_STEP: Final = {
    "unknown-key": "Register the device's key first (POST /api/v1/keys), then send the reading again.",
    "bad-signature": "Check which key the device signs with; the reading was not stored.",
}


class ResultView(BaseModel):
    """What became of one reading or interval. Whatever is not refused is durable."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "outcome": "admitted",
                "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "index": 1234,
                "log_id": "019a8f3e2c7b7d21b6f04a3c9e5d8f10",
            }
        },
    )

    outcome: Literal["admitted", "duplicate", "held", "late", "quarantined", "refused"]
    """docs/spec/reading.md §4."""
    digest: str | None = None
    """SHA-256 of the reading's payload, or of the interval's bytes."""
    index: int | None = None
    """Of the entry that it led to: the record that it closed, or its quarantine entry."""
    log_id: str | None = None
    reason: str | None = None
    field: str | None = None
    detail: str | None = None


class ResultList(BaseModel):
    """What became of each item, in the order in which they were sent."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "counts": {"admitted": 1, "refused": 1},
                "results": [
                    {
                        "outcome": "admitted",
                        "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    },
                    {"outcome": "refused", "reason": "malformed", "field": "payload.8", "detail": "must be an integer"},
                ],
            }
        },
    )

    counts: dict[str, int]
    """How many had which outcome."""
    results: list[ResultView]


_INTERVAL_EXAMPLE: Final = {
    name: RECORD_EXAMPLE[name]
    for name in ("site_id", "iot_device_id", "meter_id", "ts_start", "ts_end", "interval_s", "energy_kwh", "status")
} | {"price_sats_per_kwh": 100}
_INTERVAL_SCHEMA: Final = {
    "type": "object",
    "required": ["site_id", "iot_device_id", "meter_id", "ts_start", "ts_end", "interval_s", "energy_kwh"],
    "properties": {
        "site_id": {"type": "string"},
        "iot_device_id": {"type": "string"},
        "meter_id": {"type": "string"},
        "ts_start": {"type": "string", "format": "date-time"},
        "ts_end": {"type": "string", "format": "date-time"},
        "interval_s": {"type": "integer"},
        "energy_kwh": {"type": "number", "description": "At most six decimals."},
        "export_kwh": {"type": "number"},
        "power_kw_avg": {"type": "number"},
        "price_sats_per_kwh": {"type": "number"},
        "status": {"enum": ["ok", "estimated", "error", "gap"]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}
_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {"oneOf": [_INTERVAL_SCHEMA, {"type": "array", "items": _INTERVAL_SCHEMA}]},
                "example": _INTERVAL_EXAMPLE,
            },
            COSE: {"schema": {"type": "string", "format": "binary", "description": "One signed reading."}},
            SEQUENCE: {
                "schema": {"type": "string", "format": "binary", "description": "Signed readings, one after the other."}
            },
        },
    }
}


@router.post(
    "",
    summary="Send readings or intervals",
    response_model=ResultView | ResultList,
    responses=described(
        None,
        "What became of it: one result for one item, else a list in which each item has its own, `refused` included.",
        401,
        403,
        408,
        413,
        415,
        429,
        503,
    ),
    openapi_extra=_BODY,
)
async def submit(request: Request, here: Here, caller: AnyCaller) -> Response:
    """Signed readings need no token. Intervals as JSON need one with the scope `report` or `operator`.

    An answer of 200 means that everything but what is marked `refused` is durable. Sending again is safe: what is there
    already comes back as `duplicate`.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if kind == SEQUENCE:
        return _listed(await _readings(request, here, caller, split_readings(body, here.settings.max_items)))
    if kind == COSE:
        return _single((await _readings(request, here, caller, [body]))[0])
    if kind == JSON:
        _check_reporter(caller)
        items, is_array = split_json(body, here.settings.max_items)
        receipts = await _intervals(here, caller, items)
        return _listed(receipts) if is_array else _single(receipts[0])
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "content-type",
        "This content type is not known here",
        next_step=f"Send {JSON} (intervals), {COSE} (one signed reading) or {SEQUENCE} (many).",
        headers={"Accept-Post": f"{JSON}, {COSE}, {SEQUENCE}"},
    )


async def _readings(request: Request, here: Services, caller: Caller, items: Sequence[bytes]) -> Sequence[Receipt]:
    is_trusted = not caller.scopes.isdisjoint(("operator", "enrol", "report"))
    source = source_address(request)
    if not is_trusted:
        _check_rate(here, source, len(items))
    return await here.ingest.submit_readings(items, trusted=is_trusted, source=source)


def _check_rate(here: Services, source: str, count: int) -> None:
    wait_s = here.rate.wait_s(source, count)
    if not wait_s:
        return
    here.watch.rejected("readings without a token, by the rate", count)
    if count > here.rate.burst:
        next_step = f"Without a token send at most {here.rate.burst} readings in one request."
    else:
        next_step = f"Send the same again after {wait_s} s, or use a token. A device may keep its readings for days."
    raise Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "rate",
        "Too many readings from this address without a token",
        "Nothing of this request was stored.",
        next_step=next_step,
        headers={"Retry-After": str(wait_s)},
    )


def _check_reporter(caller: Caller) -> None:
    if caller is NOBODY:
        raise unauthorized("Intervals as JSON carry no signature, so they need a token with the scope report.")
    if caller.scopes.isdisjoint(("operator", "report")):
        raise forbidden("Intervals as JSON need the scope report or operator.")


async def _intervals(here: Services, caller: Caller, items: Sequence[bytes]) -> Sequence[Receipt]:
    if "operator" not in caller.scopes:
        for raw in items:
            _check_report(caller, raw)
    return await here.ingest.submit_reported([ReportedInterval(raw) for raw in items])


def _check_report(caller: Caller, raw: bytes) -> None:
    """Problem 403 unless the token may report for the interval's meter. What is malformed, the gate refuses."""
    try:
        interval = parse_interval(raw)
    except Refusal:
        return
    path = meter_path(interval.site_id or "", interval.iot_device_id or "", interval.meter_id or "")
    if not caller.may("report", path):
        raise forbidden(f"This token may not report for {path}. Nothing of this request was stored.")


_split_array: Final[Callable[[bytes], list[msgspec.Raw]]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
_split_value: Final[Callable[[bytes], msgspec.Raw]] = msgspec.json.Decoder(msgspec.Raw).decode


def split_json(body: bytes, most: int) -> tuple[list[bytes], bool]:
    """The bytes of each item as they came, and whether they came in an array.

    Refusal for what is no JSON, naming NaN and Infinity, for an empty array and for more than `most` items.
    """
    is_array = body.lstrip(b" \t\r\n")[:1] == b"["
    if is_array and body.count(b",") >= most * _COMMAS_PER_INTERVAL:
        raise Refusal("json", f"is an array of too many items; send at most {most} in one request")
    try:
        items = list(map(bytes, _split_array(body))) if is_array else [bytes(_split_value(body))]
    except (msgspec.DecodeError, RecursionError) as error:
        if len(body) <= _EXPLAINED_BYTES:
            jcs.loads(body, len(body))  # names NaN and the like
        raise Refusal("json", "is nested too deeply" if isinstance(error, RecursionError) else str(error)) from None
    if not 1 <= len(items) <= most:
        raise Refusal("json", f"is an array of {len(items)} items; send 1 to {most} in one request")
    return items, is_array


def _result(receipt: Receipt) -> dict[str, Any]:
    outcome, digest, index, log_id, reason, field, detail = receipt
    result: dict[str, Any] = {"outcome": outcome}
    if digest is not None:
        result["digest"] = digest.hex()
    if log_id is not None:
        result["index"] = index
        result["log_id"] = log_id.hex()
    if reason is not None:
        result["reason"] = reason
        if field is not None:
            result["field"] = field
        result["detail"] = detail
    return result


def _single(receipt: Receipt) -> Response:
    if receipt.outcome != _REFUSED:
        return answer(_result(receipt))
    reason = receipt.reason or "malformed"
    if reason == "malformed":
        raise refused(Refusal(receipt.field or "reading", receipt.detail or "is malformed"))
    raise Problem(
        _STATUS[reason],
        reason,
        "The reading was refused",
        f"{receipt.field}: {receipt.detail}",
        field=receipt.field,
        reason=receipt.detail,
        next_step=_NEXT_STEP[reason],
    )


def _listed(receipts: Sequence[Receipt]) -> Response:
    counts = Counter([receipt[0] for receipt in receipts])
    results = list(map(_result, receipts))
    if counts[_REFUSED] == len(receipts):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            _REFUSED,
            "Every item was refused",
            next_step="See the reason of each; nothing was stored.",
            more={"counts": counts, "results": results},
        )
    return answer({"counts": counts, "results": results})
