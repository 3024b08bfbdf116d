"""The writer: everything that changes the store passes here, in order, in transactions that many requests share.

A receipt is given out when its transaction is durable, never before. What fails as the caller's mistake is undone and
the log goes on; any other failure halts the log (docs/spec/log.md §4), and from then on every job fails with Halted.
Used by one thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from wattseal.core.note_key import Ed25519Signer
from wattseal.ingest.admission import Round
from wattseal.ingest.decision import released_digests
from wattseal.ingest.enrolment import Enrolment
from wattseal.ingest.job import CallJob, Job, ReadingsJob, ReportedJob, SharedJob
from wattseal.ingest.memory import Memory
from wattseal.ingest.registry import Registry
from wattseal.ingest.reported import ReportedAdmission
from wattseal.ingest.settings import Settings
from wattseal.ingest.shifts import Shifts
from wattseal.ingest.standing import Standings
from wattseal.ingest.watcher import NoWatcher, Watcher
from wattseal.log.port import BatchRow, InboxRow, Store
from wattseal.log.rollup import WAITING, Advance
from wattseal.log.sequencer import Halted, Sequencer, Starved

T = TypeVar("T")
ClockNs: TypeAlias = Callable[[], int]
"""Unix nanoseconds, like time.time_ns."""

NS: Final = 1_000_000_000
_ROLLUP_STEPS: Final = 4
"""After a large import the rollups catch up in so many steps a second, and readings come in between."""
_INBOX_WAITING: Final = 256
"""Refused bytes that may wait for a transaction: a flood must not grow the memory, so the oldest are forgotten."""


class Writer:
    """The one writer of a log. `gateway` signs what is reported without a signature."""

    def __init__(
        self, store: Store, sequencer: Sequencer, gateway: Ed25519Signer, settings: Settings, clock_ns: ClockNs
    ) -> None:
        self._sequencer = sequencer
        self._settings = settings
        self._clock_ns = clock_ns
        with store.read() as read:
            self.enrolment = Enrolment(sequencer, Registry.load(read))
            shifts = Shifts.load(read)
            standings = Standings(read, shifts)
            self._memory = Memory(standings, released_digests(read), shifts)
            last = next(iter(read.batches(limit=1, newest_first=True)), None)
            self._rollups = Advance(read)
        self._standings = standings
        self.watcher: Watcher = NoWatcher()
        self.reported = ReportedAdmission(gateway, self.enrolment, register=settings.register_reported)
        self.inbox: deque[InboxRow] = deque(maxlen=_INBOX_WAITING)
        """Any thread may add; written with the next transaction. What is lost with a crash was never acknowledged."""
        self._rolled_up_s = 0
        self._closed_idx = 0 if last is None else last.last_idx + 1
        self._batch_since_s: int | None = None
        # Readings that were held before a restart may be due at once.
        self._next_release_s: int | None = 0 if self._standings.waiting else None

    def public_key(self, kid: bytes) -> bytes | None:
        """The registered public key with that id, by the newest registry; any thread may ask."""
        return self.enrolment.registry.public_key(kid)

    def run(self, jobs: Sequence[Job[Any]]) -> None:
        """Do these jobs, in order; each then has its result or its error, and what it was told is durable."""
        for _ in self.turns(jobs):
            pass

    def turns(self, jobs: Sequence[Job[Any]]) -> Iterator[int]:
        """As `run`, transaction by transaction: after each, the number of jobs that are done, to be told at once."""
        shared: list[SharedJob] = []
        size = 0
        for place, job in enumerate(jobs):
            sharing = job if isinstance(job, ReadingsJob | ReportedJob) else None
            if shared and (sharing is None or size + len(sharing) > self._settings.group):
                self._share(shared)
                shared, size = [], 0
                yield place
            if sharing is None:
                self._alone(job)
                yield place + 1
            else:
                shared.append(sharing)
                size += len(sharing)
        if shared:
            self._share(shared)
            yield len(jobs)

    def tick(self) -> None:
        """What time brings: held readings that waited long enough, the end of a batch. Call it about every second."""
        if self._sequencer.halted is not None:
            return
        now_s = self._clock_ns() // NS
        try:
            if self._next_release_s is not None and now_s >= self._next_release_s:
                self._next_release_s = self._transact(Round.release)
            elif self.inbox:
                self._transact(lambda _: None)
            self._close_batch_if_due(now_s)
            # Each step touches the hour and day of every meter in it: seldom and many at once costs a third.
            if now_s != self._rolled_up_s or self._sequencer.next_idx - self._rollups.done >= WAITING:
                self._rolled_up_s = now_s
                self._roll_up()
        except (Halted, Starved):
            return  # the sequencer keeps the reason, and every job is told it

    def _share(self, jobs: Sequence[SharedJob]) -> None:
        try:
            results = self._transact(lambda work: [job.work(work) for job in jobs])
        except Exception as error:  # noqa: BLE001 - whoever sent it is told
            if len(jobs) > 1 and self._sequencer.halted is None:
                # One request's mistake must not be another's: each once more, alone.
                for job in jobs:
                    self._share([job])
                return
            for job in jobs:
                job.error = error
            return
        for job, result in zip(jobs, results, strict=True):
            job.result = result
        if self._next_release_s is None and self._standings.waiting:
            self._next_release_s = self._clock_ns() // NS + self._settings.gap_hold_s
        next_idx = self._sequencer.next_idx
        is_full = next_idx - self._closed_idx >= self._settings.batch_max_entries
        if is_full or next_idx - self._rollups.done >= WAITING:
            self.tick()

    def _alone(self, job: Job[Any]) -> None:
        try:
            if isinstance(job, CallJob):
                before = self._sequencer.next_idx
                job.result = self._transact(job.work)
                if self._sequencer.next_idx != before:
                    self._memory.covered.forget()  # it may have written records, an import's for example
            else:
                job.result = self._close_batch(self._clock_ns() // NS)
        except Exception as error:  # noqa: BLE001 - whoever sent it is told
            job.error = error

    def _transact(self, work: Callable[[Round], T]) -> T:
        """Do the work in a transaction of its own and make it durable; what memory knows follows the store."""
        parts = (self._memory, self.enrolment, self.reported)
        try:
            with self._sequencer.write() as tx:
                log_secret = self.enrolment.log_secret(tx)
                registry, gap_hold_s = self.enrolment.staged, self._settings.gap_hold_s
                current = Round(self._memory, self._sequencer, tx, registry, log_secret, self._clock_ns(), gap_hold_s)
                result = work(current)
                current.finish()
                while self.inbox:
                    tx.add_inbox(self.inbox.popleft(), keep=self._settings.inbox_keep)
        except BaseException:
            for part in parts:
                part.rolled_back()
            raise
        for part in parts:
            part.committed()
        return result

    def _close_batch_if_due(self, now_s: int) -> None:
        entries = self._sequencer.next_idx - self._closed_idx
        if not entries:
            return
        if self._batch_since_s is None:
            self._batch_since_s = now_s
        due = now_s - self._batch_since_s >= self._settings.batch_max_s
        if due or entries >= self._settings.batch_max_entries:
            self._close_batch(now_s)

    def _roll_up(self) -> None:
        """Take into the rollups what waits."""
        for _ in range(_ROLLUP_STEPS):
            if self._sequencer.next_idx == self._rollups.done:
                return
            with self._sequencer.write() as tx:
                done = self._rollups.step(tx)
            self._rollups.done = done

    def _close_batch(self, now_s: int) -> BatchRow:
        self._roll_up()
        row = self._sequencer.close_batch(now_s, self.enrolment.registry.commitment())
        if row.last_idx >= self._closed_idx:
            self.watcher.batch_closed(row)
        self._closed_idx, self._batch_since_s = row.last_idx + 1, None
        return row
