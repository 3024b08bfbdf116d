"""A real Mosquitto in a folder of the test's own, for tests marked `realserver`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import CI

OPEN = ("allow_anonymous true",)
"""Configuration lines for a broker that lets everybody in, and drops nothing of what waits for a session."""
KEEP_ALL = ("max_inflight_messages 0", "max_queued_messages 0")
_PATIENCE_S = 10


def mosquitto_path() -> str:
    """The broker's program; without it the test is skipped, or fails in CI."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        reason = "no mosquitto: install the package of that name"
        if CI:
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def start_mosquitto(folder: Path, config_lines: Sequence[str] = OPEN, port: int | None = None) -> Iterator[int]:
    """Run a broker until the end of the block; gives its port on 127.0.0.1.

    It keeps sessions and messages in `folder`: start it again with the same folder and port and it goes on with them.
    Its log is `folder/mosquitto.log`.
    """
    program = mosquitto_path()
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    # As root it would change to a user who may not read the test's folder.
    user = ["user root"] if os.geteuid() == 0 else []
    lines = [*user, "persistence true", f"persistence_location {folder}/", "log_type all", *KEEP_ALL]
    lines += [f"listener {port} 127.0.0.1", *config_lines]
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (folder / "mosquitto.log").open("ab") as log:
        process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log)
        try:
            _wait_for(process, port, folder / "mosquitto.log")
            yield port
        finally:
            process.terminate()
            process.wait(_PATIENCE_S)


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"mosquitto did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")
            time.sleep(0.02)
        else:
            return
