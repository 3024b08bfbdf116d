"""A loss of power at any moment: all is lost that no sync covers, and nothing that was acknowledged.

kill −9 alone does not show that, since the page cache outlives a process: here a library writes down what the server
does to its files, and after the kill they are replaced by what of it would be on the disk (tests/fault/power.py).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.contract.stores import calls_stored, child, open_store
from tests.contract.test_store_crash import HAMMER
from tests.fault.devices import Device, HttpLine, finish, sending, wait_until
from tests.fault.inspection import check_devices, inspect
from tests.fault.lives import Died, Lives
from tests.fault.nursery import SMALL_WAL, UNSYNCED_GUARD, UNSYNCED_STORE
from tests.fault.power import Disk, compiled
from tests.fault.watcher import Watcher
from wattseal.serve import read_store

pytestmark = pytest.mark.realserver  # a C compiler and LD_PRELOAD


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("unsynced"))


class Machine:
    """A folder on a disk, and processes whose power can be cut."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.root, self._log = folder / "disk", folder / "log"
        self.root.mkdir()
        self._disk = Disk(self.root)
        self.environment = {
            "LD_PRELOAD": str(library),
            "UNSYNCED_ROOT": str(self.root),
            "UNSYNCED_LOG": str(self._log),
        }

    def goes_on(self, pid: int) -> None:
        """After this process ended: the page cache is still there for the next one."""
        log = self._log.with_name(f"log.{pid}")
        self._disk.follow(log)
        log.unlink()

    def cut(self, pid: int, torn: random.Random | None = None) -> None:
        """After this process ended: leave what a loss of power would."""
        self.goes_on(pid)
        self._disk.cut(torn)
        self._disk = Disk(self.root)

    def copy(self) -> Path:
        """For a look that changes files, such as opening a store: on the disk itself nobody would take note of it."""
        copy = self.root.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.root, copy)
        return copy


@pytest.fixture
def machine(tmp_path: Path, library: Path) -> Machine:
    return Machine(tmp_path, library)


# --- The tool itself --------------------------------------------------------------------------------------------------

WRITES = """
import os, sys
os.chdir(sys.argv[1])
def make(name, sync):
    with open(name, "wb", buffering=0) as file:
        file.write(b"a" * 2_000)
        if sync: os.fsync(file.fileno())
        file.write(b"b" * 2_000)
folder = os.open(".", os.O_RDONLY)
make("no sync", False)
make("name", True)
os.fsync(folder)
make("synced", True)
make("removed", True)
os.fsync(folder)
make("content, no name", True)
os.rename("synced", "renamed")
os.unlink("removed")
os.mkdir("folder")
"""


def write(machine: Machine) -> int:
    command = [sys.executable, "-c", WRITES, str(machine.root)]
    with subprocess.Popen(command, env=os.environ | machine.environment) as process:
        assert process.wait() == 0
    return process.pid


def test_what_was_not_synced_is_lost(machine: Machine) -> None:
    machine.cut(write(machine))
    found = {path.name: path.read_bytes() for path in machine.root.iterdir()}
    synced = b"a" * 2_000
    assert found == {"no sync": b"", "name": synced, "synced": synced, "removed": synced}


def test_what_was_not_synced_may_be_there_in_part(machine: Machine) -> None:
    whole, names, lengths = b"a" * 2_000 + b"b" * 2_000, set(), set()
    pid = write(machine)
    log = machine._log.with_name(f"log.{pid}")
    for number in range(60):
        for path in machine.root.iterdir():
            path.rmdir() if path.is_dir() else path.unlink()
        disk = Disk(machine.root)
        disk.follow(log)
        disk.cut(random.Random(number))
        names.add(frozenset(path.name for path in machine.root.iterdir()))
        content = (machine.root / "name").read_bytes()
        lengths.add(len(content))
        assert content[:2_000] == whole[:2_000]
        assert all(byte in {0, expected} for byte, expected in zip(content, whole, strict=False))
    assert {2_000, 4_000} < lengths
    before = {"no sync", "name", "synced", "removed"}
    after = before - {"synced", "removed"} | {"content, no name", "renamed"}
    assert frozenset(before) in names
    assert frozenset(after | {"folder"}) in names
    assert frozenset(after | {"removed"}) in names  # the rename, and not yet what came after it


# --- The store --------------------------------------------------------------------------------------------------------


