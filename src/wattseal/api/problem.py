"""What a client is told when something is not done: RFC 9457 problem details, in plain words, without internals."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from wattseal.core.refusal import Refusal
from wattseal.ingest.receipt import Busy
from wattseal.log.port import StoreBusy, StoreUnreachable
from wattseal.log.salts import SecretErased
from wattseal.log.sequencer import Halted

MEDIA_TYPE: Final = "application/problem+json"
_TYPE: Final = "urn:wattseal:problem:"
_log = structlog.get_logger()


class ProblemDetails(BaseModel):
    """RFC 9457: why a request was not carried out."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "type": "urn:wattseal:problem:refused",
                "title": "The input was refused",
                "status": 400,
                "detail": "interval_s: must be ts_end - ts_start, which is 300",
                "field": "interval_s",
                "reason": "must be ts_end - ts_start, which is 300",
                "next_step": "Correct the field and send it again; nothing was stored.",
            }
        },
    )

    type: str
    """A name for this kind of problem that does not change."""
    title: str
    """The kind of problem in words."""
    status: int
    """The HTTP status."""
    detail: str | None = None
    """What is wrong this time."""
    field: str | None = None
    """Which part of the input is meant."""
    reason: str | None = None
    """What is wrong with it."""
    next_step: str | None = None
    """What can be done about it."""


class Problem(Exception):
    """Ends a request with a problem. All of it is shown to the client."""

    def __init__(  # noqa: PLR0913 - the members of RFC 9457 and ours
        self,
        status: HTTPStatus,
        kind: str,
        title: str,
        detail: str | None = None,
        *,
        field: str | None = None,
        reason: str | None = None,
        next_step: str | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.headers = headers
        members = {
            "type": _TYPE + kind,
            "title": title,
            "status": int(status),
            "detail": detail,
            "field": field,
            "reason": reason,
            "next_step": next_step,
        }
        self.body = {name: value for name, value in members.items() if value is not None} | dict(more or {})

    def response(self) -> Response:
        """The answer to the client."""
        return Response(orjson.dumps(self.body), self.status, headers=self.headers, media_type=MEDIA_TYPE)


def refused(refusal: Refusal, next_step: str = "Correct the field and send it again; nothing was stored.") -> Problem:
    """Input that is not accepted."""
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "refused",
        "The input was refused",
        str(refusal),
        field=refusal.field,
        reason=refusal.reason,
        next_step=next_step,
    )


def not_found(what: str, next_step: str = "Check the address, or use a token that may see it.") -> Problem:
    """Nothing is there, or nothing that the caller may see: nobody learns which."""
    return Problem(
        HTTPStatus.NOT_FOUND,
        "not-found",
        "Not found",
        f"There is no {what} here, or none that you may see.",
        next_step=next_step,
    )


def conflict(detail: str, next_step: str, headers: Mapping[str, str] | None = None) -> Problem:
    """It cannot be done now, or not here."""
    return Problem(HTTPStatus.CONFLICT, "conflict", "Not possible now", detail, next_step=next_step, headers=headers)


def busy(retry_after_s: int) -> Problem:
    """Too much is waiting already; nothing of this request was stored."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "busy",
        "Too much is waiting",
        "Nothing of this request was stored.",
        next_step=f"Send the same again after {retry_after_s} s.",
        headers={"Retry-After": str(retry_after_s)},
    )


def too_large(limit: int) -> Problem:
    """A body over the limit."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too-large",
        "The request is too large",
        f"A body may have {limit} bytes here.",
        next_step="Send it in several requests.",
        headers={"Connection": "close"},
    )


def install(app: FastAPI) -> None:
    """Turn every error of a route into a problem."""
    handlers = {
        Problem: _on_problem,
        Refusal: _on_refusal,
        RequestValidationError: _on_invalid,
        Busy: _on_busy,
        StoreBusy: _on_busy_store,
        StoreUnreachable: _on_unreachable,
        Halted: _on_halt,
        SecretErased: _on_erased,
        HTTPException: _on_http,
        Exception: _on_fault,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)  # type: ignore[arg-type]  # each takes its own kind


async def _on_problem(_: Request, problem: Problem) -> Response:
    return problem.response()


async def _on_refusal(_: Request, refusal: Refusal) -> Response:
    return refused(refusal).response()


async def _on_invalid(_: Request, invalid: RequestValidationError) -> Response:
    first = invalid.errors()[0]
    cause = first.get("ctx", {}).get("error")
    where = [str(part) for part in first["loc"] if part not in {"query", "path", "body", "header"}]
    if isinstance(cause, Refusal):
        reason = cause.reason
    elif first["type"] == "extra_forbidden":
        reason = "is no parameter here"
    else:
        reason = first["msg"]
    return refused(Refusal((".".join(where) or str(first["loc"][0]))[:128], reason)).response()


async def _on_busy(_: Request, error: Busy) -> Response:
    return busy(error.retry_after_s).response()


async def _on_busy_store(_: Request, __: StoreBusy) -> Response:
    return busy(5).response()


async def _on_unreachable(_: Request, error: StoreUnreachable) -> Response:
    _log.error("database", error=str(error))
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "database-away",
        "The database does not answer",
        "Nothing of this request was stored. What was acknowledged before is in the database.",
        next_step="Send the same again later.",
        headers={"Retry-After": "5"},
    ).response()


async def _on_halt(_: Request, __: Halted) -> Response:
    problem = Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "halted",
        "The log has stopped writing",
        "Nothing of this request was stored. What was acknowledged before stays readable.",
        next_step="Keep your readings. The server's log tells the operator why; see docs/operate/recovery.md.",
    )
    return problem.response()


async def _on_erased(_: Request, __: SecretErased) -> Response:
    return Problem(
        HTTPStatus.GONE,
        "erased",
        "It was erased",
        "What the entry's hash was made of was erased. The log stays whole, and its hash stays in it.",
        next_step="A copy that was kept before still verifies.",
    ).response()


async def _on_http(_: Request, error: HTTPException) -> Response:
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.NOT_FOUND:
        return not_found("page at this address", "See /docs for the addresses that exist.").response()
    next_steps = {HTTPStatus.METHOD_NOT_ALLOWED: "See /docs for what this address can do."}
    kind = status.phrase.lower().replace(" ", "-")
    return Problem(status, kind, status.phrase, next_step=next_steps.get(status), headers=error.headers).response()


async def _on_fault(request: Request, error: Exception) -> Response:
    _log.error("fault", method=request.method, path=request.url.path[:256], exc_info=error)
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "fault",
        "Something went wrong in the server",
        "It is in the server's log. Whether this request was stored is not known.",
        next_step="Send it again: what is already stored is recognised.",
    ).response()
