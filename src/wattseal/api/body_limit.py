"""Every request body is bounded, in length, in time and together with all the others, before a route sees it."""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wattseal.api.problem import Problem, busy, too_large

_LINGER_S: Final = 5


class BodyLimit:
    """ASGI middleware that reads the body first and hands it on in one piece.

    A body that is too long is read and dropped up to twice the limit before the answer is sent, because many clients
    look for an answer only when they have sent everything; whoever sends more is cut off.
    """

    def __init__(self, app: ASGIApp, *, limit: int, together: int, timeout_s: int) -> None:
        self._app = app
        self._limit = limit
        self._together = together
        self._timeout_s = timeout_s
        self._buffered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        claim = 0
        try:
            declared = _declared_length(scope)
            if declared is not None and declared > self._limit:
                await _drop(receive, declared, self._limit)
                raise too_large(self._limit)
            body = bytearray()
            async with asyncio.timeout(self._timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    chunk = message.get("body", b"")
                    if len(body) + len(chunk) > self._limit:
                        await _drop(receive, self._limit, self._limit)
                        raise too_large(self._limit)
                    if self._buffered + len(chunk) > self._together:
                        raise busy(1)
                    claim += len(chunk)
                    self._buffered += len(chunk)
                    body += chunk
                    if not message.get("more_body", False):
                        break
            await self._app(scope, _replay(bytes(body), receive), send)
        except Problem as problem:
            await problem.response()(scope, receive, send)
        except TimeoutError:
            await _TOO_SLOW.response()(scope, receive, send)
        finally:
            self._buffered -= claim


_TOO_SLOW: Final = Problem(
    HTTPStatus.REQUEST_TIMEOUT,
    "too-slow",
    "The body took too long to arrive",
    next_step="Send it again, in smaller parts.",
    headers={"Connection": "close"},
)


def _has_body(scope: Scope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def _declared_length(scope: Scope) -> int | None:
    """The Content-Length; the server has refused what is no number."""
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), None)


async def _drop(receive: Receive, expected: int, limit: int) -> None:
    """Read on for a moment and forget it."""
    if expected > 2 * limit:
        return
    dropped = 0
    try:
        async with asyncio.timeout(_LINGER_S):
            while dropped <= limit * 2:
                message = await receive()
                dropped += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: deque[Message] = deque([{"type": "http.request", "body": body, "more_body": False}])

    async def replay() -> Message:
        return waiting.popleft() if waiting else await receive()

    return replay
