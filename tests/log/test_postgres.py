"""What the contract suite does not ask of the PostgreSQL store: what it refuses to open, and hidden passwords."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from typing import Any

import psycopg
import pytest
from rich.console import Console
from rich.traceback import Traceback

from tests.contract.stores import entry, write_everywhere
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
