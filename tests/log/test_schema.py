"""The migrations make just the tables that schema.py describes, bring older stores to them, and refuse newer ones."""

from __future__ import annotations

import re
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import MetaData, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from tests.contract.stores import entry, record, write_everywhere
from tests.postgres_server import PostgresServer
from wattseal.log import queries, schema
from wattseal.log.database_url import DatabaseUrl
from wattseal.log.migrations import run
from wattseal.log.port import (
    AttestationRow,
    BatchRow,
    ChainRow,
    EntryRow,
    InboxRow,
    MeterRow,
    ReadingRow,
    SecretRow,
    StoreBusy,
    StoreUnreadable,
    TokenRow,
)
from wattseal.log.postgres import PostgresStore
from wattseal.log.postgres import migrate as migrate_postgres
from wattseal.log.rollup_port import RollupRow
from wattseal.log.sqlite import SqliteStore
from wattseal.log.sqlite_file import migrate


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "wattseal.db"
    with closing(SqliteStore.open(made, create=True)) as store, store.write() as tx:
        write_everywhere(tx, 0)
    return made


def plain(statement: str) -> str:
    return re.sub(r"\s+", " ", statement).replace('"', "").replace("( ", "(").replace(" )", ")").strip(" ;")


def statements(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'")
    return {plain(row[0]) for row in rows}


def test_sqlite_gets_what_the_schema_describes(path: Path, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    for metadata in (schema.METADATA, schema.SQLITE):
        metadata.create_all(engine)
    engine.dispose()
    with closing(sqlite3.connect(path)) as migrated, closing(sqlite3.connect(tmp_path / "other.db")) as described:
        assert statements(migrated) == statements(described)
        assert all("STRICT" in statement for statement in statements(migrated) if "CREATE TABLE" in statement)


def test_postgresql_gets_what_the_schema_describes() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    described = set()
    for table in (*schema.METADATA.sorted_tables, *schema.POSTGRESQL.sorted_tables):
        described.add(plain(str(CreateTable(table).compile(dialect=dialect))))
        described |= {plain(str(CreateIndex(index).compile(dialect=dialect))) for index in table.indexes}
    without_comments = re.sub(r"^--.*$", "", run.upgrade_script("postgresql"), flags=re.MULTILINE)
    script = [plain(statement) for statement in without_comments.split(";\n")]
    made = {statement for statement in script if statement.startswith("CREATE") and "alembic_version" not in statement}
    assert made == described


def columns_and_indexes(server: PostgresServer, name: str) -> set[object]:
    """What the server says about a schema, without the schema's name."""
    columns = "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
    with server.connect() as admin:
        found = set[object](admin.execute(f"{columns} WHERE table_schema = '{name}'").fetchall())
        indexes = admin.execute(f"SELECT replace(indexdef, '{name}.', '') FROM pg_indexes WHERE schemaname = '{name}'")
        return found | {row[0] for row in indexes}


@pytest.mark.realserver
def test_a_real_postgresql_gets_what_the_schema_describes(postgres: PostgresServer) -> None:
    migrated, described = (DatabaseUrl.parse(postgres.new_url()).schema for _ in range(2))
    PostgresStore.open(postgres.url(migrated), create=True).close()
    with postgres.connect() as admin:
        admin.execute(f"CREATE SCHEMA {described}")
        admin.execute(f"CREATE TABLE {described}.alembic_version AS TABLE {migrated}.alembic_version")
        admin.execute(
            f"ALTER TABLE {described}.alembic_version ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)"
        )

    def connected() -> psycopg.Connection[object]:
        return psycopg.connect(postgres.url(), options=f"-c search_path={described}")

    engine = create_engine("postgresql+psycopg://", creator=connected)
    for metadata in (schema.METADATA, schema.POSTGRESQL):
        metadata.create_all(engine)
    engine.dispose()
    found = columns_and_indexes(postgres, migrated)
    assert found == columns_and_indexes(postgres, described)
    assert len(found) > 100


def test_the_newest_revision_is_the_one_that_is_asked_for() -> None:
    assert run.newest_revision() == queries.VERSION


@pytest.mark.parametrize(
    ("table", "row", "more"),
    [
        ("entry", EntryRow, set()),
        ("reading", ReadingRow, {"reading_no"}),
        ("meter", MeterRow, set()),
        ("rollup", RollupRow, set()),
        ("chain", ChainRow, set()),
        ("secret", SecretRow, set()),
        ("batch", BatchRow, set()),
        ("attestation", AttestationRow, set()),
        ("token", TokenRow, set()),
        ("inbox", InboxRow, {"inbox_no"}),
    ],
)
def test_columns_are_named_like_the_rows_fields(table: str, row: type[EntryRow], more: set[str]) -> None:
    assert set(schema.METADATA.tables[table].columns.keys()) == set(row._fields) | more


def test_every_table_counts(path: Path) -> None:
    with closing(SqliteStore.open(path, read_only=True)) as store, store.read() as read:
        assert set(read.counts()) | {"rollup"} == set(schema.METADATA.tables)  # large, and nobody asks


def set_revision(path: Path, revision: str | None) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM alembic_version")
        if revision is not None:
            connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))


