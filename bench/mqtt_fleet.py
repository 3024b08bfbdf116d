"""A fleet as it is in the field: 10,000 connected devices, each with a reading a minute, over Mosquitto.

Tells how long it takes from publish to durable, and how the server's memory grows. BENCH_DEVICES, BENCH_MINUTES,
BENCH_PERIOD_S (how often a device reads). The generator shares the machine, so its own delays are in the figures.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench._mosquitto import connect, mosquitto, publish_packet
from bench.http_bulk import cpu_us, stored_digests, workers_of
from bench.mqtt import start_server
from wattseal.config import Settings, load_settings
from wattseal.core.reading import parse_envelope
from wattseal.log.port import Write
from wattseal.serve import make_site, open_site
from wattseal.simulate.fleet import SimulatedMeter
from wattseal.simulate.sites import uniform_fleet

DEVICES: Final = int(os.environ.get("BENCH_DEVICES", "10000"))
MINUTES: Final = int(os.environ.get("BENCH_MINUTES", "1"))
PERIOD_S: Final = int(os.environ.get("BENCH_PERIOD_S", "60"))
INTERVAL_S: Final = 60
_DRAIN_S: Final = 30


def run() -> Iterator[str]:
    """Measure for MINUTES."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = DEVICES + 1_000
    if hard < needed:
        raise RuntimeError(f"{needed} open files are needed: ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    folder = Path(tempfile.mkdtemp(prefix="wattseal-bench-"))
    try:
        yield from _measured(folder)
    finally:
        shutil.rmtree(folder)


def _measured(folder: Path) -> Iterator[str]:  # noqa: PLR0915 - one measurement, step by step
    steps = MINUTES * 60 // PERIOD_S
    since_s = int(time.time()) // 60 * 60 - (steps + 5) * INTERVAL_S
    fleet = uniform_fleet(DEVICES, since_s, INTERVAL_S)
    with mosquitto(folder / "broker") as broker:
        url = f"mqtt://127.0.0.1:{broker.port}"
        make_site(
            Settings(data_dir=folder / "site", guard=folder / "guard" / "checkpoint", port=0, workers=2, mqtt_url=url)
        )
        settings = load_settings(folder / "site" / "wattseal.toml")
        with open_site(settings) as site:
            enrolment = site.site.ingest.enrolment

            def register(tx: Write, now: int) -> None:
                for meter in fleet:
                    enrolment.register_key(tx, now, meter.device_key(since_s))
                    enrolment.register_meter(tx, now, meter.meter(since_s))

            site.commit(register)
        server = start_server(settings)
        told: list[tuple[int, float]] = []
        # Read all the time: a full pipe would stop the server.
        listener = threading.Thread(target=_listen, args=(server, told), daemon=True)
        listener.start()
        try:
            connections = [connect(broker.port, f"device-{number}") for number in range(DEVICES)]
            memory = [_memory_mb(server.pid)]
            pids = [[broker.pid], [server.pid, *workers_of(server.pid)]]
            before = [cpu_us(group) for group in pids]
            published, digests = [], []
            start = time.monotonic()
            for number in range(DEVICES * steps):
                place = number % DEVICES
                item, topic = _next(fleet[place], since_s, 2 + number // DEVICES)
                digests.append(parse_envelope(item).digest.hex().encode())
                due = start + number * PERIOD_S / DEVICES
                if (wait := due - time.monotonic()) > 0:
                    time.sleep(wait)
                connections[place].sendall(publish_packet(topic, 1, item))
                published.append(time.time())
                if place == 0:
                    memory.append(_memory_mb(server.pid))
            seen = _durable(told, published)
            used = [(cpu_us(group) - early) / len(published) for group, early in zip(pids, before, strict=True)]
            memory.append(_memory_mb(server.pid))
            for connection in connections:
                connection.close()
        finally:
            server.terminate()
            server.wait(30)
    kept = stored_digests(settings)
    lost = sum(digest not in kept for digest in digests)
    worst = max(range(len(seen)), key=seen.__getitem__)
    worst_at = f"{published[worst] - published[0]:.0f} s after the first"
    seen.sort()
    yield f"{DEVICES:,} devices connected, one reading in {PERIOD_S} s each, {MINUTES} min: {DEVICES / PERIOD_S:.0f}/s"
    yield (
        f"publish to durable: median {statistics.median(seen) * 1e3:.0f} ms,"
        f" p99 {seen[int(len(seen) * 0.99)] * 1e3:.0f} ms, longest {seen[-1] * 1e3:.0f} ms,"
        f" {worst_at}   (target: p99 below 1 s)"
    )
    yield f"CPU per reading: broker {used[0]:.0f} µs, server and workers {used[1]:.0f} µs"
    yield "the server's memory: " + ", ".join(f"{size:.0f}" for size in memory) + " MB"
    yield f"{len(published):,} published, {lost} of them missing from the store"
    if lost:
        raise RuntimeError(f"{lost} published readings are not in the store")


def _next(meter: SimulatedMeter, since_s: int, step: int) -> tuple[bytes, str]:
    place = meter.place
    return meter.read(since_s + step * INTERVAL_S), f"energy/{place.site_id}/{place.iot_device_id}/{place.meter_id}"


def _listen(server: subprocess.Popen[str], told: list[tuple[int, float]]) -> None:
    """Note when the server had answered how many."""
    for line in server.stdout or ():
        words = line.split()
        if words[0] == "durable":
            told.append((int(words[1]), float(words[2])))


def _durable(told: list[tuple[int, float]], published: list[float]) -> list[float]:
    """How long each reading took; they are answered in the order in which they were published."""
    deadline = time.monotonic() + _DRAIN_S
    while not told or told[-1][0] < len(published):
        if time.monotonic() > deadline:
            raise RuntimeError("not all readings were answered")
        time.sleep(0.05)
    seen: list[float] = []
    for answered, at in told:
        seen += [at - published[number] for number in range(len(seen), min(answered, len(published)))]
    return seen


def _memory_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
