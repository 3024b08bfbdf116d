"""JSON answers. Logged documents go out as the bytes that were hashed, so that no number is written anew."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Response
from pydantic import BaseModel

from wattseal.api.problem import ProblemDetails


def answer(value: Any, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:  # noqa: ANN401
    """A value as JSON; `logged` parts as they are."""
    return Response(orjson.dumps(value), status, headers=headers, media_type="application/json")


def logged(body: bytes) -> orjson.Fragment:
    """A canonical document, to stand in an answer byte by byte."""
    return orjson.Fragment(body)


_PROBLEMS: Mapping[int, str] = {
    400: "The input was refused: `field` and `reason` say which part and why.",
    401: "A token is needed, or this one does not count.",
    403: "This token may not do that.",
    404: "Nothing is there that the caller may see.",
    408: "The body took too long to arrive.",
    409: "Not possible now: `next_step` says when, or what to do first.",
    410: "It was erased; only its hash is left.",
    413: "The body is too large.",
    415: "Another content type is needed.",
    429: "Too many readings or large requests from this address without a token; Retry-After says when to go on.",
    503: "Too much is waiting, or the log has stopped writing. Nothing was stored; Retry-After says when to come back.",
}


def described(
    model: type[BaseModel] | None, description: str, *problems: int, status: int = 200
) -> dict[int | str, dict[str, Any]]:
    """What a route answers, for the documentation: its own answer and the problems that it may tell."""
    answers: dict[int | str, dict[str, Any]] = {status: {"description": description}}
    if model is not None:
        answers[status]["model"] = model
    for problem in sorted({400, *problems}):
        answers[problem] = {
            "description": _PROBLEMS[problem],
            "content": {
                "application/problem+json": {"schema": {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}}
            },
        }
    return answers


def json_body(schema: Mapping[str, Any], example: object, description: str = "") -> dict[str, Any]:
    """The documentation of a JSON body that a route reads by itself."""
    return {
        "requestBody": {
            "required": True,
            "description": description,
            "content": {"application/json": {"schema": dict(schema), "example": example}},
        }
    }
