"""What the SQLite store does beside what all stores promise (tests/contract): its file, its errors, its cost."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from tests.contract.stores import child, record
from wattseal.log import sqlite
from wattseal.log.port import StoreBusy, StoreConflict, StoreUnreadable
from wattseal.log.sqlite import SqliteStore
from wattseal.log.sqlite_file import APPLICATION_ID


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


# --- The file ---------------------------------------------------------------------------------------------------------


def test_commits_are_durable_and_the_file_is_ours(path: Path) -> None:
    with opened(path) as store:
        writer = store._writer
        assert pragma(writer, "journal_mode") == "wal"
        assert pragma(writer, "synchronous") == 2
        assert pragma(writer, "wal_autocheckpoint") == 0
        assert pragma(writer, "mmap_size") == 0
        assert pragma(writer, "foreign_keys") == 1
        assert pragma(writer, "application_id") == APPLICATION_ID
        assert pragma(writer, "integrity_check") == "ok"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def missing(reason: str) -> NoReturn:
    """A newcomer's machine may lack the tool; where the tests must be complete, its absence fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def test_a_commit_is_synced_before_it_is_told(path: Path) -> None:
    """After the last bytes of the WAL comes a sync, and then the caller hears of it: as the system sees it."""
    strace = Path("/usr/bin/strace")
    if not strace.exists():
        missing("strace is not installed")
    program = (
        "from pathlib import Path; from wattseal.log.sqlite import SqliteStore; import os\n"
        f"store = SqliteStore.open(Path({str(path)!r}))\n"
        "os.write(1, b'begin')\n"
        "with store.write() as tx: tx.put_meta('a', b'1')\n"
        "os.write(1, b'told')\n"
    )
    command = [str(strace), "-f", "-e", "trace=pwrite64,fsync,fdatasync,write", sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    traced = ran.stderr
    if ran.returncode and "Operation not permitted" in traced:
        missing("strace may not trace here")
    assert ran.returncode == 0
    calls = traced[traced.index('write(1, "begin"') : traced.index('write(1, "told"')]
    assert calls.rindex("sync(") > calls.rindex("pwrite64(")


def test_readers_cannot_write(path: Path) -> None:
    with opened(path) as store, store.read() as read, pytest.raises(sqlite3.OperationalError, match="readonly"):
        read._connection.execute("INSERT INTO meta VALUES ('a', x'00')")  # type: ignore[attr-defined]


def test_opening_loads_neither_sqlalchemy_nor_alembic(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from wattseal.log.sqlite import SqliteStore\n"
        "SqliteStore.open(Path(sys.argv[1])).close()\n"
        "print(sorted({'sqlalchemy', 'alembic'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(path)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"


def test_what_a_crash_left_while_a_store_was_made_is_swept_away(tmp_path: Path) -> None:
    path = tmp_path / "wattseal.db"
    path.with_name("wattseal.db.new").write_bytes(b"half a store")
    SqliteStore.open(path, create=True).close()
    with opened(path) as store, store.read() as read:
        assert read.size() == 0
    assert {file.name for file in tmp_path.iterdir()} == {"wattseal.db", "wattseal.db.lock"}


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
def test_a_wal_without_its_file_is_not_taken_for_the_new_ones(path: Path, ending: str) -> None:
    path.with_name(path.name + ending).write_bytes(b"of another file")
    path.unlink()
    with pytest.raises(StoreUnreadable, match=ending):
        SqliteStore.open(path, create=True)
    assert not path.exists()


def test_create_opens_what_is_there(path: Path) -> None:
    with opened(path) as store, store.write() as tx:
        tx.put_meta("a", b"1")
    with closing(SqliteStore.open(path, create=True)) as store, store.read() as read:
        assert read.meta("a") == b"1"


@pytest.mark.parametrize("read_only", [False, True])
def test_what_is_not_there_is_not_opened(tmp_path: Path, read_only: bool) -> None:
    with pytest.raises(FileNotFoundError, match="no store"):
        SqliteStore.open(tmp_path / "wattseal.db", read_only=read_only)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="read-only"):
        SqliteStore.open(tmp_path / "wattseal.db", create=True, read_only=True)


def _text(path: Path) -> None:
    path.write_bytes(b"This is not a database, but it is longer than the header of one. " * 20)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE entry (idx INTEGER)")


@pytest.mark.parametrize("make", [_text, _empty, _other_database])
@pytest.mark.parametrize("read_only", [False, True])
def test_what_is_no_store_is_refused(tmp_path: Path, make: Callable[[Path], None], read_only: bool) -> None:
    path = tmp_path / "wattseal.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(StoreUnreadable, match="not a store of Wattseal"):
        SqliteStore.open(path, read_only=read_only)
    assert path.read_bytes() == before


def test_a_float_is_not_stored_as_energy(path: Path) -> None:
    with opened(path) as store, pytest.raises(StoreConflict, match="REAL"), store.write() as tx:
        tx.add_entries([record(0, energy_mwh=1_000_000.5)])


# --- Locks ------------------------------------------------------------------------------------------------------------


def test_it_is_open_for_writing_once(path: Path) -> None:
    with opened(path):
        with pytest.raises(StoreBusy, match="another process"):
            SqliteStore.open(path)
        SqliteStore.open(path, read_only=True).close()
    SqliteStore.open(path).close()


def test_a_forked_child_does_not_keep_the_lock(path: Path) -> None:
    program = """
store = open_store(kind, folder)
runs, tell = os.pipe()
forked = os.fork()
if forked:
    os.read(runs, 1)  # until the child runs, it has had no turn to let go of the lock
    say(forked)
else:
    os.write(tell, b"x")
wait()
"""
    with child("sqlite", path.parent, program) as process:
        forked = int(process.hears())
        try:
            with pytest.raises(StoreBusy):
                SqliteStore.open(path)
            process._process.kill()
            process._process.wait()
            SqliteStore.open(path).close()
            os.kill(forked, 0)  # it is still there
        finally:
            os.kill(forked, signal.SIGKILL)


def test_anothers_lock_within_sqlite_is_busy_and_passes(path: Path) -> None:
    with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        pragma(store._writer, "busy_timeout=20")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="lock"), store.write():
            pytest.fail("two transactions at once")
        other.execute("ROLLBACK")
        with store.write() as tx:
            tx.put_meta("a", b"1")


