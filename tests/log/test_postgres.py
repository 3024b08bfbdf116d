"""What the contract suite does not ask of the PostgreSQL store: lost connections, killed servers, unsafe servers."""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rich.console import Console
from rich.traceback import Traceback

from tests.contract.stores import URL_FILE, calls_stored, child, entry, write_everywhere
from tests.contract.test_store_crash import HAMMER
from tests.postgres_server import PASSWORD, USER, PostgresServer
from wattseal.core.refusal import Refusal
from wattseal.log.port import Store, StoreBusy, StoreConflict, StoreFailed, StoreUnreachable, StoreUnreadable
from wattseal.log.postgres import PostgresStore, migrate
from wattseal.log.postgres_sql import translate

pytestmark = pytest.mark.realserver

READ_ONLY = pytest.mark.parametrize("read_only", [False, True])


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """An empty store."""
    made = postgres.new_url()
    PostgresStore.open(made, create=True).close()
    return made


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    with closing(PostgresStore.open(url)) as opened:
        yield opened


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may kill."""
    server = PostgresServer.make()
    yield server
    server.remove()


def kept(folder: Path, url: str) -> int:
    """How many calls of write_everywhere are there, all of each."""
    (folder / URL_FILE).write_text(url)
    return calls_stored("postgres", folder)


def end(server: PostgresServer, pid: int | None) -> None:
    """End a session from outside, and wait until it is gone."""
    with server.connect() as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


# --- The connection is lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before", "inside", "at the end"])
def test_a_writer_that_is_cut_off_writes_no_more(
    postgres: PostgresServer, store: PostgresStore, url: str, tmp_path: Path, moment: str
) -> None:
    with store.write() as tx:
        write_everywhere(tx, 0)
    if moment == "before":
        end(postgres, store._session)
    with pytest.raises(psycopg.OperationalError), store.write() as tx:  # noqa: PT012 - as it ends
        tx.put_meta("a", b"1")
        if moment == "inside":
            end(postgres, store._session)
        tx.put_meta("b", b"2")
        if moment == "at the end":
            end(postgres, store._session)
    for _ in range(2):
        with pytest.raises(StoreFailed, match="until it is opened again"), store.write():
            pytest.fail("it was written")
    with store.read() as read:  # which needs no writer
        assert read.meta("a") is None
    store.close()
    with closing(PostgresStore.open(url)) as again, again.write() as tx:
        write_everywhere(tx, 1)
    assert kept(tmp_path, url) == 2


def test_the_lock_of_a_lost_writer_goes_to_another_and_the_lost_one_cannot_commit(
    postgres: PostgresServer, store: PostgresStore, url: str
) -> None:
    with pytest.raises(psycopg.OperationalError), store.write() as tx:  # noqa: PT012 - as it ends
        tx.put_meta("whose", b"the first")
        end(postgres, store._session)
        with closing(PostgresStore.open(url)) as second, second.write() as other:
            other.put_meta("whose", b"the second")
    with store.read() as read:
        assert read.meta("whose") == b"the second"


FORKS = """
import os, time
store = open_store(kind, folder)
with store.read() as read:
    read.size()
pid = os.fork()
if not pid:
    os.close(0), os.close(1)
    time.sleep(60)
    os._exit(0)
