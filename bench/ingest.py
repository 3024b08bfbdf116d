"""What a reading costs from its bytes to a durable receipt, without HTTP: CPU by stage, and the rate beside OpenSSL's.

1,000 meters, one record per reading, SQLite with synchronous=FULL, a worker process for each core. The bound is what
`openssl speed -multi <cores> ecdsap256` verifies at the same time; what a reading costs beside that can be improved.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from wattseal.core.note_key import Ed25519Signer
from wattseal.core.reading import parse_envelope, signed_bytes
from wattseal.ingest.admission import Round
from wattseal.ingest.ingest import Ingest
from wattseal.ingest.job import CallJob, ReadingsJob
from wattseal.ingest.settings import Settings
from wattseal.ingest.signature import Verify, verification_key
from wattseal.ingest.workers import examine_one, result_of
from wattseal.ingest.writer import Writer
from wattseal.log.guard import Guard
from wattseal.log.sequencer import Sequencer
from wattseal.log.sqlite import SqliteStore
from wattseal.simulate.fleet import SimulatedMeter
from wattseal.simulate.sites import uniform_fleet

METERS = 1_000
READINGS = 40
"""Of each meter, one a minute; the first request of each gateway holds the baselines and is not measured."""
GATEWAYS = 10
MINUTES = 5
"""A gateway sends what its meters measured in so many minutes, and waits for the receipts."""
INTERVAL_S = 60
BEGIN_S = 1_760_000_040
END_NS = (BEGIN_S + READINGS * INTERVAL_S) * 1_000_000_000
CORES = os.cpu_count() or 1
LOG = Ed25519Signer("bench.example/log", bytes(32))
GATEWAY = Ed25519Signer("gateway.bench.example", bytes([1] * 32))
SETTINGS = Settings(batch_max_entries=1_000_000, batch_max_s=3_600)


class Site:
    """An empty log in a folder of its own, with the fleet registered."""

    def __init__(self, fleet: Sequence[SimulatedMeter]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wattseal-bench-"))
        self.store = SqliteStore.open(self.folder / "log.db", create=True)
        self.guard = Guard(self.folder / "guard" / "checkpoint")
        self.sequencer = Sequencer.open(self.store, origin=LOG.verifier.name, signer=LOG, guard=self.guard, now=BEGIN_S)
        self.writer = Writer(self.store, self.sequencer, GATEWAY, SETTINGS, lambda: END_NS)
        enrolment = self.writer.enrolment

        def enrol(work: Round) -> None:
            for meter in fleet:
                enrolment.register_key(work.tx, BEGIN_S, meter.device_key(BEGIN_S - 60))
                enrolment.register_meter(work.tx, BEGIN_S, meter.meter(BEGIN_S - 60))

        job = CallJob(enrol)
        self.writer.run([job])
        if job.error is not None:
            raise job.error

    def close(self) -> None:
        """Remove it."""
        self.store.close()
        self.guard.close()
        shutil.rmtree(self.folder)


def requests_of(fleet: Sequence[SimulatedMeter]) -> list[list[list[bytes]]]:
    """What the gateways send: for each turn the request of each of them."""
    share = len(fleet) // GATEWAYS
    return [
        [
            [
                meter.read(BEGIN_S + INTERVAL_S * step)
                for step in range(turn, turn + MINUTES)
                for meter in fleet[place * share : (place + 1) * share]
            ]
            for place in range(GATEWAYS)
        ]
        for turn in range(0, READINGS, MINUTES)
    ]


def own_cpu_us() -> int:
    """User and system time of this process in microseconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int((usage.ru_utime + usage.ru_stime) * 1e6)


