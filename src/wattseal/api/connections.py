"""Connections: how many there may be, from whom, and how long one may take over the head of a request.

uvicorn counts requests, and an idle connection is none: without this file a stranger could take every file descriptor
of the process, and with them the server, by connecting and saying nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from wattseal.api.source_rate import source_of

_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 40\r\n"
    b"Retry-After: 5\r\nConnection: close\r\n\r\nToo many connections: try again in 5 s.\n"
)
_LATE: Final = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 40\r\n"
    b"Connection: close\r\n\r\nThe head of your request took too long.\n"
)
_LOOK_S: Final = 30
"""How often it is looked whether somebody takes the answer that waits for them."""
_SLOWEST_BYTES: Final = _LOOK_S * 1_024
"""Whoever takes less than this in that time is let go: else an answer could be held in memory for ever."""


class ConnectionLimits:
    """Counts the connections of one server; for its event loop.

    `proxies` are addresses and networks, comma-separated, or `*`: who connects through them is counted together.
    """

    def __init__(self, most: int, most_per_address: int, proxies: str = "") -> None:
        self.most = most
        self._most_per_address = most_per_address
        self._all_are_proxies = proxies.strip() == "*"
        self._proxies = [network for text in proxies.split(",") if (network := _network(text.strip())) is not None]
        self._by_source: Counter[str] = Counter()
        self.open = 0
        """Connections now."""
        self.refused = 0
        """Connections that were turned away since the start."""

    def enter(self, address: str) -> str | None:
        """Count a connection from an address: under which source, to be given to `leave`; None: turn it away."""
        source = "" if self._is_proxy(address) else source_of(address)
        if self.open >= self.most or (source and self._by_source[source] >= self._most_per_address):
            self.refused += 1
            return None
        self.open += 1
        self._by_source[source] += 1
        return source

    def leave(self, source: str) -> None:
        """A counted connection has ended."""
        self.open -= 1
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]

    def _is_proxy(self, address: str) -> bool:
        if self._all_are_proxies or not self._proxies:
            return self._all_are_proxies
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None  # a name: uvicorn compares it as it is, and here it only counts as any other address


class _BoundedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, within the limits. Made by `protocol_within`."""

    limits: ConnectionLimits
    head_timeout_s: int
    _source: str | None = None
    _head_timer: asyncio.TimerHandle | None = None
    _answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as H11Protocol has it
        """Let it in, or say that there is no room."""
        peer = transport.get_extra_info("peername")
        self._source = self.limits.enter(peer[0] if peer else "")
        if self._source is None:
            transport.write(_FULL)
            transport.close()
            return
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for another."""
        if self._source is None:
            return
        self._stop_head_timer()
        self._stop_answer_timer()
        self.limits.leave(self._source)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; the first ones of a request start its time, and only its whole head stops it."""
        if self._source is None:
            return
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_head_timer()
        elif self._head_timer is None and before.response_complete:
            self._await_head()

    def pause_writing(self) -> None:
        """The answer is not taken as fast as it comes."""
        super().pause_writing()
        if self._answer_timer is None:
            self._watch_answer(self.transport.get_write_buffer_size() + _SLOWEST_BYTES)

    def resume_writing(self) -> None:
        """It was taken."""
        super().resume_writing()
        self._stop_answer_timer()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.write(_LATE)
            self.transport.close()

    def _watch_answer(self, most: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting > most:
            self.transport.abort()
            return
        self._answer_timer = self.loop.call_later(_LOOK_S, self._watch_answer, max(waiting - _SLOWEST_BYTES, 0))

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None


def protocol_within(limits: ConnectionLimits, head_timeout_s: int) -> type[asyncio.Protocol]:
    """The class of uvicorn's `http` setting for one server."""
    return type("BoundedProtocol", (_BoundedProtocol,), {"limits": limits, "head_timeout_s": head_timeout_s})
