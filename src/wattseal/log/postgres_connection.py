"""Sessions on a PostgreSQL server: how each is set up, who may write, and what durability asks of the server."""

from __future__ import annotations

import hashlib
import os
import weakref
from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from wattseal.core.refusal import Refusal
from wattseal.log import queries
from wattseal.log.database_url import DatabaseUrl
from wattseal.log.port import StoreBusy, StoreUnreachable, StoreUnreadable
from wattseal.log.revision import check_version, said_version

Connection = psycopg.Connection[tuple[Any, ...]]

_BUSY_S: Final = 3
"""How long to wait for the session of a process that has just ended: the server notices a moment later."""
_DEFAULTS: Final = {
    "application_name": "wattseal",
    "connect_timeout": 10,
    # A server that vanished is noticed within a minute, not within hours.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_DURABLE: Final = frozenset({"on", "remote_apply"})
# A writer that thinks for long is no fault, and a limit that hits within a transaction would halt the log. On the
# server's side keepalives let go of the lock of a writer whose machine vanished.
_SESSION: Final = {
    # Each question has an index that gives its rows in order, up to a limit. To collect all of them first seems cheap
    # to the planner while nobody has analysed the tables.
    "enable_bitmapscan": "off",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}

_STATE: Final = """
    SELECT to_regnamespace(%(schema)s) IS NOT NULL,
           EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace(%(schema)s)),
           to_regclass(%(schema)s || '.alembic_version') IS NOT NULL"""
_SERVER: Final = """
    SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('server_encoding'),
           current_setting('data_sync_retry', true), pg_is_in_recovery(), current_setting('transaction_read_only')"""


def connect(url: DatabaseUrl) -> Connection:
    """A session in which plain names mean tables of the log's schema, without psycopg's own transactions.

    Raises StoreUnreachable with libpq's words, Refusal for a URL that libpq cannot read; neither shows a password.
    """
    connection = _attempt(url)
    if isinstance(connection, str):
        raise StoreUnreachable(f"{url} cannot be reached: {connection}")
    if connection is None:
        raise Refusal("database", f"{url} is no URL that libpq reads")
    _CONNECTIONS.add(connection)
    try:
        # One type for every integer: else a statement would be prepared for each size that a number happens to have.
        connection.adapters.register_dumper(int, Int8Dumper)
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        connection.execute("SET statement_timeout = 0")
        connection.execute("SELECT set_config('search_path', %s, false)", [f"{url.schema}, pg_temp"])
        connection.execute(
            # Those that this version of the server has.
            "SELECT set_config(name, wanted, false) FROM unnest(%s::text[], %s::text[]) AS s (name, wanted) "
            "JOIN pg_settings USING (name)",
            [list(_SESSION), list(_SESSION.values())],
        )
    except BaseException:
        connection.close()
        raise
    return connection


def _attempt(url: DatabaseUrl) -> Connection | str | None:
    """A connection, or what libpq says, or None where its words may repeat the URL.

    No error leaves this function: a traceback that shows local variables would show the password.
    """
    try:
        given: dict[str, Any] = {**_DEFAULTS, **conninfo_to_dict(url.conninfo), "client_encoding": "UTF8"}
        return psycopg.connect(make_conninfo(**given), autocommit=True)
    except psycopg.OperationalError as error:
        return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    except psycopg.ProgrammingError:
        return None


_CONNECTIONS: Final[weakref.WeakSet[Connection]] = weakref.WeakSet()


def _let_go_in_child() -> None:
    # A forked worker shares the socket. If it outlived a killed server, so would the session and its lock.
    for connection in list(_CONNECTIONS):
        with suppress(psycopg.Error, OSError), open(os.devnull, "rb") as nothing:  # noqa: PTH123 - no path of ours
            os.dup2(nothing.fileno(), connection.fileno())


os.register_at_fork(after_in_child=_let_go_in_child)


# --- What is there ----------------------------------------------------------------------------------------------------


def is_there(connection: Connection, url: DatabaseUrl) -> bool:
    """Whether the schema holds a store; False if it is missing or empty. StoreUnreadable if it holds something else."""
    row = connection.execute(_STATE, {"schema": url.schema}).fetchone()
    exists, is_filled, is_store = row or (False, False, False)
    if exists and is_filled and not is_store:
        raise StoreUnreadable(f"{url}: the schema {url.schema} holds other tables and is not a store of Wattseal")
    return bool(is_store)


def begin_to_read(connection: Connection, url: DatabaseUrl) -> None:
    """Take the newest committed state, and check that this version of Wattseal reads it."""
    try:
        # One round trip; the state is taken by the query and not by BEGIN.
        cursor = connection.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {queries.REVISION}")
        cursor.nextset()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege) as error:
        raise StoreUnreadable(f"{url} is not a store of Wattseal that may be read: {error}") from None
    check_version(said_version(cursor.fetchone(), url), url)


