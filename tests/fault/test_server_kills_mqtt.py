"""kill −9 of the server, and of the broker, at any moment while devices publish: what was acknowledged is stored, once.

Here it is the broker that a device hears. It keeps what the server has not acknowledged to it, and so it must be stored
in the end, without a device that sends again. Only a broker that is killed forgets what it has not saved: against that
a device keeps its last readings and sends them again after a lost connection (docs/spec/mqtt.md).
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from tests.fault.broker import SAVES_EVERY_S, Broker, MqttLine
from tests.fault.devices import Device, finish, sending
from tests.fault.inspection import inspect
from tests.fault.lives import Lives
from tests.fault.test_server_kills import kill_at_random
from tests.fault.watcher import Watcher
from wattseal.serve import read_store

pytestmark = pytest.mark.realserver

CONNECTIONS, DEVICES = 3, 3


def wait_for_all(lives: Lives, devices: Sequence[Device]) -> None:
    """Until the server has taken from the broker what waits there."""
    wanted = sum(device.acknowledged for device in devices)
    deadline = time.monotonic() + 60
    while (stored := stored_readings(lives)) < wanted:
        assert time.monotonic() < deadline, f"{wanted} readings were acknowledged and {stored} are stored"
        time.sleep(0.1)


def wait_for_subscription(client: httpx.Client) -> None:
    """Until the broker keeps what comes for the server, also on its disk: before that nothing of it would wait."""
    deadline = time.monotonic() + 30
    while not client.get("/health").json()["mqtt"]["connected_since"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(2 * SAVES_EVERY_S)


def stored_readings(lives: Lives) -> int:
    with read_store(lives.settings) as store, store.read() as read:
        return sum(len(read.readings_after(row.chain_no, -1, -1, 10**9)) for row in read.chains())


@pytest.mark.parametrize(
    ("broker_ends", "keeps_s"),
    [(None, 0), (signal.SIGTERM, 0), (signal.SIGKILL, 4 * SAVES_EVERY_S)],
    ids=["server", "broker-stopped", "broker-killed"],
)
def test_readings_over_mqtt(
    tmp_path: Path, seed: str, broker_ends: signal.Signals | None, keeps_s: int, *, long: bool
) -> None:
    chance = random.Random(seed)
    devices = [Device(number, int(time.time())) for number in range(CONNECTIONS * DEVICES)]
    broker = Broker(tmp_path / "broker")
    broker.start()
    url = f"mqtt://127.0.0.1:{broker.port}"
    try:
        with Lives(tmp_path / "site", workers=1, mqtt_url=url) as lives, Watcher(lives.url) as watcher:
            lives.make()
            with lives.client() as client:
                lives.start()
                for device in devices:
                    device.enrol(client)
                wait_for_subscription(client)
                lines = [MqttLine(broker.port, f"device-{at}", keeps_s=keeps_s) for at in range(CONNECTIONS)]
                with sending([(line, devices[at::CONNECTIONS]) for at, line in enumerate(lines)], seed) as load:
                    time.sleep(chance.uniform(0, 0.8))
                    lives.kill()
                    for _ in range(33 if long else 3):
                        kill_at_random(lives, chance)
                        if broker_ends is not None:
                            broker.end(broker_ends)
                            time.sleep(chance.uniform(0, 0.2))
                            broker.start()
                            time.sleep(chance.uniform(0, 1.5))
                        load.check()
                    lives.start()
                    time.sleep(0.5)
                for at, line in enumerate(lines):
                    for device in devices[at::CONNECTIONS]:
                        device.waiting(1)
                    finish(line, devices[at::CONNECTIONS])
                    line.close()
                wait_for_all(lives, devices)
                inspect(lives.settings, client, watcher, devices)
            assert all(device.acknowledged for device in devices)
            assert len(watcher.notes) > 1
    finally:
        broker.end()
