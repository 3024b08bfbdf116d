"""PostgreSQL reads in proportion to the answer, also while nobody has analysed the tables (docs/adr/0012)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from tests.contract.stores import START, batch, reading, record
from tests.postgres_server import PostgresServer
from wattseal.log.port import BOUNDARY, DETAIL, Read, RecordFilter
from wattseal.log.postgres import PostgresStore
from wattseal.log.postgres_read import PostgresRead
from wattseal.log.postgres_sql import translate

pytestmark = pytest.mark.realserver

METERS, ROUNDS = 100, 300
MOST = 1_500
"""Rows that a question about a hundred or so may touch, of METERS × ROUNDS: a meter's, or a block's, and the answer."""
LATE_S = START + 300 * (ROUNDS - 20)


@pytest.fixture(scope="module")
def store(postgres: PostgresServer) -> Iterator[PostgresStore]:
    with closing(PostgresStore.open(postgres.new_url(), create=True)) as filled:
        with filled.write() as tx:
            for number in range(METERS):
                tx.add_meter("SITE", f"gw-{number % 10}", f"MTR-{number}")
            count = METERS * ROUNDS
            places = [(idx, idx % METERS + 1, idx // METERS) for idx in range(count)]
            tx.add_entries(
                [
                    record(idx, meter_no, START + 300 * turn, status="gap" if idx % 1_000 == 7 else "ok")
                    for idx, meter_no, turn in places
                ]
            )
            tx.add_readings(
                [reading(turn, meter_no, state=DETAIL if turn % 5 else BOUNDARY) for _, meter_no, turn in places]
            )
            for number in range(ROUNDS):
                tx.add_batch(batch(number, number * METERS, (number + 1) * METERS - 1))
        yield filled


QUESTIONS: dict[str, Callable[[Read], object]] = {
    "first page": lambda read: read.records(RecordFilter()),
    "newest page": lambda read: read.records(RecordFilter(newest_first=True)),
    "page of a meter": lambda read: read.records(RecordFilter(meter_id="MTR-5", newest_first=True)),
    "page of a status": lambda read: read.records(RecordFilter(status="gap", newest_first=True)),
    "page of a meter and time": lambda read: read.records(RecordFilter(meter_id="MTR-5", from_s=LATE_S)),
    "page of a time": lambda read: read.records(RecordFilter(from_s=LATE_S)),
    "newest page of a time": lambda read: read.records(RecordFilter(from_s=START, newest_first=True)),
    "records of a meter": lambda read: read.records_of_meter(5, LATE_S, LATE_S + 3_000),
    "totals of a meter": lambda read: read.disclosed_totals(20_000, 20_999, frozenset({5})),
    "totals of most meters": lambda read: read.disclosed_totals(20_000, 20_999, frozenset(range(2, METERS))),
    "entries": lambda read: read.entries(20_000, 100),
    "entry": lambda read: read.entry_by_id(record(20_000).entry_id),
    "reading": lambda read: read.reading(5, 1, 100),
    "readings": lambda read: read.readings_after(5, 1, 100, 10),
    "tail": lambda read: read.chain_tail(5),
    "set aside": lambda read: read.set_aside_by_digest(bytes(32)),
    "batch": lambda read: read.batch_of_index(20_000),
    "size": lambda read: read.size(),
    "schema": lambda read: read.entries_of_schema("meter-1"),
}


def touched(node: dict[str, Any]) -> int:
    """Rows that a plan's scans looked at."""
    here = 0
    if "Relation Name" in node and node["Relation Name"] != "meter":
        seen = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        here = round(seen * node["Actual Loops"])
    return here + sum(touched(child) for child in node.get("Plans", []))


@pytest.mark.parametrize("is_analysed", [False, True])
def test_each_question_touches_few_rows(
    store: PostgresStore, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, is_analysed: bool
) -> None:
    if is_analysed:
        with postgres.connect() as admin:
            for table in ("entry", "reading", "entry_block", "batch"):
                admin.execute(f"ANALYZE {store._url.schema}.{table}")
    ran: list[tuple[str, dict[str, Any]]] = []
    run = PostgresRead._run

    def note(self: PostgresRead, query: str, parameters: dict[str, Any]) -> psycopg.Cursor[Any]:
        ran.append((query, parameters))
        return run(self, query, parameters)

    monkeypatch.setattr(PostgresRead, "_run", note)
    too_many = {}
    with store.read() as read:
        for name, question in QUESTIONS.items():
            ran.clear()
            question(read)
            rows = 0
            for query, parameters in ran:
                connection = read._connection  # type: ignore[attr-defined]
                explained = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {translate(query)}", parameters)
                rows += touched(explained.fetchone()[0][0]["Plan"])
            assert ran
            if rows > MOST:
                too_many[name] = rows
    assert not too_many
