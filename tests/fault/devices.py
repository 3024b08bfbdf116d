"""Devices that send signed readings until told to stop, and keep each until it was acknowledged, as a real one does."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from wattseal.core.reading import Reading, parse_envelope, parse_payload
from wattseal.core.units import rfc3339
from wattseal.simulate.fleet import Place, SimulatedMeter
from wattseal.simulate.shape import HOUSEHOLD, Load

EVERY_S, RECORD_S = 20, 60
"""A reading and a record each; so two of three readings are details within a record."""
HISTORY_S = 90 * 86_400
GOOD = {"admitted", "duplicate"}


class Device:
    """A meter with its key, the readings that it made, and how many of them were acknowledged; `receipts` by digest."""

    def __init__(self, number: int, now_s: int) -> None:
        self.since_s = (now_s - HISTORY_S) // RECORD_S * RECORD_S
        place = Place("fault", f"device-{number}", "main", record_interval_s=RECORD_S, rated_power_mw=20_000_000)
        shape = Load(6_000_000, HOUSEHOLD, number)
        self.meter = SimulatedMeter(place, shape, f"fault/{number}", self.since_s, import_mwh=1_000_000 * number)
        self.topic = f"energy/{place.site_id}/{place.iot_device_id}/{place.meter_id}"
        self.made: list[bytes] = []
        self.acknowledged = 0
        self.receipts: dict[str, dict[str, Any]] = {}

    def waiting(self, count: int) -> Sequence[bytes]:
        """The oldest readings that were not acknowledged; new ones are made if there are too few."""
        while len(self.made) - self.acknowledged < count:
            self.made.append(self.meter.read(self.since_s + EVERY_S * len(self.made)))
        return self.made[self.acknowledged : self.acknowledged + count]

    def rest(self) -> Sequence[bytes]:
        """All that was made and not acknowledged."""
        return self.made[self.acknowledged :]

    def enrol(self, client: httpx.Client) -> None:
        """Register key and meter."""
        place, valid_from = self.meter.place, rfc3339(self.since_s - 86_400)
        names = {"site_id": place.site_id, "iot_device_id": place.iot_device_id}
        key = {
            "public_key": self.meter.element.public_key.hex(),
            "serial": self.meter.element.serial.hex(),
            "valid_from": valid_from,
            "simulated": True,
        }
        meter = {
            "meter_id": place.meter_id,
            "kid": [self.meter.element.kid.hex()],
            "valid_from": valid_from,
            "record_interval_s": RECORD_S,
            "rated_power_kw": 20,
        }
        client.post("/api/v1/keys", json=names | key).raise_for_status()
        client.post("/api/v1/meters", json=names | meter).raise_for_status()

    def readings(self) -> list[tuple[str, Reading]]:
        """All that it made: digest and fields."""
        payloads = [parse_envelope(cose).payload for cose in self.made]
        return [(hashlib.sha256(payload).hexdigest(), parse_payload(payload)) for payload in payloads]


class Line(Protocol):
    """A device's way to the server."""

    def send(self, device: Device, items: Sequence[bytes]) -> int:
        """Send readings; how many of them, from the first, were acknowledged."""


class HttpLine:
    """One connection over HTTP. What failed, or was answered with 503, was not acknowledged."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=20, headers={"Authorization": f"Bearer {token}"})

    def send(self, device: Device, items: Sequence[bytes]) -> int:
        """One POST."""
        headers = {"Content-Type": "application/cbor-seq"}
        try:
            answer = self._client.post("/api/v1/logs", content=b"".join(items), headers=headers)
        except httpx.TransportError:
            return 0
        if answer.status_code == 503:
            return 0
        if answer.status_code != 200:
            raise AssertionError((answer.status_code, answer.text))
        results = answer.json()["results"]
        wrong = [result for result in results if result["outcome"] not in GOOD]
        if wrong or len(results) != len(items):
            raise AssertionError((len(items), len(results), wrong))
        for result in results:
            before = device.receipts.setdefault(result["digest"], result)
            told = [before.get(name) for name in ("index", "log_id")]
            # What was told once is told again; a record that was told is never another one later.
            if told != [result.get(name) for name in ("index", "log_id")]:
                raise AssertionError((before, result))
        return len(results)

    def close(self) -> None:
        """End the connection."""
        self._client.close()


@dataclass
class Sending:
    """Threads that send; what went wrong in one of them is raised at the end."""

    threads: list[threading.Thread] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise what went wrong."""
        if self.failures:
            raise self.failures[0]


def _send(load: Sending, line: Line, devices: Sequence[Device], seed: str) -> None:
    chance = random.Random(seed)
    try:
        while not load.stopping.is_set():
            device = chance.choice(devices)
            done = line.send(device, device.waiting(chance.randint(1, 12)))
            device.acknowledged += done
            time.sleep(0.005 if done else 0.05)
    except BaseException as error:  # noqa: BLE001 - told to the test by `check`
        load.failures.append(error)


@contextmanager
def sending(lines: Sequence[tuple[Line, Sequence[Device]]], seed: str) -> Iterator[Sending]:
    """Send over every line in a thread of its own, until the end of the block."""
    load = Sending()
    for number, (line, devices) in enumerate(lines):
        thread = threading.Thread(target=_send, args=(load, line, devices, f"{seed}/{number}"), daemon=True)
        load.threads.append(thread)
        thread.start()
    try:
        yield load
    finally:
        load.stopping.set()
        for thread in load.threads:
            thread.join(60)
    load.check()


def wait_until(condition: Callable[[], bool], load: Sending) -> None:
    """Wait for something that the load brings about."""
    deadline = time.monotonic() + 60
    while not condition():
        load.check()
        if time.monotonic() > deadline:
            raise AssertionError("it did not come about in a minute")
        time.sleep(0.01)


def finish(line: Line, devices: Sequence[Device]) -> None:
    """Send what was made and not acknowledged, to a server that is not killed any more."""
    for device in devices:
        deadline = time.monotonic() + 30
        while rest := device.rest():
            device.acknowledged += line.send(device, rest[:500])
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(rest)} readings of {device.topic} could not be delivered")
