"""The worker processes: steps 1 to 3 of admission (docs/spec/reading.md §4.2), which need no memory but of keys.

Verification holds the interpreter's lock, so threads would not help. Between the processes go plain tuples.
"""

from __future__ import annotations

import asyncio
import marshal
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from hashlib import sha256
from multiprocessing.connection import wait
from typing import Final, NamedTuple, TypeAlias

from wattseal.core.reading import MAX_READING_BYTES, parse_envelope, signed_bytes
from wattseal.core.refusal import Refusal
from wattseal.ingest.arrival import Arrival, ArrivalFields, arrival_fields
from wattseal.ingest.receipt import Busy, Receipt
from wattseal.ingest.signature import verification_key

CHUNK: Final = 256
"""Readings that a worker takes at a time: enough to make the way cheap, few enough to share a request among all."""
_KID: Final = slice(8, 24)
"""Where a well-formed reading has its kid (reading.md §1)."""
_NICENESS: Final = 5
"""The writer goes first: it is one thread, and where it waits for a processor every request waits with it."""
_AHEAD: Final = 2
"""Chunks per worker that are under way; the second waits at its door. What comes meanwhile is put together."""

Keys: TypeAlias = Callable[[bytes], bytes | None]
"""The public key X ‖ Y of a kid, None where it is not registered."""
Examined: TypeAlias = Arrival | Receipt
"""What was made of the bytes: a reading with a good signature, or a refusal."""
Refused: TypeAlias = tuple[str, str, str]
"""Code of reading.md §4.1, field, reason."""


def examine_one(data: bytes, keys: Keys) -> ArrivalFields | Refused:
    """Steps 1 to 3 on one reading's bytes."""
    try:
        envelope = parse_envelope(data)
        fields = arrival_fields(envelope)
    except Refusal as refusal:
        return "malformed", refusal.field, refusal.reason
    public_key = keys(envelope.kid)
    if public_key is None:
        return "unknown-key", "kid", f"no key {envelope.kid.hex()} is registered"
    digest = sha256(signed_bytes(envelope.kid, envelope.payload)).digest()
    if verification_key(public_key)(digest, envelope.signature):
        return fields
    return "bad-signature", "signature", "is not by the registered key"


def result_of(found: ArrivalFields | Refused) -> Examined:
    """A worker's tuple as the writer takes it."""
    if len(found) == 3:
        code, field, reason = found
        return Receipt("refused", None, None, None, code, field, reason)
    return Arrival(*found)


def examine_chunk(message: bytes) -> bytes:
    """What a worker does: (list of readings, public keys by kid) in, list of tuples out, both marshalled."""
    items, keys = marshal.loads(message)  # noqa: S302 - from the server's own process, of the same Python
    return marshal.dumps([examine_one(data, keys.get) for data in items])


def _begin() -> None:
    # An interrupt at the terminal reaches every process; the server stops the workers when it is done with them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    # A killed server cannot stop its workers, and they would wait for it for ever.
    wait([sentinel])
    os._exit(1)


class _Want:
    """One request: results are put where its readings stand, and the last one completes it."""

    __slots__ = ("done", "items", "missing", "results")

    def __init__(self, items: Sequence[bytes], done: asyncio.Future[list[Examined]]) -> None:
        self.items = items
        self.done = done
        self.results: list[Examined] = [_MISSING] * len(items)
        self.missing = len(items)


class _Piece(NamedTuple):
    """Readings of one request that go with a chunk."""

    want: _Want
    first: int
    length: int


