"""The file of an SQLite store: who may write it, how it is made, opened and brought to a newer schema."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import weakref
from contextlib import closing
from pathlib import Path
from typing import Final

from wattseal.log import queries
from wattseal.log.port import StoreBusy, StoreUnreadable
from wattseal.log.revision import check_version, said_version

APPLICATION_ID: Final = 0x57617474
"""In the file's header ("Watt"), so that `file` and we know it."""

_PAGE_BYTES: Final = 8_192
_OLDEST_LIBRARY: Final = (3, 37, 0)  # STRICT tables
_MODE: Final = 0o600  # secrets and load curves stand in it
_WRITER_CACHE_KIB: Final = 16_384
_READER_CACHE_KIB: Final = 4_096
_BUSY_S: Final = 1
"""How long to wait for another process to finish what should take a moment, such as reading the WAL after a crash."""
_STATEMENTS: Final = 200
_FILES_OF_A_CONNECTION: Final = 4


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


class WriteLock:
    """Keeps other processes from writing for as long as the store is open: what a writer keeps in memory stays true.

    Raises StoreBusy. SQLite's own lock is held only within a transaction.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(_beside(path, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise StoreBusy(f"{path} is open for writing in another process: is the server running?") from None
        except OSError:
            os.close(self._file)
            raise
        self._is_held = True
        _LOCKS.add(self)

    def release(self) -> None:
        """Let others write."""
        if self._is_held:
            self._is_held = False
            _LOCKS.discard(self)
            os.close(self._file)


_LOCKS: Final[weakref.WeakSet[WriteLock]] = weakref.WeakSet()


def _release_in_child() -> None:
    # A forked worker shares the lock's open file. If it outlived a killed server, the lock would, too.
    for lock in list(_LOCKS):
        lock.release()


os.register_at_fork(after_in_child=_release_in_child)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection without Python's own transactions. It may pass from thread to thread, one at a time."""
    if sqlite3.sqlite_version_info < _OLDEST_LIBRARY:
        wanted = ".".join(map(str, _OLDEST_LIBRARY))
        raise StoreUnreadable(f"this Python has SQLite {sqlite3.sqlite_version}; a store needs {wanted} or newer")
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )


def _pragma(connection: sqlite3.Connection, pragma: str) -> object:
    row = connection.execute(f"PRAGMA {pragma}").fetchone()
    return None if row is None else row[0]


def _set_up(connection: sqlite3.Connection, cache_kib: int) -> None:
    """Settings of every connection. The file is not mapped: a read error must be an exception and kill no process."""
    for pragma in (
        "mmap_size=0",
        "trusted_schema=OFF",
        "temp_store=MEMORY",
        "foreign_keys=ON",
        f"cache_size=-{cache_kib}",
    ):
        _pragma(connection, pragma)


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write: mode=ro also keeps it from checkpoints, which are the writer's alone."""
    connection = _connect(path, "ro")
    try:
        check_revision(connection, path)
        _set_up(connection, _READER_CACHE_KIB)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes, with durable commits, after everything that a crash left in the WAL was made durable.

    Raises StoreBusy while a reader in another process holds a state that is only in the WAL, StoreUnreadable.
    """
    connection = _connect(path, "rw")
    try:
        check_revision(connection, path)
        _set_up(connection, _WRITER_CACHE_KIB)
        _make_durable(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_durable(connection: sqlite3.Connection, path: Path) -> None:
    mode = _pragma(connection, "journal_mode=WAL")
    _pragma(connection, "synchronous=FULL")
    synchronous = _pragma(connection, "synchronous")
    if mode != "wal" or synchronous != 2:
        raise StoreUnreadable(
            f"{path} cannot be written safely: journal_mode is {mode}, synchronous is {synchronous}. "
            "It must lie on a local disk."
        )
    # The store runs checkpoints itself, because SQLite's own would hide their errors.
    _pragma(connection, "wal_autocheckpoint=0")
    # Keep the WAL's blocks for the next round, but not those of one huge import.
    _pragma(connection, f"journal_size_limit={1 << 28}")
    # What is deleted is overwritten where that costs no further page.
    _pragma(connection, "secure_delete=FAST")
    # After a failed fsync the system may show WAL pages that never reached the disk. Commits appended behind them would
    # be lost with them at the next loss of power, so nothing may be appended: all is copied, and the WAL begins anew.
    if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        raise StoreBusy(f"another process reads an old state of {path}: wait for it to end, or stop it")


def check_revision(connection: sqlite3.Connection, path: Path) -> None:
    """Begin to read: raise StoreUnreadable if what is there is not what this version of Wattseal reads."""
    check_version(_revision(connection, path), path)


def _revision(connection: sqlite3.Connection, path: Path) -> str:
    try:
        row = connection.execute(queries.REVISION).fetchone()
    except sqlite3.DatabaseError as error:
        if _primary_code(error) in {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_NOTADB}:  # no such table; no database
            raise StoreUnreadable(f"{path} is not a store of Wattseal") from None
        raise
    return said_version(row, path)


def _primary_code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)  # not set on errors of the module itself
    return code & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether SQLite refused because of somebody else's lock."""
    return _primary_code(error) == sqlite3.SQLITE_BUSY


def check_descriptors(error: sqlite3.Error) -> None:
    """Raise OSError (EMFILE, ENFILE) if SQLite could not open a file because there is no descriptor left for one.

    SQLite does not say so; but as many files as a connection has open then cannot be opened otherwise, either.
    """
    if _primary_code(error) != sqlite3.SQLITE_CANTOPEN:
        return
    opened: list[int] = []
    try:
        for _ in range(_FILES_OF_A_CONNECTION):
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))  # noqa: PERF401 - each must be closed
    finally:
        for number in opened:
            os.close(number)


def create_file(path: Path) -> None:
    """Make an empty store where nothing is; after a crash there is all of it or nothing. Call with the lock."""
    for left in (_beside(path, "-wal"), _beside(path, "-journal")):
        if left.exists():  # SQLite would take it for the new file's
            raise StoreUnreadable(f"{path} is missing, but not its {left.name}: bring it back, or take that away, too")
    temporary = _beside(path, ".new")
    temporary.unlink(missing_ok=True)
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
    with closing(_connect(temporary, "rw")) as connection:
        _pragma(connection, f"page_size={_PAGE_BYTES}")
        _pragma(connection, f"application_id={APPLICATION_ID}")
        _upgrade(connection)
    with closing(_connect(temporary, "rw")) as connection:
        _pragma(connection, "journal_mode=WAL")
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def migrate(path: Path) -> None:
    """Bring a store of an older version to this one, in one transaction; one of this version stays as it is.

    Raises FileNotFoundError, StoreBusy, StoreUnreadable for a newer one, and errors of the device as they are.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no store at {path}")
    lock = WriteLock(path)
    try:
        with closing(_connect(path, "rw")) as connection:
            _pragma(connection, "synchronous=FULL")
            if _revision(connection, path) < queries.VERSION:
                _upgrade(connection)
            check_revision(connection, path)
    finally:
        lock.release()


def _upgrade(connection: sqlite3.Connection) -> None:
    from wattseal.log.migrations.run import upgrade  # noqa: PLC0415 - Alembic loads slowly, and is not needed to open

    upgrade(connection)
