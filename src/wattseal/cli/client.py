"""Changes go through the HTTP API, whose rules and words then hold for commands, too.

To a running server over the network; without one, to the same application inside this process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from wattseal.cli.failure import Failure
from wattseal.core import jcs

TOKEN_VARIABLE: Final = "WATTSEAL_TOKEN"  # noqa: S105 - a name
JSON: Final = "application/json"
_TIMEOUT_S: Final = 120


class Ask(NamedTuple):
    """One request."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes = b""
    content_type: str = JSON


class Client:
    """Asks the API, and turns its problems into failures with the server's own words."""

    def __init__(self, send: Callable[[Ask], httpx.Response]) -> None:
        self._send = send

    def post(self, path: str, document: jcs.Json = None, **query: str) -> dict[str, Any]:
        """The answer to a POST of a JSON document."""
        return self.post_bytes(path, b"" if document is None else jcs.dumps(document), JSON, **query)

    def post_bytes(self, path: str, body: bytes, content_type: str, **query: str) -> dict[str, Any]:
        """The answer to a POST of bytes of that media type."""
        return _answer(self._send(Ask("POST", path, query, body, content_type)))

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """The answer to a GET."""
        return _answer(self._send(Ask("GET", path, query)))

    def delete(self, path: str) -> dict[str, Any]:
        """The answer to a DELETE."""
        return _answer(self._send(Ask("DELETE", path, {})))


def _answer(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        value = None
    if response.is_success and isinstance(value, dict):
        return value
    if not isinstance(value, dict):
        what = f"The server answered with status {response.status_code} and not in JSON."
        raise Failure(what, "Is this the address of a Wattseal server?")
    title, detail = value.get("title", f"status {response.status_code}"), value.get("detail")
    raise Failure(f"{title}: {detail}" if detail else str(title), value.get("next_step"))


@contextmanager
def client(server: str | None, config: Path | None) -> Iterator[Client]:
    """A client of the server at that address, or of the site of that settings file, which no server may have open."""
    with _local(config) if server is None else _remote(server) as found:
        yield found


@contextmanager
def _remote(server: str) -> Iterator[Client]:
    token = os.environ.get(TOKEN_VARIABLE)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        http = httpx.Client(base_url=server, timeout=_TIMEOUT_S, headers=headers)
    except httpx.InvalidURL as error:
        raise Failure(f"--server {server}: {error}", "Write it like http://127.0.0.1:8000") from None

    def send(ask: Ask) -> httpx.Response:
        kind = {"content-type": ask.content_type}
        try:
            return http.request(ask.method, ask.path, content=ask.body, params=ask.query or None, headers=kind)
        except httpx.HTTPError as error:
            raise Failure(f"No answer from {server}: {error}", "Does the server run, at this address?") from None

    with http:
        yield Client(send)


@contextmanager
def _local(config: Path | None) -> Iterator[Client]:
    from wattseal.api.access_token import mint
    from wattseal.api.app import build_app
    from wattseal.config import load_settings
    from wattseal.serve import open_site

    with open_site(load_settings(config)) as opened:
        services = opened.site.services
        # Whoever may open the store may do everything. This token lives in this process and is not stored.
        token, row = mint("command line", ["operator"], [], int(time.time()))
        app = build_app(services)

        async def request(ask: Ask) -> httpx.Response:
            services.tokens.replace([row])  # a route that changes tokens reads the stored ones again
            headers = {"authorization": f"Bearer {token}", "content-type": ask.content_type}
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://site", timeout=_TIMEOUT_S) as http:
                return await http.request(
                    ask.method, ask.path, content=ask.body, params=ask.query or None, headers=headers
                )

        yield Client(lambda ask: opened.run(request, ask))