@pytest.mark.parametrize(
    ("revision", "words"),
    [("0000", "older than .* make a backup"), ("9999", "newer than .* install"), (None, "damaged")],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_another_revision_is_refused(path: Path, revision: str | None, words: str, read_only: bool) -> None:
    set_revision(path, revision)
    with pytest.raises(StoreUnreadable, match=words):
        SqliteStore.open(path, read_only=read_only)
    set_revision(path, queries.VERSION)
    SqliteStore.open(path, read_only=read_only).close()  # nothing holds it any more


@pytest.mark.parametrize("revision", ["9999", None])
def test_a_newer_store_or_a_damaged_one_is_not_migrated(path: Path, revision: str | None) -> None:
    set_revision(path, revision)
    before = dump(path)
    with pytest.raises(StoreUnreadable):
        migrate(path)
    assert dump(path) == before


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


NEWEST = queries.VERSION
NEXT = '''"""A later revision."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{newest}"


def upgrade() -> None:
    op.add_column("meter", sa.Column("park", sa.Text))
    op.execute("UPDATE meter SET park = 'north'")
    {last}
'''


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if a later version of Wattseal ran; in the file that is returned stands its revision."""
    folder = tmp_path / "100% migrations"
    shutil.copytree(run.FOLDER, folder)
    monkeypatch.setattr(run, "FOLDER", folder)
    monkeypatch.setattr(queries, "VERSION", "9999")
    return folder / "versions" / "v9999_later.py"


def test_an_older_store_is_migrated_when_it_is_asked_for(path: Path, later: Path) -> None:
    later.write_text(NEXT.format(newest=NEWEST, last="pass"), encoding="utf-8")
    with pytest.raises(StoreUnreadable, match="older"):
        SqliteStore.open(path, create=True)
    migrate(path)
    with closing(SqliteStore.open(path)) as store, store.write() as tx:
        write_everywhere(tx, 1)
        assert tx.size() == 22
    migrate(path)  # once more changes nothing
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT park FROM meter").fetchall() == [("north",), (None,)]


def test_a_store_of_the_first_revision_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        run.upgrade(connection, "0001")
    rows = [entry(0), record(1), record(2)]
    with monkeypatch.context() as patch:
        patch.setattr(queries, "VERSION", "0001")
        with closing(SqliteStore.open(path)) as store, store.write() as tx:
            tx.add_entries(rows)
    with pytest.raises(StoreUnreadable, match="older than"):
        SqliteStore.open(path)
    migrate(path)
    with closing(SqliteStore.open(path)) as store, store.write() as tx:
        assert tx.entries(0, 9) == rows
        tx.mark_superseded([(1, 2)])
        assert tx.superseded([0, 1, 2]) == {1: 2}
        assert tx.rollups(("", 0, 0, ""), 9) == []


def test_a_migration_that_fails_changes_nothing(path: Path, later: Path) -> None:
    before = dump(path)
    later.write_text(NEXT.format(newest=NEWEST, last='op.execute("INSERT INTO nowhere VALUES (1)")'), encoding="utf-8")
    with pytest.raises(Exception, match="nowhere"):
        migrate(path)
    assert dump(path) == before


def test_a_store_that_is_open_is_not_migrated(path: Path) -> None:
    with closing(SqliteStore.open(path)), pytest.raises(StoreBusy):
        migrate(path)
    with pytest.raises(FileNotFoundError):
        migrate(path.with_name("other.db"))


def test_the_tables_that_only_sqlite_has_are_apart() -> None:
    assert isinstance(schema.SQLITE, MetaData)
    assert not set(schema.SQLITE.tables) & set(schema.METADATA.tables)
    assert {"record_recent", "reading_place"} <= set(schema.SQLITE.tables)


@pytest.mark.realserver
def test_an_older_store_on_postgresql_is_migrated_or_stays_as_it_is(postgres: PostgresServer, later: Path) -> None:
    url = DatabaseUrl.parse(postgres.new_url())
    with pytest.MonkeyPatch.context() as now:
        now.setattr(run, "FOLDER", Path(run.__file__).parent)
        now.setattr(queries, "VERSION", NEWEST)
        with closing(PostgresStore.open(url, create=True)) as store, store.write() as tx:
            write_everywhere(tx, 0)
    before = columns_and_indexes(postgres, url.schema)
    with pytest.raises(StoreUnreadable, match="older"):
        PostgresStore.open(url, create=True)
    later.write_text(NEXT.format(newest=NEWEST, last='op.execute("INSERT INTO nowhere VALUES (1)")'), encoding="utf-8")
    with pytest.raises(psycopg.Error, match="nowhere"):
        migrate_postgres(url)
    assert columns_and_indexes(postgres, url.schema) == before
    later.write_text(NEXT.format(newest=NEWEST, last="pass"), encoding="utf-8")
    migrate_postgres(url)
    with closing(PostgresStore.open(url)) as store, store.write() as tx:
        write_everywhere(tx, 1)
        assert tx.size() == 22
    with postgres.connect() as admin:
        parks = admin.execute(f"SELECT park FROM {url.schema}.meter ORDER BY meter_no").fetchall()
    assert parks == [("north",), (None,)]
