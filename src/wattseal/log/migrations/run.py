"""Bringing a database to the newest revision. Apart from everything else, because Alembic loads slowly."""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, StaticPool, create_engine, event

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


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring an SQLite database to the newest revision or nowhere; Python must make no transactions of its own on it."""
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)

    @event.listens_for(engine, "begin")
    def begin(sql: Connection) -> None:
        # Python begins no transaction before DDL.
        sql.exec_driver_sql("BEGIN IMMEDIATE")

    config = configuration()
    with engine.begin() as sql:
        config.attributes["connection"] = sql
        command.upgrade(config, "head")


def upgrade_script(dialect: str) -> str:
    """The SQL that would bring an empty database of another kind to the newest revision."""
    config = configuration()
    config.output_buffer = io.StringIO()
    config.attributes["dialect"] = dialect
    command.upgrade(config, "head", sql=True)
    return config.output_buffer.getvalue()
