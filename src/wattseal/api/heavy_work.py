"""Work that takes seconds of processor time: so much of it at once that readings still get in, and fairly shared.

Who shows a token and who shows none have slots of their own, so that no stranger keeps an operator or a tenant out. A
stranger's address also has a rate, so that one of them does not keep all others out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from threading import BoundedSemaphore, Lock
from typing import Final

from wattseal.api.problem import Problem, busy
from wattseal.api.source_rate import SourceRate

_AT_ONCE: Final = 2
_WAITING: Final = 6
"""Each waits in a thread of the pool that all routes share, so few may."""
_PATIENCE_S: Final = 2
_RETRY_S: Final = 2


class _Slots:
    """So many at once, some more wait for a moment."""

    def __init__(self) -> None:
        self.running = BoundedSemaphore(_AT_ONCE)
        self.coming = BoundedSemaphore(_AT_ONCE + _WAITING)


class HeavyWork:
    """`per_s` such requests a second from one address without a token in the long run, `burst` at once."""

    def __init__(self, per_s: int, burst: int) -> None:
        self._with_token = _Slots()
        self._without = _Slots()
        self._rate = SourceRate(per_s, burst)
        self._rate_lock = Lock()

    @contextmanager
    def turn(self, address: str, *, has_token: bool) -> Iterator[None]:
        """Around the work, in a thread of its own. Problem 503 where too much is under way, 429 by rate."""
        if not has_token:
            self._take(address)
        slots = self._with_token if has_token else self._without
        if not slots.coming.acquire(blocking=False):
            raise busy(_RETRY_S)
        try:
            if not slots.running.acquire(timeout=_PATIENCE_S):
                raise busy(_RETRY_S)
            try:
                yield
            finally:
                slots.running.release()
        finally:
            slots.coming.release()

    def _take(self, address: str) -> None:
        with self._rate_lock:
            wait_s = self._rate.wait_s(address, 1)
        if wait_s:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "rate",
                "Too many large requests from this address without a token",
                next_step=f"Ask again after {wait_s} s, or use a token.",
                headers={"Retry-After": str(wait_s)},
            )
