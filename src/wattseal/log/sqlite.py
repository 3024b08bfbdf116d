"""The SQLite store: one file, one writing process, as many readers as like (docs/adr/0010)."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from wattseal.log.port import Read, StoreBusy, StoreFailed, Write
from wattseal.log.sqlite_file import (
    WriteLock,
    check_descriptors,
    check_revision,
    connect_reader,
    connect_writer,
    create_file,
    is_busy,
)
from wattseal.log.sqlite_places import load_edge
from wattseal.log.sqlite_read import SqliteRead
from wattseal.log.sqlite_write import SqliteWrite

WAL_BYTES: Final = 1 << 26
"""About how much is written to the WAL before it is copied into the file: a page that changed often is copied once."""
_WAL_PATIENCE: Final = 4
"""At so many times WAL_BYTES, the writer waits up to a second for readers of old states, for the WAL to begin anew."""
_COMMIT_BYTES: Final = 1 << 16
"""About what a transaction writes beside its rows: the pages at the ends of the tables."""
_IDLE_READERS: Final = 4

# The caller gave something that does not fit; the file is well. All other errors of SQLite may come from the device.
_CALLERS_ERRORS: Final = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)


class SqliteStore:
    """A Store of log/port.py. Make it with `open`.

    A process that forks after that must not use it in the child.
    """

    def __init__(self, path: Path, lock: WriteLock | None, writer: sqlite3.Connection | None) -> None:
        """For `open` alone."""
        self._path = path
        self._lock = lock
        self._writer = writer
        self._edge = None if writer is None else load_edge(writer)
        self._one_writer = threading.Lock()
        self._writing_thread: int | None = None
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._is_open = True
        self._failure: BaseException | None = None
        self._wal_bytes = 0
        self._wal_patience = _WAL_PATIENCE

    @classmethod
    def open(cls, path: Path, *, create: bool = False, read_only: bool = False) -> Self:
        """Open the store at `path`, to write it or `read_only`; with `create`, make an empty one if nothing is there.

        Raises FileNotFoundError, StoreBusy if another process has it open for writing, StoreUnreadable if it is not a
        store or one of another version, and the errors of the file system and of SQLite.
        """
        if create and read_only:
            raise ValueError("a store cannot be created read-only")
        if not create and not path.is_file():
            raise FileNotFoundError(f"there is no store at {path}: `wattseal init` makes one, --config names another")
        if read_only:
            store = cls(path, None, None)
            store._readers.append(connect_reader(path))
            return store
        lock = WriteLock(path)
        try:
            if not path.exists():
                create_file(path)
            writer = connect_writer(path)
            try:
                return cls(path, lock, writer)
            except BaseException:
                writer.close()
                raise
        except BaseException:
            lock.release()
            raise

    # --- Reading ------------------------------------------------------------------------------------------------------

    @contextmanager
    def read(self) -> Iterator[Read]:
        """One committed state, the newest at this moment."""
        connection = self._reader()
        is_clean = False
        try:
            connection.execute("BEGIN")
            check_revision(connection, self._path)  # SQLite takes the state at the first query, not at BEGIN
            read = SqliteRead(connection)
            try:
                yield read
            finally:
                read.end()
                connection.execute("ROLLBACK")
                is_clean = True
        finally:
            with self._readers_lock:
                is_kept = is_clean and self._is_open and len(self._readers) < _IDLE_READERS
                if is_kept:
                    self._readers.append(connection)
            if not is_kept:
                connection.close()

    def rows(
        self, table: str, columns: Sequence[str], flags: Sequence[str], order: Sequence[str]
    ) -> Iterator[tuple[Any, ...]]:
        """All rows of a table, for a move to another database (log/move.py); `flags` are its columns of 0 and 1."""
        connection = connect_reader(self._path)
        places = [columns.index(name) for name in flags]
        try:
            query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(order)}"  # noqa: S608 - names of our schema
            for row in connection.execute(query):
                yield (
                    (*[bool(value) if place in places else value for place, value in enumerate(row)],)
                    if places
                    else row
                )
        finally:
            connection.close()

    def _reader(self) -> sqlite3.Connection:
        with self._readers_lock:
            if not self._is_open:
                raise RuntimeError("the store is closed")
            if self._readers:
                return self._readers.pop()
        try:
            return connect_reader(self._path)
        except sqlite3.OperationalError as error:
            check_descriptors(error)
            raise

    # --- Writing ------------------------------------------------------------------------------------------------------

    @contextmanager
    def write(self) -> Iterator[Write]:
        """The writer's transaction; durable when the block has ended without an error.

        Raises StoreBusy, StoreFailed after an error of the device, and any error of SQLite as it is.
        """
        if self._writing_thread == threading.get_ident():
            raise RuntimeError("write() is already running in this thread")
        with self._one_writer:
            self._writing_thread = threading.get_ident()
            try:
                yield from self._transaction()
            finally:
                self._writing_thread = None

    def _transaction(self) -> Iterator[Write]:
        writer, edge = self._writer, self._edge
        if not self._is_open:
            raise RuntimeError("the store is closed")
        if writer is None or edge is None:
            raise RuntimeError("the store was opened only to be read")
        if self._failure is not None:
            raise StoreFailed(f"{self._path} takes no more writes until it is opened again") from self._failure
        self._checkpoint(writer)
        self._begin(writer)
        tx = SqliteWrite(writer, edge)
        try:
            yield tx
            if tx.failure is not None:
                # The block went on after one of its methods had failed. It must not be taken for done.
                raise tx.failure
        except BaseException as error:
            self._undo(writer, tx, error)
            raise
        finally:
            tx.end()
        self._commit(writer, tx)

    def _begin(self, writer: sqlite3.Connection) -> None:
        try:
            writer.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if is_busy(error):
                raise StoreBusy(f"something else holds SQLite's lock on {self._path}") from error
            self._failure = error
            raise

    def _undo(self, writer: sqlite3.Connection, tx: SqliteWrite, error: BaseException) -> None:
        for cause in (error, tx.failure):
            if isinstance(cause, sqlite3.Error) and not isinstance(cause, _CALLERS_ERRORS):
                self._failure = cause
        try:
            if writer.in_transaction:  # SQLite may have undone it by itself
                writer.execute("ROLLBACK")
        except sqlite3.Error as failure:
            self._failure = failure

    def _commit(self, writer: sqlite3.Connection, tx: SqliteWrite) -> None:
        try:
            writer.execute("COMMIT")
            self._edge = tx.edge
        except BaseException as error:
            # It may be on the disk or not, and a second fsync would tell nothing: only a new open reads what is there.
            self._failure = error
            with suppress(sqlite3.Error):
                writer.execute("ROLLBACK")
            raise
        self._wal_bytes += _COMMIT_BYTES + tx.written_bytes

    def _checkpoint(self, writer: sqlite3.Connection) -> None:
        """Copy the WAL into the file once it has grown. Before a transaction: an error says that nothing was done."""
        if self._wal_bytes < WAL_BYTES:
            return
        try:
            _, pages, _ = writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            (page_bytes,) = writer.execute("PRAGMA page_size").fetchone()
            if pages * page_bytes >= self._wal_patience * WAL_BYTES:
                is_held = writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0]
                # While one long read lasts, the pauses get rarer.
                self._wal_patience = 2 * self._wal_patience if is_held else _WAL_PATIENCE
        except BaseException as error:
            self._failure = error
            raise
        self._wal_bytes = 0

    def close(self) -> None:
        """Let go of files and connections. Waits for the writer; a read that is still running lets go at its end."""
        if self._writing_thread == threading.get_ident():
            raise RuntimeError("write() is running in this thread")
        with self._one_writer:
            with self._readers_lock:
                if not self._is_open:
                    return
                self._is_open = False
                readers, self._readers = self._readers, []
            try:
                for reader in readers:
                    reader.close()
                if self._writer is not None:
                    self._writer.close()
            finally:
                if self._lock is not None:
                    self._lock.release()
