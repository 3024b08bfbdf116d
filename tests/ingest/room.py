"""A writer on a real store in a folder, with a clock of the test's own, and simulated meters to feed it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from wattseal.core.emlog import Record, parse_body
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.reading import Reading, encode_payload, parse_envelope, parse_payload
from wattseal.core.registry import Signer
from wattseal.core.units import MAX_TIME_S, rfc3339
from wattseal.ingest.decision import decide
from wattseal.ingest.declaration import Declaration, declare
from wattseal.ingest.draft import Logged
from wattseal.ingest.job import CallJob, FlushJob, Job, ReadingsJob, ReportedJob
from wattseal.ingest.receipt import Receipt
from wattseal.ingest.reported import Reported, ReportedInterval, parse_reported
from wattseal.ingest.settings import Settings
from wattseal.ingest.workers import examine_one, result_of
from wattseal.ingest.writer import Writer
from wattseal.log.fsck import check_store
from wattseal.log.guard import Guard
from wattseal.log.port import BatchRow, EntryRow, RecordFilter, Store, Write
from wattseal.log.sequencer import Sequencer
from wattseal.log.sqlite import SqliteStore
from wattseal.simulate.fleet import Place, SimulatedMeter
from wattseal.simulate.shape import HOUSEHOLD, Load

T = TypeVar("T")

NOW = 1_760_000_400  # a multiple of 300
ORIGIN = "test.example/log"
SIGNER = Ed25519Signer(ORIGIN, bytes([1] * 32))
OPERATOR = Ed25519Signer("operator.test.example", bytes([2] * 32))
GATEWAY = Ed25519Signer("gateway.test.example", bytes([3] * 32))
KW = 1_000_000
SIGNERS = 3
"""Entries that every room begins with."""


class Clock:
    """Stands still until the test moves it; in seconds."""

    def __init__(self, now_s: int) -> None:
        self.now_s = now_s

    def ns(self) -> int:
        return self.now_s * 1_000_000_000


class Room:
    """Everything behind the service, without its threads and processes."""

    signer = SIGNER

    def __init__(self, folder: Path, settings: Settings | None = None, *, signers: bool = True) -> None:
        self.folder = folder
        self.settings = settings or Settings()
        self.clock = Clock(NOW)
        self._open()
        if signers and not self.sequencer.next_idx:
            self.call(self._register_signers)

    def _open(self) -> None:
        self.store: Store = SqliteStore.open(self.folder / "log.db", create=True)
        self.guard = Guard(self.folder / "guard" / "checkpoint")
        self.sequencer = Sequencer.open(
            self.store, origin=ORIGIN, signer=SIGNER, guard=self.guard, now=self.clock.now_s
        )
        self.writer = Writer(self.store, self.sequencer, GATEWAY, self.settings, self.clock.ns)

    def _register_signers(self, tx: Write, now_s: int) -> None:
        for role, signer in (("log", SIGNER), ("operator", OPERATOR), ("gateway", GATEWAY)):
            verifier = signer.verifier
            self.writer.enrolment.register_signer(tx, now_s, Signer(verifier.name, role, verifier.vkey, NOW - 86_400))

    def close(self) -> None:
        self.store.close()
        self.guard.close()

    def check(self) -> None:
        """fsck finds nothing wrong with what this room has written."""
        if self.sequencer.next_idx:
            self.flush()
        report = check_store(self.store, self.guard.read(), SIGNER.verifier)
        assert report.ok, report.findings

    def restart(self) -> None:
        """As after a crash: nothing in memory survives."""
        self.close()
        self._open()

    def do(self, job: Job[T]) -> T:
        self.writer.run([job])
        if job.error is not None:
            raise job.error
        return job.result

    def call(self, work: Callable[[Write, int], T]) -> T:
        result: T = self.do(CallJob(lambda current: work(current.tx, current.now_s)))
        return result

    def enrol(self, *meters: SimulatedMeter) -> None:
        enrolment = self.writer.enrolment

        def work(tx: Write, now_s: int) -> None:
            for meter in meters:
                enrolment.register_key(tx, now_s, meter.device_key(NOW - 86_400))
                enrolment.register_meter(tx, now_s, meter.meter(NOW - 86_400))

        self.call(work)

    def submit(self, *items: bytes) -> list[Receipt]:
        return self.do(readings_job(self.writer, items))

    def report(self, *items: bytes, **names: str) -> list[Receipt]:
        parsed = [parse_reported(ReportedInterval(item, **names)) for item in items]
        good = [item for item in parsed if isinstance(item, Reported)]
        receipts: list[Receipt] = self.do(ReportedJob(good, self.writer.reported))
        given = iter(receipts)
        return [item if isinstance(item, Receipt) else next(given) for item in parsed]

    def decide(self, subject: bytes, decision: str) -> Logged:
        secret = self.writer.enrolment.log_secret
        result: Logged = self.do(
            CallJob(lambda work: decide(work, secret(work.tx), OPERATOR, subject, decision, "a test"))
        )
        return result

    def declare(self, said: Declaration) -> Logged:
        secret = self.writer.enrolment.log_secret
        result: Logged = self.do(CallJob(lambda work: declare(work, secret(work.tx), OPERATOR, said)))
        return result

    def flush(self) -> BatchRow:
        return self.do(FlushJob())

    def tick(self, seconds: int = 0) -> None:
        self.clock.now_s += seconds
        self.writer.tick()

    def rows(self) -> Sequence[EntryRow]:
        with self.store.read() as read:
            return read.records(RecordFilter(limit=100_000))

    def records(self) -> list[Record]:
        return [parse_body(row.body) for row in self.rows()]

    def current_rows(self, meter_no: int = 1) -> Sequence[EntryRow]:
        """The meter's records that are not superseded, in order of time."""
        with self.store.read() as read:
            return read.records_of_meter(meter_no, 0, MAX_TIME_S)

    def current(self, meter_no: int = 1) -> list[Record]:
        return [parse_body(row.body) for row in self.current_rows(meter_no)]

    def schemas(self) -> list[str]:
        """Of all entries but those of the signers, which come first."""
        with self.store.read() as read:
            return [row.schema for row in read.entries(SIGNERS, read.size())]


def readings_job(writer: Writer, items: Sequence[bytes]) -> ReadingsJob:
    return ReadingsJob(items, [result_of(examine_one(item, writer.public_key)) for item in items])


def meter(name: str = "m1", interval_s: int = 60, *, rated_power_mw: int | None = 20 * KW) -> SimulatedMeter:
    """A household's meter on a device of that name; the same again for the same name."""
    place = Place("site", f"device-{name}", name, record_interval_s=interval_s, rated_power_mw=rated_power_mw)
    return SimulatedMeter(place, Load(6 * KW, HOUSEHOLD, len(name)), name, NOW - 86_400)


def interval(start_s: int = NOW, end_s: int = NOW + 300, **members: object) -> bytes:
    value: dict[str, object] = {
        "ts_start": rfc3339(start_s),
        "ts_end": rfc3339(end_s),
        "interval_s": end_s - start_s,
        "energy_kwh": 1,
    }
    return json.dumps(value | members).encode()


def fields(cose: bytes) -> Reading:
    return parse_payload(parse_envelope(cose).payload)


def signed(by: SimulatedMeter, cose: bytes, **changes: object) -> bytes:
    """The same reading with other values, signed by its meter."""
    return by.element.sign(encode_payload(replace(fields(cose), **changes)))  # type: ignore[arg-type]
