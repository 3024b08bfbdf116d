"""The ingest room's face: what the HTTP and MQTT sides call, from one event loop.

    submit ─▶ workers (form, key, signature) ─▶ queue ─▶ the writer's thread ─▶ receipts
How much may wait is counted in readings, from submit to receipt: beyond it a request is Busy and takes nothing.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import perf_counter_ns
from typing import Any, Final, NamedTuple, Self, TypeVar

from wattseal.core.note_key import Ed25519Signer
from wattseal.core.reading import MAX_READING_BYTES
from wattseal.ingest.admission import Round
from wattseal.ingest.arrival import Arrival
from wattseal.ingest.decision import decide
from wattseal.ingest.declaration import Declaration, declare
from wattseal.ingest.draft import Logged
from wattseal.ingest.enrolment import Enrolment
from wattseal.ingest.job import CallJob, FlushJob, Job, ReadingsJob, ReportedJob
from wattseal.ingest.live import Live
from wattseal.ingest.receipt import Busy, Receipt
from wattseal.ingest.registry import Registry
from wattseal.ingest.reported import Reported, ReportedInterval, parse_reported
from wattseal.ingest.settings import Settings
from wattseal.ingest.watcher import Watcher
from wattseal.ingest.workers import Examined, Examiner
from wattseal.ingest.writer import NS, ClockNs, Writer
from wattseal.log.port import BatchRow, InboxRow, Store, Write
from wattseal.log.sequencer import Halted, Sequencer, Starved

T = TypeVar("T")

_TICK_S: Final = 1
_RETRY_S: Final = 1
_SOURCE: Final = 256


class Ingest:
    """Make it with `start`, end it with `close`; all other methods belong to the event loop of `start`."""

    def __init__(
        self, writer: Writer, examiner: Examiner, sequencer: Sequencer, settings: Settings, clock_ns: ClockNs
    ) -> None:
        """For `start` alone."""
        self._writer = writer
        self._examiner = examiner
        self._sequencer = sequencer
        self._settings = settings
        self._clock_ns = clock_ns
        self.live = Live()
        """Who listens to what is admitted."""
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        self._fault: str | None = None
        self._outbox: list[_Waiting] = []
        self._queue = _Queue()
        self._is_closed = False
        # A daemon: a server that fails before `close` must end, and what was not acknowledged may be lost.
        self._thread = threading.Thread(target=self._write, name="wattseal-writer", daemon=True)

    @classmethod
    def start(
        cls,
        store: Store,
        sequencer: Sequencer,
        *,
        workers: int,
        gateway: Ed25519Signer,
        clock_ns: ClockNs,
        settings: Settings | None = None,
    ) -> Self:
        """Begin to work, with that many worker processes (0: none, all in this one). Call it inside the event loop.

        The clock gives Unix nanoseconds, as time.time_ns does. `gateway` signs what is reported without a signature.
        """
        settings = settings or Settings()
        writer = Writer(store, sequencer, gateway, settings, clock_ns)
        examiner = Examiner(workers, writer.public_key)
        self = cls(writer, examiner, sequencer, settings, clock_ns)
        _calm_collector()
        self._thread.start()
        return self

    async def close(self) -> None:
        """Finish what waits, and stop. The store, the sequencer and its guard stay open."""
        self._is_closed = True
        self._hand_over()
        self._queue.close()
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._examiner.close)

    @property
    def registry(self) -> Registry:
        """The registry as it was last committed: a value, to read only."""
        return self._writer.enrolment.registry

    @property
    def enrolment(self) -> Enrolment:
        """The changes of the registry, for use inside `call`."""
        return self._writer.enrolment

    @property
    def halted(self) -> str | None:
        """Why nothing is written any more, None while all is well."""
        return self._sequencer.halted or self._fault

    def watch(self, watcher: Watcher) -> None:
        """Tell this one, and nobody else, what happens from now on."""
        self._writer.watcher = watcher

    @property
    def worker_restarts(self) -> int:
        """How often the worker processes had to be started again."""
        return self._examiner.restarts

    @property
    def waiting(self) -> int:
        """Readings and intervals between submit and receipt."""
        return self._waiting

    def has_room(self, count: int) -> bool:
        """Whether so many items submitted now would not be Busy."""
        return not self._waiting or self._waiting + count <= self._settings.capacity

    async def submit_readings(
        self, items: Sequence[bytes], *, trusted: bool, source: str = "", paths: Sequence[str] | None = None
    ) -> list[Receipt]:
        """Admit one request's COSE readings; receipts in their order, when all of it is durable.

        `trusted`: the sender showed a token. Without one, refused bytes go to the inbox, marked with `source`.
        `paths`: the meter (site/device/meter) that each came in the name of; another's reading is refused.
        Raises Busy, Halted.
        """
        begun_ns = perf_counter_ns()
        receipts = await self._readings(items, trusted=trusted, source=source, paths=paths)
        self._writer.watcher.receipts(receipts, perf_counter_ns() - begun_ns)
        return receipts

    async def _readings(
        self, items: Sequence[bytes], *, trusted: bool, source: str, paths: Sequence[str] | None
    ) -> list[Receipt]:
        with self._room_for(len(items)) as room:
            examined = await self._examiner.examine(items)
            if paths is not None:
                examined = list(map(self._in_the_name_of, examined, paths))
            self._hear({(result.kid, result.meter_id) for result in examined if isinstance(result, Arrival)})
            refused = [result for result in examined if isinstance(result, Receipt)]
            if refused and not trusted:
                pairs = zip(items, examined, strict=True)
                self._keep(((item, result) for item, result in pairs if isinstance(result, Receipt)), source)
            if len(refused) == len(items):
                return refused
            receipts: list[Receipt] = await self._do(ReadingsJob(items, examined), room)
            if self.live:
                self.live.readings(items, examined, receipts, self.registry)
            return receipts

    async def submit_reported(self, items: Sequence[ReportedInterval]) -> list[Receipt]:
        """Admit one request's JSON intervals, as `submit_readings`. The caller saw a token, or trusts the broker."""
        begun_ns = perf_counter_ns()
        receipts = await self._reported(items)
        self._writer.watcher.receipts(receipts, perf_counter_ns() - begun_ns)
        return receipts

    async def _reported(self, items: Sequence[ReportedInterval]) -> list[Receipt]:
        with self._room_for(len(items)) as room:
            parsed = [parse_reported(item) for item in items]
            good = [result for result in parsed if isinstance(result, Reported)]
            self._writer.watcher.heard({"/".join(result.path) for result in good})
            if not good:
                return [result for result in parsed if isinstance(result, Receipt)]
            receipts: list[Receipt] = await self._do(ReportedJob(good, self._writer.reported), room)
            if self.live:
                self.live.intervals(good, receipts)
            given = iter(receipts)
            return [result if isinstance(result, Receipt) else next(given) for result in parsed]

    async def call(self, job: Callable[[Write, int], T]) -> T:
        """Run job(tx, now in Unix s) alone in a transaction of the writer's thread; its result when that is durable.

        What it raises is raised here and undoes all of it: ValueError (Refusal), LookupError, TypeError, AttributeError
        and ArithmeticError leave the log running, anything else halts it.
        """
        result: T = await self._do(CallJob(lambda work: job(work.tx, work.now_s)))
        return result

    async def decide(self, subject: bytes, decision: str, reason: str, operator: Ed25519Signer) -> Logged:
        """Release or reject what the quarantine entry with that id (16 bytes) set aside. Refusal."""

        def work(current: Round) -> Logged:
            return decide(current, self.enrolment.log_secret(current.tx), operator, subject, decision, reason)

        logged: Logged = await self._do(CallJob(work))
        return logged

    async def declare(self, said: Declaration, operator: Ed25519Signer) -> Logged:
        """Declare a discontinuity of a meter's register. Refusal."""

        def work(current: Round) -> Logged:
            return declare(current, self.enrolment.log_secret(current.tx), operator, said)

        logged: Logged = await self._do(CallJob(work))
        return logged

    async def flush(self) -> BatchRow:
        """Close the batch now; with nothing new, the last one. Refusal while the log is empty."""
        return await self._do(FlushJob())

    async def _do(self, job: Job[T], room: _Taken | None = None) -> T:
        if self._fault is not None:
            raise Halted(self._fault)
        if self._is_closed:
            raise Busy(_RETRY_S, "the server stops")
        waiting = _Waiting(job, self._loop.create_future(), _Taken(0) if room is None else room.pass_on())
        if not self._outbox:
            # Handed over at the end of this turn of the loop: with all the others of the turn, to one transaction.
            self._loop.call_soon(self._hand_over)
        self._outbox.append(waiting)
        await waiting.done
        if isinstance(job.error, Starved):
            raise Busy(_RETRY_S, str(job.error)) from job.error
        if job.error is not None:
            raise job.error
        return job.result

    def _hear(self, sources: Iterable[tuple[bytes, str]]) -> None:
        known = (self.registry.source(kid, meter_id) for kid, meter_id in sources)
        self._writer.watcher.heard([source.meter.path for source in known if source is not None])

    def _hand_over(self) -> None:
        waiting, self._outbox = self._outbox, []
        self._queue.put(waiting)

    @contextmanager
    def _room_for(self, count: int) -> Iterator[_Taken]:
        """Count a request's items as waiting: to the end of the block, or to its receipts if it was passed on by then.

        So what is in the writer's queue counts even where nobody waits for it any more.
        """
        # A request that is larger than all of the room is let in alone: it could never come in otherwise.
        if not self.has_room(count):
            raise Busy(_RETRY_S)
        self._waiting += count
        taken = _Taken(count)
        try:
            yield taken
        finally:
            self._waiting -= taken.count

    def _in_the_name_of(self, examined: Examined, path: str) -> Examined:
        """The reading, if its key's device and the meter id that it signed are those of the path; else the refusal."""
        if isinstance(examined, Receipt):
            return examined
        key = self.registry.keys[examined.kid]
        theirs = f"{key.site_id}/{key.iot_device_id}/{examined.meter_id}"
        if theirs == path:
            return examined
        detail = f"is {path}, and the reading is signed for {theirs}"
        return Receipt("refused", examined.digest, None, None, "wrong-topic", "topic", detail)

    def keep_refused(self, item: bytes, reason: str, source: str) -> None:
        """Put bytes that were refused into the bounded inbox, with the next transaction."""
        self._writer.inbox.append(InboxRow(self._clock_ns() // NS, reason, source[:_SOURCE], item[:MAX_READING_BYTES]))

    def _keep(self, refused: Iterable[tuple[bytes, Receipt]], source: str) -> None:
        for item, receipt in refused:
            self.keep_refused(item, f"{receipt.reason}: {receipt.field}", source)

    def _write(self) -> None:
        """The writer's thread."""
        while (waiting := self._queue.take(_TICK_S)) is not None:
            told = 0
            try:
                if self._fault is not None:
                    raise Halted(self._fault)
                for done in self._writer.turns([item.job for item in waiting]):
                    # At once, so that whoever waits for these can send more while the next are written.
                    self._loop.call_soon_threadsafe(self._deliver, waiting[told:done])
                    told = done
                self._writer.tick()
            except BaseException as error:  # noqa: BLE001 - a fault of the server itself, and everybody must hear of it
                self._fault = self._fault or f"the writer failed: {error!r}"
                for item in waiting[told:]:
                    item.job.error = Halted(self._fault)
                self._loop.call_soon_threadsafe(self._deliver, waiting[told:])
        if self._fault is None:
            with suppress(Exception):  # refused bytes that still wait for the inbox are worth no failure at the end
                self._writer.tick()

    def _deliver(self, waiting: list[_Waiting]) -> None:
        """One call of the loop for all that shared a transaction."""
        for item in waiting:
            self._waiting -= item.room.count
            if not item.done.done():
                item.done.set_result(None)


def _calm_collector() -> None:
    """Let the garbage collector run seldom: it would look at each reading under way many times over, and free none.

    Receipts and rows are no cycles, so they go without it. This was a fifth of what the server spends on a reading.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


class _Taken:
    """How many of the items that may wait a request has taken."""

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count

    def pass_on(self) -> _Taken:
        """Let another one hold them from now on."""
        count, self.count = self.count, 0
        return _Taken(count)


class _Waiting(NamedTuple):
    """A job on its way to the writer and back."""

    job: Job[Any]
    done: asyncio.Future[None]
    room: _Taken


class _Queue:
    """Jobs on their way to the writer's thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._jobs: list[_Waiting] = []
        self._closed = False

    def put(self, waiting: Sequence[_Waiting]) -> None:
        """Add jobs."""
        with self._condition:
            self._jobs += waiting
            self._condition.notify()

    def take(self, timeout_s: int) -> list[_Waiting] | None:
        """All that waits; nothing after that time; None once closed and empty."""
        with self._condition:
            if not self._jobs and not self._closed:
                self._condition.wait(timeout_s)
            jobs, self._jobs = self._jobs, []
            return None if self._closed and not jobs else jobs

    def close(self) -> None:
        """Take nothing more."""
        with self._condition:
            self._closed = True
            self._condition.notify()
