"""From the SQL of log/queries.py, and rows of log/port.py, to what psycopg takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple, get_args, get_type_hints

from wattseal.log.postgres_connection import Connection

# A name after one colon; two colons are a cast.
_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_]+)", re.ASCII)
_TYPES: Final = {int: "int8", str: "text", bytes: "bytea", bool: "bool"}


@cache
def translate(query: str) -> str:
    """A query with `:name` parameters, as psycopg has them: `%(name)s`. Done once for each text."""
    return _PARAMETER.sub(r"%(\1)s", query.replace("%", "%%"))


def types(row: type[NamedTuple]) -> list[str]:
    """The types of a row's columns, from those of its fields."""
    return [_TYPES[(get_args(hint) or (hint,))[0]] for hint in get_type_hints(row).values()]


def copy_rows(
    connection: Connection, table: str, columns: str, column_types: Sequence[str | int], rows: Iterable[Sequence[Any]]
) -> None:
    """Add rows by COPY, in PostgreSQL's binary format: for large groups several times as fast as INSERT."""
    query = f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        copy.set_types(column_types)
        for row in rows:
            copy.write_row(row)
