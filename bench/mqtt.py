"""Signed readings over MQTT, from publish to durable: Mosquitto, a server process, and a generator that publishes.

1,000 simulated meters, one record per reading, shuffled within each interval, QoS 1 over a few connections. A round
ends when Wattseal has acknowledged the last reading to the broker. Every published reading is looked up in the store
after the server has stopped. The bound is OpenSSL's own rate on two cores in the same round.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench._mosquitto import connect, mosquitto, publish_all, publish_packet
from bench._postgres import postgres
from bench.http_bulk import (
    INTERVAL_S,
    METERS,
    READINGS,
    ROUNDS,
    STEPS,
    WORKERS,
    cpu_us,
    enrol,
    stored_digests,
    verification_us,
    workers_of,
)
from bench.p256 import openssl_rate
from wattseal.config import Settings, load_settings
from wattseal.core.reading import parse_envelope
from wattseal.serve import Site, make_site, open_site
from wattseal.server import serve
from wattseal.simulate.sites import uniform_fleet

CONNECTIONS: Final = int(os.environ.get("BENCH_CONNECTIONS", "4"))
WINDOW: Final = int(os.environ.get("BENCH_WINDOW", "1000"))
"""Messages that a connection of the generator has in flight."""
RECEIVE_MAX: Final = int(os.environ.get("BENCH_RECEIVE_MAX", "4000"))
_LOOK_S: Final = 0.01
_PATIENCE_S: Final = 120

Lane = list[list[bytes]]


class Round(NamedTuple):
    """Rates a second, CPU in µs per reading."""

    openssl: float
    mqtt: float
    broker_us: float
    server_us: float
    workers_us: float
    sender_us: float


def packets_of(meters: range, since_s: int, seed: int) -> tuple[Lane, list[bytes]]:
    """The packets of one connection's meters for each round, and the digests of their readings."""
    fleet = [uniform_fleet(METERS, since_s, INTERVAL_S)[number] for number in meters]
    shuffled = random.Random(seed)
    rounds: Lane = []
    digests, mid = [], 0
    for number in range(ROUNDS + 1):  # the first only sets the baselines
        packets = []
        for step in range(1 + (number - 1) * STEPS, 1 + number * STEPS) if number else range(1):
            shuffled.shuffle(fleet)
            for meter in fleet:
                item, place = meter.read(since_s + (step + 1) * INTERVAL_S), meter.place
                mid = mid % 65_535 + 1
                topic = f"energy/{place.site_id}/{place.iot_device_id}/{place.meter_id}"
                packets.append(publish_packet(topic, mid, item))
                digests.append(parse_envelope(item).digest.hex().encode())
        rounds.append(packets)
    return rounds, digests


def send(port: int, lanes: list[Lane], orders: multiprocessing.connection.Connection) -> None:
    """The generator process: on each order publish one round over all connections; tells its CPU in seconds."""
    connections = [connect(port, f"generator-{number}") for number in range(len(lanes))]
    while (number := orders.recv()) is not None:
        used = time.process_time()
        publish_all(connections, [lane[number] for lane in lanes], WINDOW)
        orders.send(time.process_time() - used)


def run() -> Iterator[str]:
    """Measure ROUNDS rounds with each store; medians."""
    yield from _with_store("SQLite", None, 0.40)
    with postgres() as url:
        if url is None:
            yield "PostgreSQL is not installed here"
        else:
            yield from _with_store("PostgreSQL", url, 0.35)


def _with_store(name: str, database: str | None, target: float) -> Iterator[str]:
    yield f"{name}:"
    folder = Path(tempfile.mkdtemp(prefix="wattseal-bench-"))
    try:
        for line in _measured(folder, {} if database is None else {"database": database}, target):
            yield f"  {line}"
    finally:
        shutil.rmtree(folder)


