"""How SQLite finds the records of a meter and the readings of a chain (docs/adr/0010).

An index by meter over rows that arrive from a thousand meters in turn writes one page for each row. So new rows are
noted in a *recent* table that is filled in runs, each of which covers few pages; when RUNS of them are full, all of
them are moved, sorted, into the *place* tables. A question is put to both: at most RUNS places and one. A run of
records holds a range of indexes, which `record_run` knows; all sorted records have lower ones.

A record's *span* is the bit length of its duration. The records that overlap a time are those of each span that start
in the time or less than 2^span seconds before it, so one long outage does not widen the search for all others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from typing import Any, Final

from wattseal.core.emlog import SCHEMA as RECORD
from wattseal.log.port import EntryRow, ReadingRow
from wattseal.log.queries import BLOCK_ROWS

RUN_ROWS: Final = 8_192
RUNS: Final = 16

CHUNK: Final = 512
"""Rows in one INSERT, a power of two: sqlite3 lets go of the interpreter's lock at each step, and while another thread
is busy each step waits up to 5 ms to get it back. Row by row, a group of 5,000 would take 25 seconds then."""

Row = tuple[Any, ...]
Run = Callable[..., object]
"""Runs a statement, with its values if it has any."""


@dataclass(slots=True)
class Edge:
    """Where the next rows go. A transaction works on a copy, which counts when it is committed."""

    size: int
    """Number of entries."""
    readings: int
    """The highest reading_no."""
    raws: int
    """The highest raw_no."""
    recent_records: int
    record_runs: int
    recent_readings: int
    spans: frozenset[int]


def load_edge(connection: sqlite3.Connection) -> Edge:
    """The edge as the database holds it."""

    def number(query: str) -> int:
        return int(connection.execute(query).fetchone()[0])

    return Edge(
        size=number("SELECT coalesce(max(idx), -1) + 1 FROM entry"),
        readings=number("SELECT coalesce(max(reading_no), 0) FROM reading"),
        raws=number("SELECT coalesce(max(raw_no), 0) FROM raw"),
        recent_records=number("SELECT count(*) FROM record_recent"),
        record_runs=number("SELECT count(*) FROM record_run"),
        recent_readings=number("SELECT count(*) FROM reading_recent"),
        spans=frozenset(span for (span,) in connection.execute("SELECT span FROM record_span")),
    )


@cache
def _insert(table: str, columns: str, rows: int) -> str:
    row = f"({', '.join('?' * (columns.count(',') + 1))})"
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - names and question marks


def insert_rows(run: Run, table: str, columns: str, rows: Iterable[Row], count: int) -> None:
    """Insert `count` rows, CHUNK at a time and the rest in falling powers of two, so that few statements are prepared.

    `rows` may make them as they are asked for: a list of thousands of tuples would set the garbage collector to work.
    """
    source, step = iter(rows), CHUNK
    while count:
        while step > count:
            step >>= 1
        run(_insert(table, columns, step), tuple(chain.from_iterable(islice(source, step))))
        count -= step


def note_records(run: Run, edge: Edge, rows: Sequence[EntryRow]) -> None:
    """Note where those of the entries, just inserted in index order, that are records are to be found."""
    # As plain tuples, by number, because this runs for each record: 0 idx, 8 meter_no, 10 start_s, 11 end_s.
    records: list[Row] = [row for row in rows if row.schema == RECORD]
    if not records:
        return
    _note_blocks(run, records)
    spans = {(row[11] - row[10]).bit_length() for row in records} - edge.spans
    if spans:
        insert_rows(run, "record_span", "span", zip(spans), len(spans))
        edge.spans |= spans
    for start in range(0, len(records), RUN_ROWS):
        part = records[start : start + RUN_ROWS]
        number = edge.recent_records // RUN_ROWS
        if number == edge.record_runs:
            run("INSERT INTO record_run (run, first_idx) VALUES (?, ?)", (number, part[0][0]))
            edge.record_runs += 1
        noted = ((number, row[8], (row[11] - row[10]).bit_length(), row[10], row[0]) for row in part)
        insert_rows(run, "record_recent", "run, meter_no, span, start_s, idx", noted, len(part))
        edge.recent_records += len(part)
        if edge.recent_records >= RUN_ROWS * RUNS:
            _sort_records(run)
            edge.recent_records = edge.record_runs = 0


def _note_blocks(run: Run, records: Iterable[Row]) -> None:
    blocks: dict[int, list[int]] = {}
    for row in records:
        blocks.setdefault(row[0] // BLOCK_ROWS, []).append(row[10])
    for block, starts in blocks.items():
        run(
            "INSERT INTO entry_block (block, first_s, last_s) VALUES (?, ?, ?) ON CONFLICT (block) DO UPDATE "
            "SET first_s = min(first_s, excluded.first_s), last_s = max(last_s, excluded.last_s)",
            (block, min(starts), max(starts)),
        )


def _sort_records(run: Run) -> None:
    run(
        "INSERT INTO record_place (meter_no, span, start_s, idx) "
        "SELECT meter_no, span, start_s, idx FROM record_recent ORDER BY 1, 2, 3, 4"
    )
    run("INSERT INTO record_order (meter_no, idx) SELECT meter_no, idx FROM record_recent ORDER BY 1, 2")
    run("DELETE FROM record_recent")
    run("DELETE FROM record_run")


def note_readings(run: Run, edge: Edge, first_no: int, rows: Sequence[ReadingRow]) -> None:
    """Note where readings that were just inserted with numbers from `first_no` are to be found.

    A reading that belongs to no chain is found by its digest alone.
    """
    in_chains = [(row, number) for number, row in enumerate(rows, first_no) if row[0] is not None]
    for start in range(0, len(in_chains), RUN_ROWS):
        part = in_chains[start : start + RUN_ROWS]
        run_no = edge.recent_readings // RUN_ROWS
        noted = ((run_no, row[0], row[1], row[2], number) for row, number in part)  # chain_no, epoch, seq
        insert_rows(run, "reading_recent", "run, chain_no, epoch, seq, reading_no", noted, len(part))
        edge.recent_readings += len(part)
        if edge.recent_readings >= RUN_ROWS * RUNS:
            run(
                "INSERT INTO reading_place (chain_no, epoch, seq, reading_no) "
                "SELECT chain_no, epoch, seq, reading_no FROM reading_recent ORDER BY 1, 2, 3, 4"
            )
            run("DELETE FROM reading_recent")
            edge.recent_readings = 0
