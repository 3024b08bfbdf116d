"""Signed readings over HTTP, from the socket to durable: a server process, and a generator process that posts in bulk.

1,000 simulated meters, one record per reading, their readings shuffled within each interval, in CBOR sequences over
keep-alive connections; a meter stays with its connection, as it would with its gateway. Every acknowledged reading is
looked up in the store after the server has stopped. The bound is OpenSSL's own rate on two cores in the same round.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from bench.p256 import openssl_rate, pyca_rate
from wattseal.config import Settings, load_settings
from wattseal.log.port import Write
from wattseal.serve import OpenSite, make_site, open_site, read_store
from wattseal.server import serve
from wattseal.simulate.sites import uniform_fleet

METERS: Final = int(os.environ.get("BENCH_METERS", "1000"))
READINGS: Final = int(os.environ.get("BENCH_READINGS", "20000"))  # in each round
ROUNDS: Final = int(os.environ.get("BENCH_ROUNDS", "5"))
REQUEST: Final = int(os.environ.get("BENCH_REQUEST", "1000"))
CONNECTIONS: Final = int(os.environ.get("BENCH_CONNECTIONS", "4"))
WORKERS: Final = 2
INTERVAL_S: Final = 60
STEPS: Final = READINGS // METERS
"""Readings of each meter in a round."""

_DIGEST = re.compile(rb'"digest":"([0-9a-f]{64})"')
_COUNTS = re.compile(rb'"counts":\{([^}]*)\}')
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Round(NamedTuple):
    """Rates a second, CPU in µs per reading."""

    openssl: float
    pyca: float
    http: float
    server_us: float
    workers_us: float
    sender_us: float


def requests_of(meters: range, since_s: int, seed: int) -> list[list[bytes]]:
    """The requests of one connection's meters for all rounds, each a whole HTTP message."""
    fleet = [uniform_fleet(METERS, since_s, INTERVAL_S)[number] for number in meters]
    shuffled = random.Random(seed)
    rounds = []
    for number in range(ROUNDS + 1):  # the first only sets the baselines
        steps = range(1 + (number - 1) * STEPS, 1 + number * STEPS) if number else range(1)
        items = []
        for step in steps:
            shuffled.shuffle(fleet)
            items += [meter.read(since_s + (step + 1) * INTERVAL_S) for meter in fleet]
        rounds.append([_message(items[at : at + REQUEST]) for at in range(0, len(items), REQUEST)])
    return rounds


def _message(items: list[bytes]) -> bytes:
    body = b"".join(items)
    lines = ("POST /api/v1/logs HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/cbor-seq")
    return "\r\n".join((*lines, f"Content-Length: {len(body)}", "", "")).encode() + body


def _post(connection: socket.socket, messages: list[bytes]) -> list[bytes]:
    """Post one after the other; the answers' bodies."""
    answers = []
    for message in messages:
        connection.sendall(message)
        data = b""
        while b"\r\n\r\n" not in data:
            data += _more(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 200 ") or found is None:
            raise RuntimeError(f"refused: {data[:500]!r}")
        parts, missing = [body], int(found[1]) - len(body)
        while missing:
            parts.append(_more(connection))
            missing -= len(parts[-1])
        answers.append(b"".join(parts))
    return answers


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 20)
    if not data:
        raise RuntimeError("the server closed the connection")
    return data


def send(port: int, lanes: list[list[list[bytes]]], orders: multiprocessing.connection.Connection) -> None:
    """The generator process: on each order post one round over all connections; tells time, CPU and digests."""
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in lanes]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with ThreadPoolExecutor(len(lanes)) as pool:
        while (number := orders.recv()) is not None:
            cpu, start = time.process_time(), time.perf_counter()
            answers = list(pool.map(_post, connections, [lane[number] for lane in lanes]))
            spent, used = time.perf_counter() - start, time.process_time() - cpu
            bodies = [body for lane in answers for body in lane]
            for body in bodies:
                if _COUNTS.findall(body) != [b'"admitted":%d' % body.count(b'"outcome"')]:
                    raise RuntimeError(f"not all were admitted: {body[:300]!r}")
            orders.send((spent, used, [digest for body in bodies for digest in _DIGEST.findall(body)]))


