"""Rollups in an SQLite store: sums over them, and adding to them (docs/adr/0013)."""

# ruff: noqa: S608 - only names and whole conditions are put into the text; every value is a parameter

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import Any, Final

from wattseal.log import queries
from wattseal.log.rollup_port import RollupRow
from wattseal.log.sqlite_records import number_list

CHUNK: Final = 256
"""Rows in one statement, as in log/sqlite_places.py."""
_DENSE: Final = 2
"""Meters whose numbers fill their range by half are read in one go for each start, the others one by one."""

_ONE_BY_ONE: Final = "CROSS JOIN json_each(:meters) m CROSS JOIN rollup r WHERE r.meter_no = m.value"
_IN_ONE_GO: Final = (
    "CROSS JOIN rollup r WHERE r.meter_no BETWEEN :low AND :high "
    "AND r.meter_no IN (SELECT value FROM json_each(:meters))"
)
_MANY: Final = ("energy_mwh", "export_mwh", "priced_mwh", "amount_msat")
# SQLite's sum() fails beyond 2^63: so the upper and lower bits are summed apart.
_HALVES: Final = ", ".join(f"sum(r.{name} >> 32), sum(r.{name} & 4294967295)" for name in _MANY)

Run = Callable[[str, dict[str, Any] | Sequence[Any]], sqlite3.Cursor]


def rollup_sums(
    run: Run, level: str, starts: Sequence[int], meter_nos: Sequence[int], *, by_start: bool, by_meter: bool
) -> list[RollupRow]:
    """As ReadRollups has it."""
    if not starts or not meter_nos:
        return []
    low, high = min(meter_nos), max(meter_nos)
    is_dense = len(meter_nos) * _DENSE > high - low
    start, meter = "r.start_s" if by_start else "0", "r.meter_no" if by_meter else "0"
    query = (
        f"SELECT {start}, {meter}, kind, sum(r.records), sum(r.covered_s), sum(r.estimated_s), {_HALVES} "
        f"FROM json_each(:starts) t {_IN_ONE_GO if is_dense else _ONE_BY_ONE} "
        "AND r.level = :level AND r.start_s = t.value GROUP BY 1, 2, 3"
    )
    parameters: dict[str, Any] = {
        "level": level,
        "starts": number_list(starts),
        "meters": number_list(meter_nos),
    }
    if is_dense:
        parameters |= {"low": low, "high": high}
    found = []
    for *head, e_high, e_low, x_high, x_low, p_high, p_low, a_high, a_low in run(query, parameters).fetchall():
        sums = ((e_high, e_low), (x_high, x_low), (p_high, p_low), (a_high, a_low))
        found.append(RollupRow(level, *head, *((upper << 32) + lower for upper, lower in sums)))
    return found


def add_rollups(run: Run, rows: Iterable[RollupRow]) -> None:
    """As WriteRollups has it."""
    source = iter(rows)
    while part := list(islice(source, CHUNK)):
        marks = f"({', '.join('?' * len(RollupRow._fields))})"
        values = ", ".join([marks] * len(part))
        run(
            f"INSERT INTO rollup ({queries.columns(RollupRow)}) VALUES {values} {queries.ADD_TO_ROLLUP}",
            tuple(chain.from_iterable(part)),
        )
