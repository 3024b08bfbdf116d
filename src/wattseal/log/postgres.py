"""The PostgreSQL store: a schema of a database, one writing session, as many readers as like (docs/adr/0012)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Self

import psycopg

from wattseal.core.refusal import Refusal
from wattseal.log import queries
from wattseal.log.database_url import DatabaseUrl
from wattseal.log.port import Read, StoreFailed, StoreUnreadable, Write
from wattseal.log.postgres_connection import (
    Connection,
    begin_to_read,
    check_revision,
    connect,
    is_there,
    make_durable,
    release_lock,
    take_lock,
    upgrade,
)
from wattseal.log.postgres_read import PostgresRead
from wattseal.log.postgres_rows import PostgresFilling, rows_of
from wattseal.log.postgres_write import CALLERS_ERRORS, Ends, PostgresWrite, load_ends
from wattseal.log.revision import check_version

_IDLE_READERS: Final = 4


class PostgresStore:
    """A Store of log/port.py. Make it with `open`.

    A process that forks after that must not use it in the child.
    """

    def __init__(self, url: DatabaseUrl, writer: Connection | None, ends: Ends | None) -> None:
        """For `open` alone."""
        self._url = url
        self._writer = writer
        self._ends = ends
        self._session = None if writer is None else writer.info.backend_pid
        self._one_writer = threading.Lock()
        self._writing_thread: int | None = None
        self._readers: list[Connection] = []
        self._readers_lock = threading.Lock()
        self._is_open = True
        self._failure: BaseException | None = None

    @classmethod
    def open(cls, url: str | DatabaseUrl, *, create: bool = False, read_only: bool = False) -> Self:
        """Open the store at `url`, to write it or `read_only`; with `create`, make an empty one if nothing is there.

        Raises FileNotFoundError, StoreBusy if another process has it open for writing, StoreUnreadable if it is not a
        store, one of another version or on a server that may lose commits, StoreUnreachable, and psycopg's errors.
        """
        if create and read_only:
            raise ValueError("a store cannot be created read-only")
        # The text with the password is forgotten: a traceback may show local variables.
        url = DatabaseUrl.parse(url) if isinstance(url, str) else url
        connection = connect(url)
        try:
            if read_only:
                if not is_there(connection, url):
                    raise FileNotFoundError(f"there is no store at {url}")
                begin_to_read(connection, url)
                connection.execute("ROLLBACK")
                store = cls(url, None, None)
                store._readers.append(connection)
                return store
            make_durable(connection, url)
            take_lock(connection, url)
            if not is_there(connection, url):
                if not create:
                    raise FileNotFoundError(f"there is no store at {url}")
                upgrade(url)
            check_version(check_revision(connection, url), url)
            return cls(url, connection, load_ends(connection))
        except psycopg.errors.InsufficientPrivilege as error:
            connection.close()
            raise StoreUnreadable(f"{url}: {str(error).splitlines()[0]}") from None
        except BaseException:
            connection.close()
            raise

    # --- Reading ------------------------------------------------------------------------------------------------------

    @contextmanager
    def read(self) -> Iterator[Read]:
        """One committed state, the newest at this moment."""
        connection = self._begun_reader()
        read = PostgresRead(connection)
        is_clean = False
        try:
            yield read
        finally:
            read.end()
            # If the connection is lost, the block's own error tells it; one that had all it wanted goes on.
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK")
                is_clean = True
            self._give_back(connection, is_clean=is_clean)

    def _begun_reader(self) -> Connection:
        kept = self._kept_reader()
        if kept is not None:
            try:
                begin_to_read(kept, self._url)
            except psycopg.OperationalError:  # it was lost while nobody used it, as when the server was restarted
                kept.close()
            except BaseException:
                kept.close()
                raise
            else:
                return kept
        connection = connect(self._url)
        try:
            begin_to_read(connection, self._url)
        except BaseException:
            connection.close()
            raise
        return connection

    def _kept_reader(self) -> Connection | None:
        with self._readers_lock:
            if not self._is_open:
                raise RuntimeError("the store is closed")
            return self._readers.pop() if self._readers else None

    def _give_back(self, connection: Connection, *, is_clean: bool) -> None:
        with self._readers_lock:
            is_kept = is_clean and self._is_open and len(self._readers) < _IDLE_READERS
            if is_kept:
                self._readers.append(connection)
        if not is_kept:
            connection.close()

    # --- Writing ------------------------------------------------------------------------------------------------------

    @contextmanager
    def write(self) -> Iterator[Write]:
        """The writer's transaction; durable when the block has ended without an error.

        Raises StoreFailed after an error of the connection or the server, and any such error as it is.
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
        writer, ends = self._writer, self._ends
        if not self._is_open:
            raise RuntimeError("the store is closed")
        if writer is None or ends is None:
            raise RuntimeError("the store was opened only to be read")
        if self._failure is not None:
            raise StoreFailed(f"{self._url} takes no more writes until it is opened again") from self._failure
        self._begin(writer)
        tx = PostgresWrite(writer, ends)
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

    def _begin(self, writer: Connection) -> None:
        try:
            cursor = writer.execute("BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_backend_pid()")
            cursor.nextset()
            row = cursor.fetchone()
            if row is None or row[0] != self._session:
                # Something between us and the server hands out its sessions in turn; another one holds the lock.
                raise StoreFailed(
                    f"{self._url} is reached through a pool that changes sessions: connect to the server itself, or "
                    "let the pool keep one session for each client"
                )
        except BaseException as error:
            self._failure = error
            raise

    def _undo(self, writer: Connection, tx: PostgresWrite, error: BaseException) -> None:
        for cause in (error, tx.failure):
            if isinstance(cause, psycopg.Error) and not isinstance(cause, CALLERS_ERRORS):
                self._failure = cause
        try:
            writer.execute("ROLLBACK")
        except BaseException as failure:  # noqa: BLE001 - the block's own error is the one to raise
            self._failure = self._failure or failure

    def _commit(self, writer: Connection, tx: PostgresWrite) -> None:
        try:
            said = writer.execute("COMMIT").statusmessage
            if said != "COMMIT":  # the server undoes a transaction that it has given up, and calls that no error
                raise StoreFailed(f"the server answered {said} to COMMIT")
            self._ends = tx.ends
        except BaseException as error:
            # It may be on the server's disk or not: only a new open, which waits for this session's end, reads which.
            self._failure = error
            with suppress(psycopg.Error):
                writer.execute("ROLLBACK")
            raise

    # --- A log that moves here ----------------------------------------------------------------------------------------

    def rows(
        self,
        table: str,
        columns: Sequence[str],
        flags: Sequence[str],  # noqa: ARG002 - these are booleans here
        order: Sequence[str],
    ) -> Iterator[tuple[Any, ...]]:
        """All rows of a table, for a move from another database (log/move.py)."""
        connection = self._begun_reader()
        try:
            yield from rows_of(connection, table, columns, order)
        finally:
            connection.close()

    @contextmanager
    def filling(self) -> Iterator[PostgresFilling]:
        """One transaction of the writer, to fill an empty store; durable when the block has ended without an error."""
        with self.write() as tx:
            writer = self._writer
            if any(tx.counts().values()) or writer is None:
                raise Refusal("to", f"{self._url} is not empty")
            filling = PostgresFilling(writer)
            yield filling
            filling.finish()
        if self._writer is not None:
            self._ends = load_ends(self._writer)

    def close(self) -> None:
        """Let go of all connections. Waits for the writer; a read that is still running lets go at its end."""
        if self._writing_thread == threading.get_ident():
            raise RuntimeError("write() is running in this thread")
        with self._one_writer:
            with self._readers_lock:
                if not self._is_open:
                    return
                self._is_open = False
                readers, self._readers = self._readers, []
            for reader in readers:
                reader.close()
            if self._writer is not None:
                release_lock(self._writer, self._url)
                self._writer.close()


def migrate(url: DatabaseUrl) -> None:
    """Bring a store of an older version to this one, in one transaction; one of this version stays as it is.

    Raises FileNotFoundError, StoreBusy, StoreUnreadable for a newer one, and errors of the server as they are.
    """
    connection = connect(url)
    try:
        take_lock(connection, url)
        if not is_there(connection, url):
            raise FileNotFoundError(f"there is no store at {url}")
        if check_revision(connection, url) < queries.VERSION:
            upgrade(url)
        check_version(check_revision(connection, url), url)
    finally:
        connection.close()
