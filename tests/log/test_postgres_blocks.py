"""fsck's question about the one table that is PostgreSQL's own index of ours: the times of blocks of entries."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.contract.stores import START, entry, record
from tests.postgres_server import PostgresServer
from wattseal.log.postgres import PostgresStore

pytestmark = pytest.mark.realserver


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("SELECT 1", []),
        ("UPDATE entry_block SET last_s = last_s - 1 WHERE block = 1", ["1024"]),
        ("DELETE FROM entry_block WHERE block = 2", ["2048"]),
        ("INSERT INTO entry_block (block, first_s, last_s) VALUES (9, 0, 1)", ["9216"]),
    ],
)
def test_blocks_are_compared_with_the_entries(postgres: PostgresServer, damage: str, named: list[str]) -> None:
    url = postgres.new_url()
    with closing(PostgresStore.open(url, create=True)) as store:
        with store.write() as tx:
            tx.add_meter("SITE", "gw", "MTR")
            tx.add_entries([record(idx, 1, START + 300 * idx) for idx in range(3_000)] + [entry(3_000)])
        with postgres.connect() as sql:
            sql.execute(f"SET search_path TO {url.rpartition('schema=')[2]}".encode())
            sql.execute(damage.encode())
        with store.read() as read:
            said = list(read.check_indexes())
    assert len(said) == len(named)
    assert all(f"from {first} on" in words for first, words in zip(named, said, strict=True))
