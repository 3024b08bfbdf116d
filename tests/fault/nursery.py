"""A process that has loaded the server, and in a fork of itself makes a site or runs a server as it is told.

To load the server takes seconds, and these tests kill hundreds. What a fork runs is what `wattseal serve` runs.

As a program: `python -m tests.fault.nursery FLAW`; it reads lines `make SETTINGS` and `serve WHAT`, both with JSON, and
says for each `pid N`, then `token TOKEN` or `at URL`, and in the end `ended STATUS`. The flaws are those of a server: a
test that none of them makes fail shows nothing.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

NONE = "none"
SMALL_WAL = "small-wal"
"""No flaw: the WAL is copied into the file all the time, not only after 64 MB."""
UNSYNCED_STORE = "unsynced-store"
UNSYNCED_GUARD = "unsynced-guard"
LATE_COMMIT = "late-commit"
"""It acknowledges first, and commits when fifty transactions have come together."""


def _small_wal() -> None:
    from wattseal.log import sqlite

    sqlite.WAL_BYTES = 1 << 19  # type: ignore[misc]


def _unsynced_store() -> None:
    from wattseal.log import sqlite

    connect = sqlite.connect_writer  # type: ignore[attr-defined]

    def without_sync(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    sqlite.connect_writer = without_sync  # type: ignore[attr-defined]


def _unsynced_guard() -> None:
    from wattseal.log import guard

    class Os:
        """The module `os`, but for one function."""

        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        @staticmethod
        def fsync(_: int) -> None:
            """Say that it was done."""

    guard.os = Os()  # type: ignore[assignment, attr-defined]


def _late_commit() -> None:
    from wattseal.log.sqlite import SqliteStore
    from wattseal.log.sqlite_write import SqliteWrite

    begin, commit = SqliteStore._begin, SqliteStore._commit
    count = 0

    def begin_once(self: SqliteStore, writer: sqlite3.Connection) -> None:
        if not writer.in_transaction:
            begin(self, writer)

    def commit_seldom(self: SqliteStore, writer: sqlite3.Connection, tx: SqliteWrite) -> None:
        nonlocal count
        count += 1
        self._edge = tx.edge
        if count % 50 == 0:
            commit(self, writer, tx)

    SqliteStore._begin = begin_once  # type: ignore[method-assign]
    SqliteStore._commit = commit_seldom  # type: ignore[method-assign]


FLAWS: dict[str, Callable[[], None]] = {
    NONE: lambda: None,
    SMALL_WAL: _small_wal,
    UNSYNCED_STORE: _unsynced_store,
    UNSYNCED_GUARD: _unsynced_guard,
    LATE_COMMIT: _late_commit,
}


TOLD = os.dup(1)


def say(*words: object) -> None:
    os.write(TOLD, (" ".join(map(str, words)) + "\n").encode())


def main(flaw: str) -> None:
    from wattseal import serve, server  # not above: the server's own workers load this file, too
    from wattseal.config import Settings, load_settings

    os.dup2(2, 1)  # what the server logs is not for the test
    say("ready")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            say("pid", os.getpid())
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            task, _, what = line.strip().partition(" ")
            if task == "make":
                say("token", serve.make_site(Settings(**json.loads(what))))
            else:
                FLAWS[flaw]()
                given = json.loads(what)
                os.environ.update(given["environment"])
                server.serve(load_settings(Path(given["settings"])), lambda _, url: say("at", url))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        say("ended", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(sys.argv[1])