def test_nothing_is_appended_to_a_wal_that_a_crash_left(path: Path) -> None:
    program = "store = open_store(kind, folder)\nwith store.write() as tx: write_everywhere(tx, 0)\nsay(''); wait()"
    with child("sqlite", path.parent, program) as process:
        process.hears()
        process.kill()
    wal = path.with_name(path.name + "-wal")
    assert wal.stat().st_size > 0
    reading_old = "store = open_store(kind, folder, read_only=True)\nwith store.read(): say(''); wait()"
    with child("sqlite", path.parent, reading_old) as process:
        process.hears()
        with pytest.raises(StoreBusy, match="reads an old state"):
            SqliteStore.open(path)
        process.kill()
    with opened(path) as store, store.read() as read:
        assert wal.stat().st_size == 0
        assert read.size() == 11


# --- The WAL does not grow without end --------------------------------------------------------------------------------


def test_the_wal_begins_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "WAL_BYTES", 1 << 20)
    wal = path.with_name(path.name + "-wal")
    with opened(path) as store:
        fill(store, 40)
        assert wal.stat().st_size < 3 << 20
        assert path.stat().st_size > 8 << 20


def test_a_long_read_lets_the_wal_grow_only_while_it_lasts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "WAL_BYTES", 1 << 20)
    wal = path.with_name(path.name + "-wal")
    with opened(path) as store:
        pragma(store._writer, "busy_timeout=20")
        fill(store, 1)
        with store.read() as read:
            fill(store, 15)
            assert read.size() == 500
        before = wal.stat().st_size
        assert before > 4 << 20
        fill(store, 40)
        assert wal.stat().st_size == before


def test_the_writer_pauses_ever_more_rarely_for_a_long_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "WAL_BYTES", 1 << 18)
    pauses: list[str] = []
    with opened(path) as store:
        assert store._writer is not None
        pragma(store._writer, "busy_timeout=5")
        store._writer.set_trace_callback(lambda text: pauses.append(text) if "RESTART" in text else None)
        fill(store, 1)
        with store.read():
            fill(store, 14)
        assert 2 <= len(pauses) <= 5
        del pauses[:]
        fill(store, 10)
        assert len(pauses) <= 1


def test_the_wal_begins_anew_even_if_somebody_always_reads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "WAL_BYTES", 1 << 18)
    stop = threading.Event()

    def look(store: SqliteStore) -> None:
        with ExitStack() as old:
            while not stop.is_set():
                with ExitStack() as new:
                    new.enter_context(store.read())
                    time.sleep(0.003)
                    old.close()  # only after the next read has begun
                    old.push(new.pop_all())

    with opened(path) as store:
        fill(store, 1)
        thread = threading.Thread(target=look, args=(store,))
        thread.start()
        try:
            fill(store, 30)
        finally:
            stop.set()
            thread.join()
        assert path.with_name(path.name + "-wal").stat().st_size < 6 << 20
        assert path.stat().st_size > 10 << 20


def fill(store: SqliteStore, groups: int) -> None:
    """Groups of 500 records with 800 bytes each."""
    for _ in range(groups):
        with store.write() as tx:
            size = tx.size()
            tx.add_entries([record(idx, idx % 9, body=bytes(800)) for idx in range(size, size + 500)])