def _measured(folder: Path, store: dict[str, Any], target: float) -> Iterator[str]:
    since_s = int(time.time()) // 60 * 60 - (STEPS * ROUNDS + 5) * INTERVAL_S
    with mosquitto(folder / "broker") as broker:
        make_site(
            Settings(
                data_dir=folder / "site",
                guard=folder / "guard" / "checkpoint",
                port=0,
                workers=WORKERS,
                mqtt_url=f"mqtt://127.0.0.1:{broker.port}",
                mqtt_receive_max=RECEIVE_MAX,
                **store,
            )
        )
        settings = load_settings(folder / "site" / "wattseal.toml")
        with open_site(settings) as site:
            enrol(site, since_s)
        context = multiprocessing.get_context("spawn")
        meters = [range(lane, METERS, CONNECTIONS) for lane in range(CONNECTIONS)]
        with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
            made = list(pool.map(packets_of, meters, [since_s] * CONNECTIONS, range(CONNECTIONS)))
        published = [digest for _, digests in made for digest in digests]
        server = start_server(settings)
        orders, theirs = context.Pipe()
        try:
            sender = context.Process(target=send, args=(broker.port, [lane for lane, _ in made], theirs), daemon=True)
            sender.start()
            theirs.close()
            rounds, done = [], 0
            for number in range(ROUNDS + 1):
                openssl = openssl_rate() if number else 1.0
                count = sum(len(lane[number]) for lane, _ in made)
                groups = [[broker.pid], [server.pid], workers_of(server.pid)]
                before, start = [cpu_us(group) for group in groups], time.perf_counter()
                orders.send(number)
                done += count
                wait_for(server, done)
                seconds = time.perf_counter() - start
                used = [(cpu_us(group) - early) / count for group, early in zip(groups, before, strict=True)]
                sender_us = orders.recv() * 1e6 / count
                if number:
                    broker_us, server_us, workers_us = used
                    rounds.append(Round(openssl, count / seconds, broker_us, server_us, workers_us, sender_us))
            orders.send(None)
            sender.join(10)
        finally:
            server.terminate()
            server.wait(30)
    kept = stored_digests(settings)
    lost = [digest for digest in published if digest not in kept]
    yield from _report(rounds, len(published), len(lost), target)
    if lost:
        raise RuntimeError(f"{len(lost)} acknowledged readings are not in the store")


def start_server(settings: Settings) -> subprocess.Popen[str]:
    """The server in a process of its own, once it is connected; it prints how many messages it has answered."""
    command = [sys.executable, "-m", "bench.mqtt", str(settings.folder / "wattseal.toml")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    wait_for(server, 0)
    return server


def wait_for(server: subprocess.Popen[str], count: int) -> None:
    """Wait until the server has made that many readings durable, and acknowledged them."""
    deadline = time.monotonic() + _PATIENCE_S
    for line in server.stdout or ():
        if line.startswith("durable ") and int(line.split()[1]) >= count:
            if "{" in line:
                print(f"not all were admitted: {line.strip()}", file=sys.stderr)
            return
        if time.monotonic() > deadline:
            break
    raise RuntimeError(f"the server did not take in {count} readings")


def _report(rounds: list[Round], published: int, lost: int, target: float) -> Iterator[str]:
    def median(values: Iterator[float]) -> float:
        return statistics.median(values)

    openssl = median(each.openssl for each in rounds)
    yield f"{METERS} meters, {READINGS} readings a round, {CONNECTIONS} connections, receive maximum {RECEIVE_MAX}"
    yield f"medians of {ROUNDS} rounds:"
    yield f"openssl speed -multi 2 ecdsap256     {openssl:9,.0f} verify/s     1.00"
    rate, ratio = median(each.mqtt for each in rounds), median(each.mqtt / each.openssl for each in rounds)
    yield f"MQTT QoS 1 by Mosquitto, durable     {rate:9,.0f} readings/s   {ratio:.2f}   (target {target:.2f})"
    ratios = ", ".join(f"{each.mqtt / each.openssl:.2f}" for each in rounds)
    yield f"the rounds: {ratios}"
    parts = (
        ("broker", median(each.broker_us for each in rounds)),
        ("server", median(each.server_us for each in rounds)),
        ("workers", median(each.workers_us for each in rounds)),
        ("generator", median(each.sender_us for each in rounds)),
    )
    yield "CPU per reading: " + ", ".join(f"{name} {cost:.1f} µs" for name, cost in parts)
    # What others do on the machine disturbs rates, CPU time hardly: this ratio is the rate's bound.
    alone, whole = verification_us(), sum(cost for _, cost in parts)
    yield f"a verification alone {alone:.1f} µs CPU, a reading {whole:.1f}: {alone / whole:.2f}"
    yield f"{published:,} published, {lost} of them missing from the store after the server stopped"


def _watch(site: Site, _url: str) -> None:
    """Print how many messages were answered, whenever that has changed."""
    receiver = site.services.mqtt
    if receiver is None:
        raise RuntimeError("the settings name no broker")

    async def look() -> None:
        await receiver.connected.wait()
        told = -1
        while True:
            received = receiver.status.received
            if received.total() != told:
                told = received.total()
                odd = {outcome: count for outcome, count in received.items() if outcome != ("admitted", "")}
                print(f"durable {told} {time.time():.3f} {odd or ''}", flush=True)
            await asyncio.sleep(_LOOK_S)

    _tasks.append(asyncio.get_running_loop().create_task(look()))


_tasks: list[asyncio.Task[None]] = []

if __name__ == "__main__":
    serve(load_settings(Path(sys.argv[1])), _watch)
