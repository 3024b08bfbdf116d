"""Headers that every answer carries: nothing from elsewhere is loaded, and nobody may frame our pages."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_ALWAYS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_NOT_KEPT: Final = ((b"cache-control", b"no-store"),)
"""What a caller may see depends on the token, so nothing is kept on the way unless a route says otherwise."""


class ResponseHeaders:
    """ASGI middleware that adds them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *_ALWAYS]
                if not any(name == b"cache-control" for name, _ in headers):
                    headers += _NOT_KEPT
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, adding if scope["type"] == "http" else send)
