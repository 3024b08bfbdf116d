"""A site whose server is killed and started again and again, always at the same address."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Self

import httpx

from tests.fault.nursery import NONE
from wattseal.config import FILE_NAME, Settings, load_settings

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Died(AssertionError):
    """The server ended by itself."""


class Lives:
    """A site in `folder`, with its guard: `make` it first."""

    def __init__(
        self,
        folder: Path,
        *,
        flaw: str = NONE,
        environment: dict[str, str] | None = None,
        **given: Any,  # noqa: ANN401 - values of any setting
    ) -> None:
        self.folder, self._flaw = folder, flaw
        self._given: dict[str, Any] = {
            "data_dir": str(folder / "site"),
            "guard": str(folder / "guard" / "log"),
            "port": free_port(),
            "batch_max_s": 1,
            "batch_max_entries": 100,
            "anchor_interval_s": 1,
            "mining_interval_s": 1,
            "workers": 0,
            **given,
        }
        self.settings_path = folder / "site" / FILE_NAME
        self.url = f"http://127.0.0.1:{self._given['port']}"
        self._environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"} | (environment or {})
        self._told: Queue[str] = Queue()
        self._pid: int | None = None
        self.token = ""
        self.errors_path = folder.parent / f"{folder.name} errors.txt"

    def __enter__(self) -> Self:
        self._errors = self.errors_path.open("ab")
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.nursery", self._flaw],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env=self._environment,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._hear("ready")
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid is not None:
            self.kill()
        for pipe in (self._nursery.stdin, self._nursery.stdout):
            if pipe is not None and pipe is self._nursery.stdin:
                pipe.close()
        self._nursery.wait(PATIENCE_S)
        self._listener.join(PATIENCE_S)
        if self._nursery.stdout is not None:
            self._nursery.stdout.close()
        self._errors.close()

    def _listen(self) -> None:
        if self._nursery.stdout is not None:
            for line in self._nursery.stdout:
                self._told.put(line.rstrip("\n"))

    def _hear(self, word: str) -> str:
        try:
            line = self._told.get(timeout=PATIENCE_S)
        except Empty:
            raise Died(f"no {word!r}: {self.errors()}") from None
        said, _, rest = line.partition(" ")
        if said == "ended":
            self._pid = None
        if said != word:
            raise Died(f"{line!r} in place of {word!r}: {self.errors()}")
        return rest

    def client(self) -> httpx.Client:
        """The operator's client."""
        return httpx.Client(base_url=self.url, timeout=20, headers={"Authorization": f"Bearer {self.token}"})

    def errors(self) -> str:
        """The end of what the servers wrote to stderr."""
        return self.errors_path.read_text(errors="replace")[-4_000:]

    def make(self) -> int:
        """Make the site, in a process of its own that ends then; its id."""
        self._tell(f"make {json.dumps(self._given)}")
        pid = int(self._hear("pid"))
        self.token = self._hear("token")
        if self._hear("ended") != "0":
            raise Died(self.errors())
        return pid

    @property
    def settings(self) -> Settings:
        """Of the site, once it is made."""
        return load_settings(self.settings_path)

    def _tell(self, line: str) -> None:
        if self._nursery.stdin is None:
            raise RuntimeError("not entered")
        self._nursery.stdin.write(line + "\n")
        self._nursery.stdin.flush()

    def begin(self, **environment: str) -> int:
        """Start the server without waiting for it; its process id."""
        self._tell(f"serve {json.dumps({'settings': str(self.settings_path), 'environment': environment})}")
        self._pid = int(self._hear("pid"))
        return self._pid

    def start(self) -> int:
        """Start the server and wait until it listens; its process id."""
        pid = self.begin()
        self._hear("at")
        return pid

    def wait_for_start(self) -> bool:
        """After `begin`: whether it listens; otherwise it has ended."""
        try:
            self._hear("at")
        except Died:
            if self._pid is None:
                return False
            raise
        return True

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End the server with a signal; its exit code, −9 after SIGKILL."""
        if self._pid is None:
            raise RuntimeError("no server runs")
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)
        self._pid = None
        while (said := self._told.get(timeout=PATIENCE_S)).startswith("at "):
            pass
        return int(said.removeprefix("ended "))
