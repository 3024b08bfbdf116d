"""kill −9 of PostgreSQL, or of the server on it, at any moment under load: nothing acknowledged is lost.

The server cannot know what became of a commit whose answer it did not get: it halts, and the next one reads what is
there. Where no commit was under way it may go on by itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fault.devices import Device, HttpLine, Sending, finish, sending
from tests.fault.inspection import inspect
from tests.fault.lives import Lives
from tests.fault.missing import missing
from tests.fault.test_server_kills import kill_at_random
from tests.fault.watcher import Watcher
from tests.postgres_server import PostgresServer, programs

pytestmark = pytest.mark.realserver

CONNECTIONS, DEVICES = 3, 2
PATIENCE_S = 30


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """One that no other test uses, since it is killed."""
    if programs() is None:
        missing("no PostgreSQL server: install the package postgresql")
    server = PostgresServer.make()
    yield server
    server.remove()


def goes_on_or_says_that_it_does_not(client: httpx.Client, devices: list[Device], load: Sending) -> None:
    """With the database back, the server takes readings again, or tells that it has halted."""
    at = sum(device.acknowledged for device in devices)
    deadline = time.monotonic() + PATIENCE_S
    while sum(device.acknowledged for device in devices) == at:
        load.check()
        health = client.get("/health")
        if health.status_code == 503 and health.json().get("status") == "halted":
            return
        assert time.monotonic() < deadline, health.text
        time.sleep(0.05)


@pytest.mark.parametrize("killed", ["server", "database"])
def test_readings_into_postgresql(
    tmp_path: Path, seed: str, own_postgres: PostgresServer, killed: str, *, long: bool
) -> None:
    chance = random.Random(seed)
    devices = [Device(number, int(time.time())) for number in range(CONNECTIONS * DEVICES)]
    url = own_postgres.new_url()
    with Lives(tmp_path / "site", database=url, batch_max_entries=30) as lives, Watcher(lives.url) as watcher:
        lives.make()
        with lives.client() as client:
            lives.start()
            for device in devices:
                device.enrol(client)
            lines = [HttpLine(lives.url, lives.token) for _ in range(CONNECTIONS)]
            with sending([(line, devices[at::CONNECTIONS]) for at, line in enumerate(lines)], seed) as load:
                for _ in range(50 if long else 5):
                    time.sleep(chance.uniform(0, 0.8))
                    if killed == "database":
                        own_postgres.kill()
                        time.sleep(chance.uniform(0, 0.5))
                        own_postgres.start()
                        goes_on_or_says_that_it_does_not(client, devices, load)
                        lives.kill()
                    else:
                        lives.kill()
                        kill_at_random(lives, chance)
                    lives.start()
                    load.check()
                time.sleep(0.5)
            finish(lines[0], devices)
            for line in lines:
                line.close()
            inspect(lives.settings, client, watcher, devices)
        assert all(device.acknowledged for device in devices)
        assert len(watcher.notes) > 1
