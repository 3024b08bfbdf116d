"""A PostgreSQL server that a test starts: a cluster in a temporary folder, on loopback, with fsync as in earnest."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import psycopg

USER: Final = "tester"
PASSWORD: Final = "not%2Fa s@cret?"
_DEBIAN: Final = Path("/usr/lib/postgresql")
_PATIENCE_S: Final = 60


def programs() -> Path | None:
    """The folder of initdb and postgres, of the newest version that is installed; None if there is none."""
    found = sorted(_DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3].partition(".")[0]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path and shutil.which("initdb") else None


class PostgresServer:
    """One server. It may be killed and started again over the same files."""

    def __init__(self, folder: Path, *options: str) -> None:
        bin_folder = programs()
        if bin_folder is None:
            raise RuntimeError("there is no PostgreSQL")
        self._bin = bin_folder
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])

    @classmethod
    def make(cls, *options: str) -> Self:
        """A new cluster, running."""
        # Not in pytest's folder: that is closed to other users, and the name of a socket must be short.
        folder = Path(tempfile.mkdtemp(prefix="wattseal-pg-"))
        password = folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            user = pwd.getpwnam(cls._user())
            for path in (folder, password):
                os.chown(path, user.pw_uid, user.pw_gid)
        self = cls(folder, *options)
        self._run(
            "initdb", "-D", str(folder / "data"), "-U", USER, "--pwfile", str(password), "-E", "UTF8", "--locale", "C",
            "--auth-local=trust", "--auth-host=scram-sha-256",
        )  # fmt: skip
        self.start()
        return self

    @staticmethod
    def _user() -> str:
        names = {entry.pw_name for entry in pwd.getpwall()}
        return "postgres" if "postgres" in names else "nobody"

    def _command(self, program: str, *arguments: str) -> list[str]:
        command = [str(self._bin / program), *arguments]
        if os.geteuid() == 0:  # the server refuses to be root
            user = pwd.getpwnam(self._user())
            privileges = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
            return ["setpriv", *privileges, *command]
        return command

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(self._command(program, *arguments), check=True, capture_output=True, cwd=self._folder)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "fsync": "on",
            "shared_buffers": "32MB",
            "logging_collector": "off",
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        more = [part for option in self._options for part in ("-c", option)]
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                self._command("postgres", "-D", str(self._folder / "data"), *arguments, *more),
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self._folder / "log.txt").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def url(self, schema: str | None = None, user: str = USER) -> str:
        """The URL by the Unix socket."""
        more = f"&schema={schema}" if schema else ""
        return f"postgresql://{user}@/postgres?host={self._folder}&port={self.port}{more}"

    def tcp_url(self, schema: str, password: str = PASSWORD, port: int | None = None) -> str:
        """The URL by loopback, where a password is asked for."""
        login = f"{USER}:{quote(password, safe='')}"
        return f"postgresql://{login}@127.0.0.1:{port or self.port}/postgres?schema={schema}"

    def new_url(self) -> str:
        """The URL of a schema that is not there yet."""
        return self.url(f"log_{secrets.token_hex(8)}")

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A superuser's connection."""
        return psycopg.connect(self.url(), autocommit=True)

    def kill(self) -> None:
        """SIGKILL to the server and every process of it at once."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGSTOP)  # so that it starts no further ones
        for pid in self._children(self._process.pid):
            os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._process = None

    @staticmethod
    def _children(parent: int) -> list[int]:
        """Each of them is a process group of its own."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[1]) == parent:
                    found.append(int(stat.parent.name))
        return found

    def remove(self) -> None:
        """End the server and take its files away."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_PATIENCE_S)
            self._process = None
        shutil.rmtree(self._folder)