class Examiner:
    """Has readings examined by a pool of processes; with no workers, in this one. For one event loop.

    Requests come back in the order in which they went in, whichever worker is faster: a meter's later reading must not
    overtake its earlier one, or it would be held and judged twice.
    """

    def __init__(self, workers: int, keys: Keys) -> None:
        self._workers = workers
        self._keys = keys
        self._queue: deque[_Piece] = deque()
        self._order: deque[_Want] = deque()
        self._running = 0
        self._pool = self._build() if workers else None
        self.restarts = 0
        """How often the pool had to be built again because a worker died."""

    async def examine(self, items: Sequence[bytes]) -> list[Examined]:
        """Steps 1 to 3 on one request's readings; results in their order. Raises Busy when workers die over it."""
        if self._pool is None:
            return [result_of(examine_one(item, self._keys)) for item in items]
        if not items:
            return []
        want = _Want(items, asyncio.get_running_loop().create_future())
        self._order.append(want)
        self._queue.append(_Piece(want, 0, len(items)))
        self._pump()
        return await want.done

    def close(self) -> None:
        """Stop the workers; what they have not begun fails as Busy."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _build(self) -> ProcessPoolExecutor:
        # Never fork: a forked child would share this process's locks in whatever state its threads left them.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(self._workers, mp_context=context, initializer=_begin)
        pool.submit(os.getpid)  # the workers start now and not with the first reading
        return pool

    def _pump(self) -> None:
        while self._queue and self._running < self._workers * _AHEAD:
            pieces, room = [], CHUNK
            while self._queue and room:
                want, first, count = self._queue.popleft()
                taken = min(count, room)
                pieces.append(_Piece(want, first, taken))
                room -= taken
                if taken < count:
                    self._queue.appendleft(_Piece(want, first + taken, count - taken))
            self._send(pieces, is_second_try=False)

    def _send(self, pieces: list[_Piece], *, is_second_try: bool) -> None:
        pool = self._pool
        if pool is None:
            self._fail(pieces, Busy(1, "the server stops"))
            return
        # One byte more than allowed is enough for the worker to refuse it.
        items = [
            item[: MAX_READING_BYTES + 1] for want, first, count in pieces for item in want.items[first : first + count]
        ]
        keys = {kid: key for kid in {item[_KID] for item in items} if (key := self._keys(kid)) is not None}
        loop = asyncio.get_running_loop()
        self._running += 1

        def finished(future: Future[bytes]) -> None:
            loop.call_soon_threadsafe(self._finished, pieces, future, pool, is_second_try)

        try:
            pool.submit(examine_chunk, marshal.dumps((items, keys))).add_done_callback(finished)
        except (BrokenProcessPool, RuntimeError) as error:
            broken: Future[bytes] = Future()
            broken.set_exception(error)
            loop.call_soon(self._finished, pieces, broken, pool, is_second_try)

    def _finished(
        self,
        pieces: list[_Piece],
        future: Future[bytes],
        pool: ProcessPoolExecutor,
        is_second_try: bool,  # noqa: FBT001 - call_soon gives no names
    ) -> None:
        self._running -= 1
        try:
            found: list[ArrivalFields | Refused] = marshal.loads(future.result())  # noqa: S302 - from our own worker
        except BrokenProcessPool:
            if self._pool is pool:
                self._pool = self._build()
                self.restarts += 1
                pool.shutdown(wait=False)
            if is_second_try:
                self._fail(pieces, Busy(1, "the workers died twice over these readings"))
            else:
                self._send(pieces, is_second_try=True)
        except CancelledError:
            self._fail(pieces, Busy(1, "the server stops"))
        else:
            self._fill(pieces, found)
        self._pump()

    def _fill(self, pieces: list[_Piece], found: list[ArrivalFields | Refused]) -> None:
        at = 0
        for want, first, count in pieces:
            want.results[first : first + count] = map(result_of, found[at : at + count])
            at += count
            want.missing -= count
        self._give_back()

    def _give_back(self) -> None:
        while self._order and (self._order[0].done.done() or not self._order[0].missing):
            want = self._order.popleft()
            if not want.done.done():
                want.done.set_result(want.results)

    def _fail(self, pieces: list[_Piece], error: Busy) -> None:
        for piece in pieces:
            if not piece.want.done.done():
                piece.want.done.set_exception(error)
        self._give_back()


_MISSING: Final = Receipt("refused")