say(pid)
wait()
"""


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(url: str, tmp_path: Path) -> None:
    (tmp_path / URL_FILE).write_text(url)
    with child("postgres", tmp_path, FORKS) as process:
        pid = int(process.hears())
        try:
            with pytest.raises(StoreBusy):
                PostgresStore.open(url)
            process.kill()
            PostgresStore.open(url).close()
        finally:
            os.kill(pid, signal.SIGKILL)


class CutAtCommit:
    """Stands between a client and the server, and lets the answer to COMMIT never arrive."""

    def __init__(self, port: int) -> None:
        self._server = socket.create_connection(("127.0.0.1", port))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._is_cut = threading.Event()
        self._threads = [threading.Thread(target=self._run)]
        self._threads[0].start()

    def _run(self) -> None:
        client, _ = self._listening.accept()
        self._threads.append(threading.Thread(target=self._answers, args=(client,)))
        self._threads[1].start()
        while data := client.recv(65_536):
            if b"COMMIT\0" in data:
                self._is_cut.set()
            self._server.sendall(data)
            if self._is_cut.is_set():
                break
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_WR)
        self._threads[1].join()
        client.close()

    def _answers(self, client: socket.socket) -> None:
        while data := self._server.recv(65_536):
            if not self._is_cut.is_set():
                client.sendall(data)

    def close(self) -> None:
        for thread in list(self._threads):
            thread.join()
        self._server.close()
        self._listening.close()


def test_nothing_is_written_after_a_commit_without_an_answer(postgres: PostgresServer, url: str) -> None:
    schema = url.rpartition("=")[2]
    with closing(CutAtCommit(postgres.port)) as cut:
        store = PostgresStore.open(postgres.tcp_url(schema, port=cut.port))
        with pytest.raises(psycopg.OperationalError), store.write() as tx:
            tx.put_meta("a", b"1")
        with pytest.raises(StoreFailed), store.write():
            pytest.fail("it was written")
        store.close()
    with closing(PostgresStore.open(url)) as again, again.write() as tx:
        assert tx.meta("a") == b"1"  # it had been committed, and nobody was told


def test_a_reader_that_is_cut_off_fails_and_the_next_one_reads(
    postgres: PostgresServer, store: PostgresStore, url: str
) -> None:
    with store.write() as tx:
        write_everywhere(tx, 0)
    with pytest.raises(psycopg.OperationalError), store.read() as read:  # noqa: PT012 - as it ends
        assert read.size() == 11
        end(postgres, read._connection.info.backend_pid)  # type: ignore[attr-defined]
        read.size()
    with store.read() as read:
        assert read.size() == 11
    for idle in store._readers:
        end(postgres, idle.info.backend_pid)
    with store.read() as read:
        assert read.size() == 11


def test_the_server_is_killed_between_writes(own_server: PostgresServer, tmp_path: Path) -> None:
    url = own_server.new_url()
    with closing(PostgresStore.open(url, create=True)) as store:
        with store.write() as tx:
            write_everywhere(tx, 0)
        with store.read() as read:
            assert read.size() == 11
        own_server.kill()
        with pytest.raises(StoreUnreachable, match="cannot be reached"), store.read():
            pytest.fail("it was read")
        with pytest.raises(psycopg.OperationalError), store.write():
            pytest.fail("it was written")
        own_server.start()
        with store.read() as read:
            assert read.size() == 11
        with pytest.raises(StoreFailed), store.write():
            pytest.fail("it was written")
    assert kept(tmp_path, url) == 1


def test_a_server_killed_at_any_moment_has_whole_blocks_and_all_that_was_acknowledged(
    own_server: PostgresServer, tmp_path: Path, long: bool
) -> None:
    url = own_server.new_url()
    PostgresStore.open(url, create=True).close()
    (tmp_path / URL_FILE).write_text(url)
    for _ in range(20 if long else 4):
        with child("postgres", tmp_path, HAMMER) as process:
            said = [process.hears()]
            time.sleep(random.uniform(0, 0.2))
            own_server.kill()
            said += process.kill()
        own_server.start()
        assert calls_stored("postgres", tmp_path) - int(said[-1]) in {0, 1}


# --- What may not be opened -------------------------------------------------------------------------------------------


def test_a_server_without_fsync_is_refused() -> None:
    server = PostgresServer.make("fsync=off")
    try:
        with pytest.raises(StoreUnreadable, match=r"fsync is off.* Set fsync = on"):
            PostgresStore.open(server.new_url(), create=True)
    finally:
        server.remove()


def test_commits_are_durable_whatever_the_user_is_used_to(postgres: PostgresServer) -> None:
    name = f"lazy_{secrets.token_hex(4)}"
    with postgres.connect() as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN")
        admin.execute(f"GRANT CREATE ON DATABASE postgres TO {name}")
        for setting in ("synchronous_commit = off", "statement_timeout = 20", "default_transaction_read_only = on"):
            admin.execute(f"ALTER ROLE {name} SET {setting}")
    url = postgres.url(name, name)
    with pytest.raises(StoreUnreadable, match="may only be read"):
        PostgresStore.open(url, create=True)
    with postgres.connect() as admin:
        admin.execute(f"ALTER ROLE {name} RESET default_transaction_read_only")
    with closing(PostgresStore.open(url, create=True)) as store, store.write() as tx:
        assert tx._value("SHOW synchronous_commit") == "on"  # type: ignore[attr-defined]
        tx._run("SELECT pg_sleep(0.05)", {})  # type: ignore[attr-defined]
        write_everywhere(tx, 0)


def test_who_may_not_make_a_schema_is_told_what_the_owner_does(postgres: PostgresServer) -> None:
    name = f"guest_{secrets.token_hex(4)}"
    with postgres.connect() as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN")
    with pytest.raises(StoreUnreadable, match=f"permission denied.*CREATE SCHEMA {name} AUTHORIZATION"):
        PostgresStore.open(postgres.url(name, name), create=True)
    with postgres.connect() as admin:
        admin.execute(f"CREATE SCHEMA {name} AUTHORIZATION {name}")
    PostgresStore.open(postgres.url(name, name), create=True).close()


@READ_ONLY
def test_who_may_not_look_into_the_schema_is_told(postgres: PostgresServer, url: str, read_only: bool) -> None:
    name = f"guest_{secrets.token_hex(4)}"
    with postgres.connect() as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN")
    with pytest.raises(StoreUnreadable, match="permission denied"):
        PostgresStore.open(url.replace(f"{USER}@", f"{name}@"), read_only=read_only)


@READ_ONLY
def test_where_there_is_no_store(postgres: PostgresServer, read_only: bool) -> None:
    with pytest.raises(FileNotFoundError, match="there is no store"):
        PostgresStore.open(postgres.new_url(), read_only=read_only)
    with pytest.raises(ValueError, match="read-only"):
        PostgresStore.open(postgres.new_url(), create=True, read_only=True)
    foreign = postgres.new_url()
    schema = foreign.rpartition("=")[2]
    with postgres.connect() as admin:
        admin.execute(f"CREATE SCHEMA {schema}")
        admin.execute(f"CREATE TABLE {schema}.entry (idx int)")
    with pytest.raises(StoreUnreadable, match="is not a store of Wattseal"):
        PostgresStore.open(foreign, create=not read_only, read_only=read_only)


@READ_ONLY
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE alembic_version SET version_num = '0000'", "older than .* make a backup"),
        ("UPDATE alembic_version SET version_num = '9999'", "newer than .* install"),
        ("DELETE FROM alembic_version", "damaged"),
    ],
)
def test_another_revision_is_refused(
    postgres: PostgresServer, url: str, read_only: bool, change: str, words: str
) -> None:
    with postgres.connect() as admin:
        admin.execute(f"SET search_path = {url.rpartition('=')[2]}")
        admin.execute(change)
    with pytest.raises(StoreUnreadable, match=words):
        PostgresStore.open(url, read_only=read_only)


def test_a_store_of_this_version_is_not_migrated_and_an_open_one_neither(store: PostgresStore, url: str) -> None:
    with pytest.raises(StoreBusy):
        migrate(store._url)
    store.close()
    migrate(store._url)
    PostgresStore.open(url).close()


def test_two_logs_in_one_database_do_not_meet(postgres: PostgresServer, store: PostgresStore) -> None:
    with closing(PostgresStore.open(postgres.new_url(), create=True)) as other:
        with store.write() as one, other.write() as two:
            one.add_entries([entry(0)])
            two.put_meta("a", b"1")
        with other.read() as read:
            assert (read.size(), read.meta("a")) == (0, b"1")


# --- Passwords --------------------------------------------------------------------------------------------------------


def test_a_password_opens_the_store_and_is_in_no_message(
    postgres: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = url.rpartition("=")[2]
    with pytest.raises(StoreUnreachable) as refused:
        PostgresStore.open(postgres.tcp_url(schema, "tiger"))
    assert "password authentication failed" in str(refused.value)
    shown = StringIO()  # as structlog shows an error
    error = refused.value
    traceback = Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True)
    Console(file=shown, width=400).print(traceback)
    assert "_attempt" in shown.getvalue()
    assert "tiger" not in shown.getvalue().replace('"tiger"', "")  # but for this test's own line
    PostgresStore.open(postgres.tcp_url(schema)).close()
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    PostgresStore.open(f"postgresql://{USER}@127.0.0.1:{postgres.port}/postgres?schema={schema}").close()


@pytest.mark.parametrize("option", ["nonsense=1", "port=x", "%zz=1"])
def test_what_libpq_does_not_read_is_refused_without_the_password(option: str) -> None:
    with pytest.raises((Refusal, StoreUnreachable)) as refused:
        PostgresStore.open(f"postgresql://u:tiger@127.0.0.1:1/db?{option}")
    assert "tiger" not in repr(refused.value)


# --- What PostgreSQL has and SQLite has not ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{"schema": "meter-1\0"}, {"received_s": 2**63}, {"energy_mwh": -(2**63) - 1}, {"schema": "\ud800"}]
)
def test_what_a_column_cannot_hold_is_the_callers_error(store: Store, change: dict[str, Any]) -> None:
    with pytest.raises((StoreConflict, ArithmeticError, ValueError)), store.write() as tx:
        tx.add_entries([entry(0, **change)])
    with store.write() as tx:
        tx.add_entries([entry(0)])


def test_a_changed_session_does_not_write(store: PostgresStore) -> None:
    """As behind a pool that hands out sessions in turn: the lock would be another's."""
    store._session = -1
    with pytest.raises(StoreFailed, match="pool"), store.write():
        pytest.fail("it was written")


def test_a_commit_that_the_server_turned_into_a_rollback_is_no_success(store: PostgresStore) -> None:
    with pytest.raises(StoreFailed, match="ROLLBACK"), store.write() as tx:  # noqa: PT012 - as it ends
        tx.put_meta("a", b"1")
        with pytest.raises(psycopg.Error):
            store._writer.execute("SELECT 1/0")  # type: ignore[union-attr]
    with store.read() as read:
        assert read.meta("a") is None


def test_parameters_are_translated() -> None:
    assert translate("SELECT :a::bigint, ':' || :b_c, 5 % 2") == "SELECT %(a)s::bigint, ':' || %(b_c)s, 5 %% 2"