def cpu_us(pids: list[int]) -> float:
    """CPU that these processes have used so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * 1e6 / os.sysconf("SC_CLK_TCK")


def workers_of(pid: int) -> list[int]:
    """The processes that a server has made to check signatures."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for path in threads for child in path.read_text().split()]
    return [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def enrol(site: OpenSite, since_s: int) -> None:
    """Register the fleet."""
    enrolment = site.site.ingest.enrolment

    def register(tx: Write, now: int) -> None:
        for meter in uniform_fleet(METERS, since_s, INTERVAL_S):
            enrolment.register_key(tx, now, meter.device_key(since_s))
            enrolment.register_meter(tx, now, meter.meter(since_s))

    site.commit(register)


def stored_digests(settings: Settings) -> set[bytes]:
    """The digests of all readings in the store."""
    with read_store(settings) as store, store.read() as read:
        return {
            row.digest.hex().encode() for chain in read.chains() for row in read.readings_after(chain.chain_no, 0, -1)
        }


def verification_us(count: int = 5_000) -> float:
    """CPU of one P-256 verification by pyca/cryptography, whose code is OpenSSL's."""
    key = ec.generate_private_key(ec.SECP256R1())
    public, algorithm = key.public_key(), ec.ECDSA(SHA256())
    signature = key.sign(bytes(200), algorithm)
    start = time.process_time()
    for _ in range(count):
        public.verify(signature, bytes(200), algorithm)
    return (time.process_time() - start) / count * 1e6


def run() -> Iterator[str]:
    """Measure ROUNDS rounds; medians."""
    folder = Path(tempfile.mkdtemp(prefix="wattseal-bench-"))
    try:
        yield from _measured(folder)
    finally:
        shutil.rmtree(folder)


def _measured(folder: Path) -> Iterator[str]:
    since_s = int(time.time()) // 60 * 60 - (STEPS * ROUNDS + 5) * INTERVAL_S
    make_site(
        Settings(
            data_dir=folder / "site",
            guard=folder / "guard" / "checkpoint",
            port=0,
            workers=WORKERS,
            anonymous_per_s=1_000_000,
            anonymous_burst=1_000_000,
        )
    )
    settings = load_settings(folder / "site" / "wattseal.toml")
    with open_site(settings) as site:
        enrol(site, since_s)
    context = multiprocessing.get_context("spawn")
    lanes = [range(lane, METERS, CONNECTIONS) for lane in range(CONNECTIONS)]
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        requests = list(pool.map(requests_of, lanes, [since_s] * CONNECTIONS, range(CONNECTIONS)))
    command = [sys.executable, "-m", "bench.http_bulk", str(folder / "site" / "wattseal.toml")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    orders, theirs = context.Pipe()
    acknowledged: list[bytes] = []
    try:
        port = int((server.stdout.readline() if server.stdout else "").rpartition(":")[2])
        sender = context.Process(target=send, args=(port, requests, theirs), daemon=True)
        sender.start()
        theirs.close()
        rounds = []
        for number in range(ROUNDS + 1):
            openssl, pyca = (openssl_rate(), pyca_rate()) if number else (1.0, 1.0)
            workers = workers_of(server.pid)
            before = cpu_us([server.pid]), cpu_us(workers)
            orders.send(number)
            seconds, sender_cpu, digests = orders.recv()
            after = cpu_us([server.pid]), cpu_us(workers)
            acknowledged += digests
            count = len(digests)
            if number:
                own, checking = ((late - early) / count for early, late in zip(before, after, strict=True))
                rounds.append(Round(openssl, pyca, count / seconds, own, checking, sender_cpu * 1e6 / count))
        orders.send(None)
        sender.join(10)
    finally:
        server.terminate()
        server.wait(30)
    kept = stored_digests(settings)
    lost = [digest for digest in acknowledged if digest not in kept]
    yield from _report(rounds, len(acknowledged), len(lost))
    if lost or len(set(acknowledged)) != (STEPS * ROUNDS + 1) * METERS:
        raise RuntimeError(f"{len(lost)} acknowledged readings are not in the store")


def _report(rounds: list[Round], acknowledged: int, lost: int) -> Iterator[str]:
    def median(values: Iterator[float]) -> float:
        return statistics.median(values)

    openssl = median(each.openssl for each in rounds)
    pyca = median(each.pyca for each in rounds)
    yield f"{METERS} meters, {READINGS} readings a round, {REQUEST} a request, {CONNECTIONS} connections"
    yield f"medians of {ROUNDS} rounds:"
    yield f"openssl speed -multi 2 ecdsap256   {openssl:9,.0f} verify/s     1.00"
    yield f"pyca/cryptography, 2 processes     {pyca:9,.0f} verify/s     {pyca / openssl:.2f}"
    http = median(each.http for each in rounds)
    ratio = median(each.http / each.openssl for each in rounds)
    yield f"POST /api/v1/logs, durable         {http:9,.0f} readings/s   {ratio:.2f}   (target 0.50)"
    ratios = ", ".join(f"{each.http / each.openssl:.2f}" for each in rounds)
    yield f"the rounds: {ratios}"
    parts = (
        ("server", median(each.server_us for each in rounds)),
        ("workers", median(each.workers_us for each in rounds)),
        ("generator", median(each.sender_us for each in rounds)),
    )
    yield "CPU per reading: " + ", ".join(f"{name} {cost:.1f} µs" for name, cost in parts)
    # What others do on the machine disturbs rates, CPU time hardly: this ratio is the rate's bound.
    alone, whole = verification_us(), sum(cost for _, cost in parts)
    yield f"a verification alone {alone:.1f} µs CPU, a reading {whole:.1f}: {alone / whole:.2f}"
    yield f"{acknowledged:,} acknowledged, {lost} of them missing from the store after the server stopped"


if __name__ == "__main__":
    serve(load_settings(Path(sys.argv[1])), lambda _site, url: print(url, flush=True))
