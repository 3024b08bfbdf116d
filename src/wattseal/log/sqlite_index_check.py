"""Compares the tables by which SQLite finds records and readings (log/sqlite_places.py) with what they are made of.

A row that is missing there is worse than slow: the record is not found, and its time could be counted again.
"""

# ruff: noqa: S608 - only names of tables and columns are put into the text

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from wattseal.log import queries
from wattseal.log.queries import BLOCK_ROWS
from wattseal.log.sqlite_places import RUNS

_NAMED: Final = 5
_RUN_NUMBERS: Final = ", ".join(map(str, range(RUNS)))

# Every row of the base table is looked for; with equal numbers of rows, the places then hold nothing else.
_LOST_RECORDS: Final = f"""
    SELECT idx FROM entry e WHERE {queries.IS_RECORD}
       AND NOT EXISTS (SELECT 1 FROM record_place p WHERE p.meter_no = e.meter_no
                       AND p.span = bit_length(e.end_s - e.start_s) AND p.start_s = e.start_s AND p.idx = e.idx)
       AND NOT EXISTS (SELECT 1 FROM record_recent r WHERE r.run IN ({_RUN_NUMBERS}) AND r.meter_no = e.meter_no
                       AND r.span = bit_length(e.end_s - e.start_s) AND r.start_s = e.start_s AND r.idx = e.idx)
    LIMIT {_NAMED}"""
_LOST_READINGS: Final = f"""
    SELECT reading_no FROM reading e WHERE chain_no IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM reading_place p WHERE p.chain_no = e.chain_no AND p.epoch = e.epoch
                       AND p.seq = e.seq AND p.reading_no = e.reading_no)
       AND NOT EXISTS (SELECT 1 FROM reading_recent r WHERE r.run IN ({_RUN_NUMBERS}) AND r.chain_no = e.chain_no
                       AND r.epoch = e.epoch AND r.seq = e.seq AND r.reading_no = e.reading_no)
    LIMIT {_NAMED}"""
_COUNTS: Final = {
    "records": (
        f"SELECT count(*) FROM entry WHERE {queries.IS_RECORD}",
        "SELECT (SELECT count(*) FROM record_place) + (SELECT count(*) FROM record_recent)",
    ),
    "sorted records": ("SELECT count(*) FROM record_place", "SELECT count(*) FROM record_order"),
    "readings of chains": (
        "SELECT count(*) FROM reading WHERE chain_no IS NOT NULL",
        "SELECT (SELECT count(*) FROM reading_place) + (SELECT count(*) FROM reading_recent)",
    ),
}
_SAME: Final = {
    "the order of the sorted records": (
        "SELECT meter_no, idx FROM record_order",
        "SELECT meter_no, idx FROM record_place ORDER BY 1, 2",
    ),
    "the spans": (
        "SELECT span FROM record_span ORDER BY 1",
        "SELECT span FROM record_place UNION SELECT span FROM record_recent ORDER BY 1",
    ),
    "the runs": (
        "SELECT run, first_idx FROM record_run ORDER BY 1",
        "SELECT run, min(idx) FROM record_recent GROUP BY run ORDER BY 1",
    ),
    "the blocks": (
        "SELECT block, first_s, last_s FROM entry_block ORDER BY 1",
        f"""SELECT idx / {BLOCK_ROWS}, min(start_s), max(start_s) FROM entry
             WHERE {queries.IS_RECORD} GROUP BY 1 ORDER BY 1""",
    ),
}
_RUNS_OVERLAP: Final = """
    SELECT count(*) FROM record_run n
     WHERE n.first_idx <= (SELECT coalesce(max(idx), -1) FROM record_recent WHERE run = n.run - 1)
        OR n.first_idx <= (SELECT coalesce(max(idx), -1) FROM record_order)"""


def check_tables(connection: sqlite3.Connection) -> Iterator[str]:
    """What differs, one sentence each."""
    connection.create_function("bit_length", 1, _bit_length, deterministic=True)
    for what, query in (("record of entry", _LOST_RECORDS), ("reading", _LOST_READINGS)):
        for (number,) in connection.execute(query).fetchall():
            yield f"the store's index does not lead to the {what} {number}"
    for what, (base, places) in _COUNTS.items():
        (there,), (named,) = connection.execute(base).fetchone(), connection.execute(places).fetchone()
        if there != named:
            yield f"the store's index names {named} {what}, and there are {there}"
    for what, (held, made) in _SAME.items():
        if _differ(connection, held, made):
            yield f"the store's index has {what} wrong"
    if connection.execute(_RUNS_OVERLAP).fetchone()[0]:
        yield "the store's index has runs of records that overlap"
    for (said,) in connection.execute(f"PRAGMA integrity_check({_NAMED})").fetchall():
        if said != "ok":
            yield f"SQLite finds its file damaged: {said}"


def _bit_length(value: object) -> int | None:
    return value.bit_length() if isinstance(value, int) else None


def _differ(connection: sqlite3.Connection, held: str, made: str) -> bool:
    one, other = connection.execute(held), connection.execute(made)
    while (row := one.fetchone()) == other.fetchone():
        if row is None:
            return False
    return True