def children_cpu_us() -> int:
    """The same of its running children, as Linux tells it."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == os.getpid():
            total += int(fields[11]) + int(fields[12])
    return total * 1_000_000 // os.sysconf("SC_CLK_TCK")


def openssl_rate() -> int:
    """P-256 verifications a second on all cores."""
    command = ["openssl", "speed", "-seconds", "3", "-multi", str(CORES), "ecdsap256"]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(float(run.stdout.split()[-1]))


def line(name: str, spent: list[float]) -> str:
    """Best and middle of several measurements: what else runs on the machine only ever adds."""
    ordered = sorted(spent)
    return f"{name:<40}{ordered[0]:7.1f} µs CPU at best, {ordered[len(ordered) // 2]:7.1f} in the middle"


def stages(fleet: Sequence[SimulatedMeter], turns: Sequence[Sequence[list[bytes]]]) -> Iterator[str]:
    """The worker's and the writer's part, each alone in this process."""
    site = Site(fleet)
    keys = {meter.element.kid: meter.element.public_key for meter in fleet}
    for key in keys.values():
        verification_key(key)  # is loaded once and stays
    worker, writer, signature = [], [], []
    for turn in turns:
        jobs = []
        for request in turn:
            checks = list(map(signature_check, request, [keys] * len(request)))
            before = own_cpu_us()
            for verify, digest, signed in checks:
                verify(digest, signed)
            signature.append((own_cpu_us() - before) / len(request))
            before = own_cpu_us()
            examined = [result_of(examine_one(item, keys.get)) for item in request]
            worker.append((own_cpu_us() - before) / len(request))
            jobs.append(ReadingsJob(request, examined))
        before = own_cpu_us()
        site.writer.run(jobs)
        writer.append((own_cpu_us() - before) / sum(map(len, jobs)))
        if any(receipt.outcome != "admitted" for job in jobs for receipt in job.result):
            raise RuntimeError("not all were admitted")
    site.close()
    yield line("P-256 verification alone", signature)
    yield line("worker: form, key, verification", worker)
    yield line("writer: gate, record, hashes, commit", writer[1:])


def signature_check(item: bytes, keys: Mapping[bytes, bytes]) -> tuple[Verify, bytes, bytes]:
    """The key of a reading, the digest that it signed, and the signature."""
    envelope = parse_envelope(item)
    digest = sha256(signed_bytes(envelope.kid, envelope.payload)).digest()
    return verification_key(keys[envelope.kid]), digest, envelope.signature


async def whole(fleet: Sequence[SimulatedMeter], turns: Sequence[Sequence[list[bytes]]]) -> tuple[float, float, float]:
    """Readings a second through the room; CPU µs of a reading in this process, and in the workers."""
    site = Site(fleet)
    ingest = Ingest.start(
        site.store, site.sequencer, workers=CORES, gateway=GATEWAY, clock_ns=lambda: END_NS, settings=SETTINGS
    )

    async def gateway(place: int, mine: Sequence[Sequence[list[bytes]]]) -> None:
        for turn in mine:
            receipts = await ingest.submit_readings(turn[place], trusted=True)
            if any(receipt.outcome != "admitted" for receipt in receipts):
                raise RuntimeError("not all were admitted")

    try:
        await asyncio.gather(*(gateway(place, turns[:1]) for place in range(GATEWAYS)))
        own, theirs, start = own_cpu_us(), children_cpu_us(), time.perf_counter()
        await asyncio.gather(*(gateway(place, turns[1:]) for place in range(GATEWAYS)))
        seconds = time.perf_counter() - start
        count = len(fleet) * (READINGS - MINUTES)
        return count / seconds, (own_cpu_us() - own) / count, (children_cpu_us() - theirs) / count
    finally:
        await ingest.close()
        site.close()


def run() -> Iterator[str]:
    """Measure by stage, then the whole."""
    fleet = uniform_fleet(METERS, BEGIN_S - 60, INTERVAL_S)
    turns = requests_of(fleet)
    yield from stages(fleet, turns)
    before = openssl_rate()
    rate, own, theirs = asyncio.run(whole(fleet, turns))
    bound = (before + openssl_rate()) // 2
    yield f"openssl speed -multi {CORES} ecdsap256: {bound:,}/s, {CORES * 1e6 / bound:.1f} µs each"
    yield f"{CORES} workers: {rate:,.0f} readings/s, {rate / bound:.2f} of that"
    yield f"CPU of a reading: {own:.1f} µs in the server, {theirs:.1f} µs in the workers, {own + theirs:.1f} in all"
