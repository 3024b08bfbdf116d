"""Whole tables in and out of a PostgreSQL store, for a log that moves there (log/move.py)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from wattseal.log.postgres_connection import Connection
from wattseal.log.postgres_records import ALL_BLOCKS
from wattseal.log.postgres_sql import copy_rows, translate

_AT_ONCE: Final = 1_000
_TYPES: Final = "SELECT attname, atttypid FROM pg_attribute WHERE attrelid = %s::regclass"


def rows_of(connection: Connection, table: str, columns: Sequence[str], order: str) -> Iterator[tuple[Any, ...]]:
    """All rows of a table in that order, some at a time; within a transaction."""
    with connection.cursor("rows", binary=True) as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}")  # noqa: S608 - names of our schema
        yield from cursor


class PostgresFilling:
    """An empty store while it is filled, in one transaction of the writer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Add all rows of a table."""
        types: dict[str, int] = dict(self._connection.execute(_TYPES, [table]).fetchall())
        copy_rows(self._connection, table, ", ".join(columns), [types[name] for name in columns], rows)

    def finish(self) -> None:
        """Make what is made from the rows; and let the planner know them, before the first question comes."""
        self._connection.execute(translate(ALL_BLOCKS))
        for table in ("entry", "reading", "entry_block"):
            self._connection.execute(f"ANALYZE {table}")
