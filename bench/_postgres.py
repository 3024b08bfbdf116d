"""The PostgreSQL server of a benchmark: as the tests start theirs, with fsync as in earnest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.postgres_server import PostgresServer, programs


@contextmanager
def postgres() -> Iterator[str | None]:
    """The URL of an empty schema, until the end of the block; None where no PostgreSQL is installed."""
    if programs() is None:
        yield None
        return
    server = PostgresServer.make()
    try:
        yield server.url("bench")
    finally:
        server.remove()
