"""Whole tables in and out of a PostgreSQL store, for a log that moves there (log/move.py)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from wattseal.log.postgres_connection import Connection
from wattseal.log.postgres_records import ALL_BLOCKS
from wattseal.log.postgres_sql import copy_rows, translate

_AT_ONCE: Final = 1_000
_TEXT: Final = 25
"""PostgreSQL's number of the type text."""
_TYPES: Final = "SELECT attname, atttypid FROM pg_attribute WHERE attrelid = %s::regclass"


def rows_of(
    connection: Connection, table: str, columns: Sequence[str], order: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """All rows of a table in the order of those columns, some at a time; within a transaction."""
    types = _types(connection, table)
    # By their bytes, as everywhere else, and not as the database's language sorts words.
    keys = [f'{name} COLLATE "C"' if types[name] == _TEXT else name for name in order]
    with connection.cursor("rows", binary=True) as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(keys)}")  # noqa: S608 - names of our schema
        yield from cursor


def _types(connection: Connection, table: str) -> dict[str, int]:
    return dict(connection.execute(_TYPES, [table]).fetchall())


class PostgresFilling:
    """An empty store while it is filled, in one transaction of the writer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Add all rows of a table."""
        types = _types(self._connection, table)
        copy_rows(self._connection, table, ", ".join(columns), [types[name] for name in columns], rows)

    def finish(self) -> None:
        """Make what is made from the rows; and let the planner know them, before the first question comes."""
        self._connection.execute(translate(ALL_BLOCKS))
        for table in ("entry", "reading", "entry_block"):
            self._connection.execute(f"ANALYZE {table}")
