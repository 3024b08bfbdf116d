"""Bringing a database to the newest revision. Apart from everything else, because Alembic loads slowly."""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, StaticPool, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema

if TYPE_CHECKING:  # it is in an extra of the package
    import psycopg

FOLDER = Path(__file__).parent


def configuration() -> Config:
    """Alembic's settings: where the revisions are."""
    config = Config()
    # In an option of Alembic, % begins a variable.
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return config


def newest_revision() -> str | None:
    """The revision that `upgrade` leads to."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def upgrade(connection: sqlite3.Connection, revision: str = "head") -> None:
    """Bring an SQLite database to that revision or nowhere; Python must make no transactions of its own on it."""
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)

    @event.listens_for(engine, "begin")
    def begin(sql: Connection) -> None:
        # Python begins no transaction before DDL.
        sql.exec_driver_sql("BEGIN IMMEDIATE")

    config = configuration()
    with engine.begin() as sql:
        config.attributes["connection"] = sql
        command.upgrade(config, revision)


def upgrade_postgres(connection: psycopg.Connection[Any], schema: str) -> None:
    """As `upgrade`, of a schema of a PostgreSQL database, which is made if it is not there and is on the search path.

    The connection is used up.
    """
    connection.autocommit = False
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
    config = configuration()
    try:
        with engine.begin() as sql:
            # Asked first: IF NOT EXISTS wants the right to make schemas, also where this one exists.
            if sql.scalar(text("SELECT to_regnamespace(:schema)"), {"schema": schema}) is None:
                sql.execute(CreateSchema(schema))
            config.attributes["connection"] = sql
            command.upgrade(config, "head")
    except DBAPIError as error:
        raise error.orig or error from None
    finally:
        engine.dispose()


def upgrade_script(dialect: str) -> str:
    """The SQL that would bring an empty database of another kind to the newest revision."""
    config = configuration()
    config.output_buffer = io.StringIO()
    config.attributes["dialect"] = dialect
    command.upgrade(config, "head", sql=True)
    return config.output_buffer.getvalue()
