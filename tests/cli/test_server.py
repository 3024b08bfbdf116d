"""`wattseal serve`, and commands that let a running server do the work."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.cli.conftest import Command, Site

PATIENCE_S = 60


@pytest.fixture
def url(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server on the site; its operator's token is in the environment."""
    command = [sys.executable, "-m", "wattseal.cli.main", "serve", "--port", "0", "--workers", "1"]
    log = site.folder.parent / "server.log"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen([*command, "--config", site.config], stdout=file, stderr=file)
    try:
        match = None
        for _ in range(PATIENCE_S * 10):
            match = re.search(r" on (http://\S+)\n", log.read_text(encoding="utf-8"))
            if match or process.poll() is not None:
                break
            time.sleep(0.1)
        assert match, log.read_text(encoding="utf-8")
        monkeypatch.setenv("WATTSEAL_TOKEN", site.token)
        yield match[1]
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE_S)
    assert code == 0, log.read_text(encoding="utf-8")


def test_commands_through_a_running_server(
    url: str, site: Site, wattseal: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATTSEAL_TOKEN", site.token)
    there = ("--server", url)
    sent = wattseal("simulate", "--meters", 2, "--site", "park", "--interval", 60, "--history", 1, *there)
    assert sent.code == 0, sent.err
    batch = wattseal("flush", *there, "--json").json
    assert batch["last_index"] > 100
    assert wattseal("anchor", "now", *there, "--json").json["batch"] == batch["id"]
    assert wattseal("tariff", "add", "day", "--site", "park", "--price", "90", *there).code == 0
    made = wattseal("token", "create", "auditor", "--scope", "auditor", *there, "--json").json
    # What only reads works beside the server.
    here = ("--config", site.config)
    assert len(wattseal("device", "meters", *here, "--json").json) == 2
    assert wattseal("fsck", *here).code == 0
    assert wattseal("backup", site.folder.parent / "b.db", *here).code == 0
    # What writes does not, and says how.
    busy = wattseal("flush", *here)
    assert busy.code == 1
    assert "--server" in busy.err

    monkeypatch.setenv("WATTSEAL_TOKEN", made["token"])
    forbidden = wattseal("flush", *there)
    assert forbidden.code == 1
    assert "scope" in forbidden.err
    monkeypatch.delenv("WATTSEAL_TOKEN")
    unknown = wattseal("flush", *there)
    assert unknown.code == 1
    assert "token" in unknown.err
    assert httpx.get(url + "/health").json()["status"] == "ok"


def test_the_port_is_taken(url: str, site: Site, wattseal: Command) -> None:
    other = wattseal("init", site.folder.parent / "other", "--origin", "example.org/other", "--json").json
    said = wattseal("serve", "--config", other["settings"], "--port", url.rpartition(":")[2])
    assert said.code == 1
    assert "in use" in said.err


@pytest.mark.parametrize(
    ("server", "said"),
    [("http://127.0.0.1:9", "No answer"), ("http://127.0.0.1:port", "Write it like"), ("ftp://127.0.0.1", "No answer")],
)
def test_no_server_there(wattseal: Command, server: str, said: str) -> None:
    answer = wattseal("flush", "--server", server)
    assert answer.code == 1
    assert said in answer.err
