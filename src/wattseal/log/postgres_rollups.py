"""Rollups in a PostgreSQL store: sums over them, and adding to them (docs/adr/0013)."""

# ruff: noqa: S608 - only names are put into the text; every value is a parameter

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from wattseal.log import queries
from wattseal.log.postgres_sql import types
from wattseal.log.rollup_port import RecordValues, RollupRow

Fetch = Callable[[str, dict[str, Any]], list[tuple[Any, ...]]]

SUPERSEDED: Final = "SELECT idx, by_idx FROM superseded WHERE idx = ANY(:numbers::bigint[])"
RECORD_VALUES_AT: Final = (
    f"SELECT {queries.columns(RecordValues)} FROM entry "
    f"WHERE idx = ANY(:numbers::bigint[]) AND {queries.IS_RECORD} ORDER BY idx"
)
_COLUMNS: Final = ", ".join(
    f":{name}::{kind}[]" for name, kind in zip(RollupRow._fields, types(RollupRow), strict=True)
)
ADD_ROLLUPS: Final = (
    f"INSERT INTO rollup ({queries.columns(RollupRow)}) SELECT * FROM unnest({_COLUMNS}) {queries.ADD_TO_ROLLUP}"
)
# The sum of bigint is numeric, and so exact beyond 64 bits.
_SUMS: Final = ", ".join(f"sum({name})" for name in queries.ROLLUP_SUMS)


def _row(level: str, values: Sequence[Any]) -> RollupRow:
    start_s, meter_no, kind, *sums = values
    return RollupRow(level, start_s, meter_no, kind, *map(int, sums))


def hour_sums(fetch: Fetch, first_idx: int, end_idx: int, max_msat_per_s: int) -> list[RollupRow]:
    """As ReadRollups has it."""
    bounds = {"first": first_idx, "end": end_idx, "max_msat_per_s": max_msat_per_s}
    return [_row("hour", values) for values in fetch(queries.HOUR_SUMS, bounds)]


def rollup_sums(
    fetch: Fetch, level: str, starts: Sequence[int], meter_nos: Sequence[int], *, by_start: bool, by_meter: bool
) -> list[RollupRow]:
    """As ReadRollups has it."""
    start, meter = "start_s" if by_start else "0", "meter_no" if by_meter else "0"
    query = (
        f"SELECT {start} AS s, {meter} AS m, kind, {_SUMS} FROM rollup WHERE level = :level "
        "AND start_s = ANY(:starts::bigint[]) AND meter_no = ANY(:meters::bigint[]) GROUP BY s, m, kind"
    )
    asked = {"level": level, "starts": list(starts), "meters": list(meter_nos)}
    return [_row(level, values) for values in fetch(query, asked)]


def columns_of(rows: Sequence[RollupRow]) -> dict[str, list[Any]]:
    """The parameters of ADD_ROLLUPS: all rows in one statement."""
    return {name: [row[place] for row in rows] for place, name in enumerate(RollupRow._fields)}