def check_revision(connection: Connection, url: DatabaseUrl) -> str:
    """The revision of what is there; StoreUnreadable if it says none."""
    return said_version(connection.execute(queries.REVISION).fetchone(), url)


# --- The writer -------------------------------------------------------------------------------------------------------


def take_lock(connection: Connection, url: DatabaseUrl) -> None:
    """Keep others from writing for as long as this session lasts. Raises StoreBusy.

    Lock and transactions are of one session: once the server has let go of the lock, nothing of this session can be
    committed any more.
    """
    connection.execute(f"SET lock_timeout = '{_BUSY_S}s'")
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", [_lock_number(url)])
    except psycopg.errors.LockNotAvailable:
        raise StoreBusy(f"{url} is open for writing in another process: is the server running?") from None
    finally:
        with suppress(psycopg.Error):  # of a connection that is lost; the error above says it
            connection.execute("SET lock_timeout = 0")


def release_lock(connection: Connection, url: DatabaseUrl) -> None:
    """Let others write at once, and not only when the server has noticed that the session ended."""
    with suppress(psycopg.Error):
        connection.execute("SELECT pg_advisory_unlock(%s)", [_lock_number(url)])


def _lock_number(url: DatabaseUrl) -> int:
    """Of the schema; such locks are the database's."""
    digest = hashlib.sha256(b"wattseal/store/" + url.schema.encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def make_durable(connection: Connection, url: DatabaseUrl) -> None:
    """Let a commit return when it is on the disk; StoreUnreadable where the server does not see to that."""
    if _server(connection)[1] not in _DURABLE:
        connection.execute("SET synchronous_commit = on")
    fsync, synchronous, encoding, retries, is_standby, is_read_only = _server(connection)
    if is_standby:
        raise StoreUnreadable(f"{url} is a standby, which cannot be written: give the primary's address")
    if is_read_only == "on":
        raise StoreUnreadable(f"{url} may only be read: default_transaction_read_only is on for this user or database")
    if encoding != "UTF8":
        raise StoreUnreadable(f"{url} has the encoding {encoding}: make the database with ENCODING 'UTF8'")
    if fsync != "on" or synchronous not in _DURABLE or retries == "on":
        raise StoreUnreadable(
            f"{url} cannot be written safely: fsync is {fsync}, synchronous_commit is {synchronous}, data_sync_retry "
            f"is {retries}. Set fsync = on, synchronous_commit = on and data_sync_retry = off in postgresql.conf, and "
            "restart the server"
        )


def _server(connection: Connection) -> tuple[Any, ...]:
    row = connection.execute(_SERVER).fetchone()
    if row is None:
        raise RuntimeError("the server does not say its settings")
    return row


def upgrade(url: DatabaseUrl) -> None:
    """Make the tables, or bring them to the newest revision, in one transaction. Call with the lock."""
    from wattseal.log.migrations.run import upgrade_postgres  # noqa: PLC0415 - Alembic loads slowly

    connection = connect(url)
    try:
        upgrade_postgres(connection, url.schema)
    except psycopg.errors.InsufficientPrivilege as error:
        said = str(error).splitlines()[0]
        raise StoreUnreadable(
            f"{url}: {said}. Let its owner do this once: CREATE SCHEMA {url.schema} AUTHORIZATION the user"
        ) from None
    finally:
        connection.close()
