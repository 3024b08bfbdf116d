"""The bound on bodies, with senders that a socket would make slow to write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from wattseal.api.body_limit import BodyLimit


class Echo:
    """An application that reads a body whole; and the client that sends it in pieces."""

    def __init__(self, *, limit: int = 100, together: int = 1_000, timeout_s: int = 1) -> None:
        self.bodies: list[bytes] = []
        self.after: list[Message] = []
        self.limit = BodyLimit(self._app, limit=limit, together=together, timeout_s=timeout_s)
        self.arrived = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        self.arrived.set()
        await self.hold.wait()
        self.after.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def post(
        self, pieces: Sequence[bytes], *, length: int | None = None, ends: bool = True, leaves: bool = False
    ) -> tuple[int, Any, int]:
        """Status, body (parsed if it is a problem), and how many pieces were taken."""
        waiting: list[Message] = [
            {"type": "http.request", "body": piece, "more_body": place < len(pieces) - 1 or not ends}
            for place, piece in enumerate(pieces)
        ]
        if leaves:
            waiting.append({"type": "http.disconnect"})
        sent: list[Message] = []

        async def receive() -> Message:
            if waiting:
                return waiting.pop(0)
            if ends:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            sent.append(message)

        header = (b"content-length", str(length).encode()) if length is not None else (b"transfer-encoding", b"chunked")
        await self.limit({"type": "http", "method": "POST", "headers": [header]}, receive, send)
        taken = len(pieces) + leaves - len(waiting)
        if not sent:
            return 0, None, taken
        body = sent[1].get("body", b"")
        return sent[0]["status"], orjson.loads(body) if sent[0]["status"] >= 400 else body, taken


@pytest.mark.anyio
async def test_a_body_arrives_whole() -> None:
    echo = Echo()
    assert await echo.post([b"a" * 60, b"b" * 40], length=100) == (200, b"a" * 60 + b"b" * 40, 2)
    assert await echo.post([b""]) == (200, b"", 1)
    assert echo.after[0] == {"type": "http.disconnect"}  # whoever waits for the end of the connection still hears it


@pytest.mark.anyio
async def test_a_body_that_is_too_long() -> None:
    echo = Echo()
    for pieces, length, taken in (
        ([b"a" * 101], 101, 1),
        ([b"a" * 60, b"b" * 60, b"c" * 60], 180, 3),  # dropped, so that the client reads the answer
        ([b"a" * 60, b"b" * 60, b"c" * 10], None, 3),
        ([b"a" * 1_000, b"b" * 1_000], 2_000, 0),  # not even that
        ([b"a" * 60] * 50, None, 6),
    ):
        status, problem, seen = await echo.post(pieces, length=length)
        assert (status, problem["type"], seen) == (413, "urn:wattseal:problem:too-large", taken)
    assert echo.bodies == []


@pytest.mark.anyio
async def test_a_body_that_does_not_end() -> None:
    echo = Echo()
    status, problem, _ = await echo.post([b"a"], length=50, ends=False)
    assert (status, problem["type"]) == (408, "urn:wattseal:problem:too-slow")
    assert echo.bodies == []


@pytest.mark.anyio
async def test_a_client_that_leaves() -> None:
    echo = Echo()
    assert (await echo.post([b"a"], length=50, ends=False, leaves=True))[0] == 0
    assert echo.bodies == []


@pytest.mark.anyio
async def test_all_bodies_together_are_bounded() -> None:
    echo = Echo(together=150)
    echo.hold.clear()
    first = asyncio.create_task(echo.post([b"a" * 100], length=100))
    await echo.arrived.wait()
    status, problem, _ = await echo.post([b"b" * 60], length=60)
    assert (status, problem["type"]) == (503, "urn:wattseal:problem:busy")
    echo.hold.set()
    assert (await first)[0] == 200
    for _ in range(5):  # what was held is given back, also after refusals
        assert (await echo.post([b"b" * 90], length=90))[0] == 200
        assert (await echo.post([b"b" * 101]))[0] == 413
