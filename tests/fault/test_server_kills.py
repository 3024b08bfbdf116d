"""kill −9 of the real server at any moment under load: nothing acknowledged is lost, nothing is there twice.

The page cache outlives the process, so this says nothing of a loss of power: that is test_lost_writes.py.
"""

from __future__ import annotations

import random
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.fault.devices import Device, HttpLine, Sending, finish, sending, wait_until
from tests.fault.inspection import check_devices, inspect
from tests.fault.lives import Lives
from tests.fault.nursery import LATE_COMMIT
from tests.fault.watcher import Watcher
from wattseal.serve import read_store

CONNECTIONS, DEVICES = 3, 3
"""The second: of each connection."""


def kill_at_random(lives: Lives, chance: random.Random) -> None:
    """Start the server and kill it: after a moment of work, or as it starts and takes up what the last one left."""
    if chance.random() < 0.2:
        lives.begin()
        time.sleep(chance.uniform(0, 1))
    else:
        lives.start()
        time.sleep(chance.uniform(0, 0.8))
    assert lives.kill() == -9, lives.errors()


def kill_often(lives: Lives, load: Sending, seed: str, times: int) -> None:
    """Kill a server that runs, and the next ones; leave one running that has had time to work."""
    chance = random.Random(seed)
    time.sleep(chance.uniform(0, 0.8))
    lives.kill()
    for _ in range(times - 1):
        kill_at_random(lives, chance)
        load.check()
    lives.start()
    time.sleep(0.5)


@pytest.mark.parametrize("workers", [0, 1])
def test_readings_over_http(tmp_path: Path, seed: str, workers: int, *, long: bool) -> None:
    devices = [Device(number, int(time.time())) for number in range(CONNECTIONS * DEVICES)]
    with Lives(tmp_path / "site", workers=workers) as lives, Watcher(lives.url) as watcher:
        lives.make()
        with lives.client() as client:
            lives.start()
            for device in devices:
                device.enrol(client)
            lines = [HttpLine(lives.url, lives.token) for _ in range(CONNECTIONS)]
            with sending([(line, devices[at::CONNECTIONS]) for at, line in enumerate(lines)], seed) as load:
                kill_often(lives, load, seed, 50 if long else 5)
            finish(lines[0], devices)
            for line in lines:
                line.close()
            inspect(lives.settings, client, watcher, devices)
        assert all(device.acknowledged for device in devices)
        assert len(watcher.notes) > 1


def test_a_server_that_acknowledges_before_it_commits_is_found_out(tmp_path: Path, seed: str) -> None:
    """So that the tests above can fail."""
    device = Device(0, int(time.time()))
    with Lives(tmp_path / "site", flaw=LATE_COMMIT, batch_max_s=3_600, batch_max_entries=10_000) as lives:
        lives.make()
        lives.start()
        with lives.client() as client, closing(HttpLine(lives.url, lives.token)) as line:
            device.enrol(client)
            with sending([(line, [device])], seed) as load:
                wait_until(lambda: device.acknowledged > 200, load)
                lives.kill()
        with read_store(lives.settings) as store, pytest.raises(AssertionError):
            check_devices(store, [device])
