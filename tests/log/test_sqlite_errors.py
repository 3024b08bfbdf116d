"""Errors of the device under the SQLite store: what was told stays, and nothing more is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.contract.stores import child, write_everywhere
from wattseal.log.port import StoreFailed, Write
from wattseal.log.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where an empty store is."""
    made = tmp_path / "wattseal.db"
    SqliteStore.open(made, create=True).close()
    return made


@contextmanager
def opened(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore.open(path)) as store:
        yield store


def pragma(connection: sqlite3.Connection | None, name: str) -> object:
    assert connection is not None
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


LIMIT = """
import resource
def limit(size): resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
"""

# Each write beyond the limit fails with EFBIG, as it would with EIO or on a full disk.
WAL_FAILS = (
    LIMIT
    + """
from wattseal.log.port import StoreFailed
store = open_store(kind, folder)
with store.write() as tx: write_everywhere(tx, 0)
limit((folder / 'wattseal.db-wal').stat().st_size + {room})
try:
    with store.write() as tx:
        write_everywhere(tx, 1)
        tx.put_meta('large', bytes(1_000_000))
except Exception as error: say(type(error).__name__)
limit(resource.RLIM_INFINITY)
try:
    with store.write() as tx: tx.put_meta('later', b'')
except StoreFailed as error: say(type(error.__cause__).__name__)
with store.read() as read: say(read.size())
store.close()
store = open_store(kind, folder)
with store.write() as tx: write_everywhere(tx, 1)
with store.read() as read: say(read.counts() == counts_after(2))
"""
)


@pytest.mark.parametrize("room", [0, 1_000, 100_000, 500_000])
def test_after_an_error_of_the_device_nothing_is_written_until_it_is_opened_again(path: Path, room: int) -> None:
    with child("sqlite", path.parent, WAL_FAILS.format(room=room)) as process:
        assert process.hears() == "OperationalError"
        assert process.hears() == "OperationalError"
        assert process.hears() == "11"
        assert process.hears() == "True"


CHECKPOINT_FAILS = (
    LIMIT
    + """
from wattseal.log import sqlite
from wattseal.log.port import StoreFailed
sqlite.WAL_BYTES = 1 << 20
store = open_store(kind, folder)
limit(3 << 20)
number = 0
try:
    while True:
        with store.write() as tx:
            write_everywhere(tx, number)
            tx.put_tiles([(9, number, bytes(200_000))])
        number += 1
except Exception as error: say(type(error).__name__)
say(number)
try:
    with store.write(): pass
except StoreFailed: say('failed')
wait()
"""
)


def test_an_error_of_the_copying_into_the_file_loses_nothing_that_was_told(path: Path) -> None:
    with child("sqlite", path.parent, CHECKPOINT_FAILS) as process:
        assert process.hears() == "OperationalError"
        calls = int(process.hears())
        assert process.hears() == "failed"
        process.kill()
    with opened(path) as store, store.read() as read:
        assert len(read.batches(limit=10**6)) == calls > 5
        assert pragma(store._writer, "integrity_check") == "ok"


def test_an_error_that_is_caught_within_the_block_is_raised_at_its_end(path: Path) -> None:
    with opened(path) as store:
        with pytest.raises(sqlite3.OperationalError), store.write() as tx:
            _pass_over_an_error(tx)
        with store.read() as read:
            assert read.size() == 0
        with pytest.raises(StoreFailed), store.write():
            pytest.fail("it was written")


def _pass_over_an_error(tx: Write) -> None:
    write_everywhere(tx, 0)
    with pytest.raises(sqlite3.OperationalError):
        tx._run("SELECT nothing")  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="will be undone"):
        tx.put_meta("a", b"1")
