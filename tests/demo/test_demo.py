"""`wattseal demo` as a server: live readings, commands through its API, and a restart that goes on where it stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

WATTSEAL = [sys.executable, "-m", "wattseal.cli.main"]
PATIENCE_S = 120


@dataclass(frozen=True)
class Running:
    """A demonstration that serves."""

    folder: Path
    url: str
    token: str

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return httpx.get(self.url + path, headers={"authorization": f"Bearer {self.token}"}).json()

    def command(self, *arguments: str, code: int = 0) -> str:
        environment = {**os.environ, "WATTSEAL_SERVER": self.url, "WATTSEAL_TOKEN": self.token}
        done = subprocess.run(
            [*WATTSEAL, *arguments], check=False, capture_output=True, text=True, cwd=self.folder, env=environment
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


@contextmanager
def demonstration(folder: Path) -> Iterator[Running]:
    """Start it, wait until it serves, and stop it as Ctrl-C does."""
    command = [*WATTSEAL, "demo", "--dir", "demo", "--port", "0"]
    output = folder / "output.txt"
    with output.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
    try:
        text = ""
        for _ in range(PATIENCE_S * 10):
            text = output.read_text(encoding="utf-8")
            if "Stop it with Ctrl-C" in text or process.poll() is not None:
                break
            time.sleep(0.1)
        match = re.search(r"WATTSEAL_SERVER=(\S+) WATTSEAL_TOKEN=(\S+)", text)
        assert match, text
        yield Running(folder, match[1], match[2])
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(PATIENCE_S)
    assert code == 0, output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demonstration")


def last_readings(running: Running) -> dict[str, Any]:
    """The newest instant that each chain has reached, by what fsck would read: the store."""
    database = running.folder / "demo" / "wattseal.db"
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT chain_no, max(time_s), max(epoch), count(*) FROM reading GROUP BY chain_no")
        return {str(row[0]): row[1:] for row in rows}


def wait_for_live_readings(running: Running, before: dict[str, Any]) -> dict[str, Any]:
    for _ in range(PATIENCE_S * 5):
        now = last_readings(running)
        if all(now[chain][2] > before.get(chain, (0, 0, 0))[2] for chain in now):
            return now
        time.sleep(0.2)
    pytest.fail("no live readings came")


def test_it_serves_live_readings_and_goes_on_after_a_stop(folder: Path) -> None:
    with demonstration(folder) as running:
        made = last_readings(running)
        assert len(made) == 20
        wait_for_live_readings(running, made)
        health = running.get("/health")
        assert (health["status"], health["demo"]) == ("ok", True)
        records = running.get("/api/v1/logs?limit=3")["items"]
        assert all(record["key"]["simulated"] for record in records)
        assert {record["body"]["evidence"]["kind"] for record in records} == {"device"}

        batch = json.loads(running.command("flush", "--json"))
        assert batch["last_index"] + 1 == running.get("/health")["in_checkpoint"]
        assert json.loads(running.command("anchor", "simulate", "--json"))["state"] == "final"
        assert running.command("fsck", "--config", "demo/wattseal.toml").endswith("Nothing differs.\n")
        busy = subprocess.run(
            [*WATTSEAL, "flush", "--config", "demo/wattseal.toml"],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
        )
        assert busy.returncode == 1
        assert "--server" in busy.stderr
        token = running.token
    # Only now: until it has stopped, another reading may come.
    before = last_readings(running)

    with demonstration(folder) as again:
        assert again.token == token
        after = wait_for_live_readings(again, before)
        # As after a loss of power: the same keys, the next epoch.
        assert {chain: row[1] for chain, row in after.items()} == {chain: row[1] + 1 for chain, row in before.items()}
        assert again.command("fsck", "--config", "demo/wattseal.toml").endswith("Nothing differs.\n")


def test_once_does_not_overwrite(folder: Path) -> None:
    done = subprocess.run(
        [*WATTSEAL, "demo", "--once", "--dir", "demo"], check=False, capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 1
    assert "holds a demonstration already" in done.stderr


def test_a_folder_that_is_no_demonstration_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "wattseal.toml").write_text('origin = "example.org/mine"\n', encoding="utf-8")
    done = subprocess.run(
        [*WATTSEAL, "demo", "--dir", "demo"], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "a site of your own" in done.stderr