@pytest.fixture
def under_notes(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("under_notes")
@pytest.mark.parametrize("is_torn", [False, True])
def test_a_store_keeps_whole_blocks(machine: Machine, seed: str, is_torn: bool, *, long: bool) -> None:
    chance = random.Random(seed)
    make = "from wattseal.log import sqlite; open_store(kind, folder, create=True).close(); say('made'); wait()"
    with child("sqlite", machine.root, make) as process:
        assert process.hears() == "made"
        process.kill()
        machine.cut(process.pid, torn=chance if is_torn else None)
    for _ in range(50 if long else 5):
        small = "from wattseal.log import sqlite; sqlite.WAL_BYTES = 1 << 18\n"
        with child("sqlite", machine.root, small + HAMMER) as process:
            said = [process.hears()]
            time.sleep(chance.uniform(0, 0.3))
            said += process.kill()
            machine.cut(process.pid, torn=chance if is_torn else None)
        copy = machine.copy()
        assert calls_stored("sqlite", copy) - int(said[-1]) in {0, 1}
        open_store("sqlite", copy).close()


# --- The server -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_torn", [False, True])
def test_nothing_acknowledged_is_lost(machine: Machine, seed: str, is_torn: bool, *, long: bool) -> None:
    chance = random.Random(seed)
    torn = chance if is_torn else None
    devices = [Device(number, int(time.time())) for number in range(6)]
    with (
        Lives(machine.root, flaw=SMALL_WAL, environment=machine.environment) as lives,
        Watcher(lives.url) as watcher,
    ):
        machine.cut(lives.make(), torn=torn)  # whoever has been told the token has a site
        with lives.client() as client:
            pid = lives.start()
            for device in devices:
                device.enrol(client)
            lines = [HttpLine(lives.url, lives.token) for _ in range(2)]
            with sending([(line, devices[at::2]) for at, line in enumerate(lines)], seed) as load:
                for _ in range(50 if long else 5):
                    time.sleep(chance.uniform(0, 1.2))
                    assert lives.kill() == -9, lives.errors()
                    machine.cut(pid, torn=torn)
                    load.check()
                    if chance.random() < 0.2:  # and once more while it takes up what was left
                        pid = lives.begin()
                        time.sleep(chance.uniform(0, 1))
                        lives.kill()
                        machine.cut(pid, torn=torn)
                    pid = lives.start()
                time.sleep(0.5)
            finish(lines[0], devices)
            for line in lines:
                line.close()
            inspect(lives.settings, client, watcher, devices)


@pytest.mark.parametrize("flaw", [UNSYNCED_STORE, UNSYNCED_GUARD])
def test_a_server_that_does_not_sync_is_found_out(machine: Machine, seed: str, flaw: str) -> None:
    """So that the test above can fail."""
    device = Device(0, int(time.time()))
    with Lives(machine.root, flaw=flaw, environment=machine.environment) as lives, Watcher(lives.url) as watcher:
        machine.cut(lives.make())
        pid = lives.start()
        with lives.client() as client, closing(HttpLine(lives.url, lives.token)) as line:
            device.enrol(client)
            with sending([(line, [device])], seed) as load:
                wait_until(lambda: device.acknowledged > 200 and len(watcher.notes) > 2, load)
                lives.kill()
        machine.cut(pid)
        if flaw == UNSYNCED_STORE:
            with read_store(lives.settings) as store, pytest.raises(AssertionError):
                check_devices(store, [device])
        else:
            with pytest.raises(Died, match="the guard"):
                lives.start()


@pytest.mark.parametrize("kind", ["s", "w"])
def test_a_failed_call_halts_the_server_and_is_made_good(machine: Machine, seed: str, kind: str, *, long: bool) -> None:
    """One sync or one write fails, any of them. The next server finds what the system shows; then the power goes."""
    chance = random.Random(seed)
    devices = [Device(number, int(time.time())) for number in range(3)]
    halts = 0
    with (
        Lives(machine.root, flaw=SMALL_WAL, environment=machine.environment) as lives,
        Watcher(lives.url) as watcher,
    ):
        machine.goes_on(lives.make())
        with lives.client() as client, closing(HttpLine(lives.url, lives.token)) as line:
            pid = lives.start()
            for device in devices:
                device.enrol(client)
            lives.kill()
            machine.goes_on(pid)
            with sending([(line, devices)], seed) as load:
                for _ in range(40 if long else 4):
                    pid = lives.begin(UNSYNCED_FAIL=f"{kind}{int(2 ** chance.uniform(0, 8))}")
                    if lives.wait_for_start():
                        wait_until(lambda: is_halted(client), load)
                        halts += 1
                        time.sleep(0.5)  # answers to what was committed before may be under way
                        at = sum(device.acknowledged for device in devices)
                        time.sleep(0.2)
                        assert sum(device.acknowledged for device in devices) == at
                        lives.kill(chance.choice([signal.SIGKILL, signal.SIGTERM]))
                    machine.goes_on(pid)
                    pid = lives.start()
                    time.sleep(chance.uniform(0, 1))
                    lives.kill()
                    machine.cut(pid)
                    load.check()
                pid = lives.start()
            finish(line, devices)
            inspect(lives.settings, client, watcher, devices)
    assert halts


def is_halted(client: httpx.Client) -> bool:
    answer = client.get("/health")
    assert (answer.status_code == 503) == (answer.json()["status"] == "halted")
    return answer.status_code == 503
