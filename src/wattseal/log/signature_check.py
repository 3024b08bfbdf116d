"""Whether stored readings are signed by their registered keys: most of the work of fsck, so processes share it."""

from __future__ import annotations

import marshal
import multiprocessing
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from wattseal.core.reading import load_public_key, parse_envelope, signature_is_good
from wattseal.log.report import Findings

CHUNK: Final = 4_096
"""Readings that a worker takes at a time. A log with fewer starts none."""
_AHEAD: Final = 3

_key: Final = lru_cache(maxsize=4_096)(load_public_key)


def bad_places(message: bytes) -> list[int]:
    """What a worker does: the places in a marshalled list of (reading, public key) whose signature is not the key's."""
    items: list[tuple[bytes, bytes]] = marshal.loads(message)  # noqa: S302 - from this program's own process
    return [place for place, (cose, public_key) in enumerate(items) if not _is_good(cose, public_key)]


def _is_good(cose: bytes, public_key: bytes) -> bool:
    key: EllipticCurvePublicKey = _key(public_key)
    return signature_is_good(parse_envelope(cose), key)


class SignatureCheck:
    """Takes well-formed readings; `workers` processes check them, 0: this one. Call `finish`, also after an error."""

    def __init__(self, findings: Findings, workers: int) -> None:
        self._findings = findings
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._items: list[tuple[bytes, bytes]] = []
        self._names: list[str] = []
        self._running: deque[tuple[Future[list[int]], list[str]]] = deque()

    def add(self, cose: bytes, public_key: bytes, name: str) -> None:
        """Check a reading, which a finding will call `name`."""
        self._items.append((cose, public_key))
        self._names.append(name)
        if len(self._items) >= CHUNK:
            self._send()

    def finish(self) -> None:
        """Wait for all results."""
        if self._items:
            self._send()
        while self._running:
            self._take()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _send(self) -> None:
        items, names = self._items, self._names
        self._items, self._names = [], []
        message = marshal.dumps(items)
        if not self._workers or (self._pool is None and len(items) < CHUNK):
            self._tell(bad_places(message), names)
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._workers, mp_context=multiprocessing.get_context("spawn"))
        self._running.append((self._pool.submit(bad_places, message), names))
        if len(self._running) >= self._workers * _AHEAD:
            self._take()

    def _take(self) -> None:
        future, names = self._running.popleft()
        self._tell(future.result(), names)

    def _tell(self, places: list[int], names: list[str]) -> None:
        self._findings.count("signatures", len(names))
        for place in places:
            self._findings.bad(f"{names[place]}: its signature is not by its registered key")
