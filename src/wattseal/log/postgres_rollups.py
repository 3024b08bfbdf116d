"""Rollups and what they are made of in a PostgreSQL store (docs/adr/0013)."""

# ruff: noqa: D102 - log/rollup_port.py says what each method does

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from wattseal.log import queries
from wattseal.log.rollup_port import RecordValues, RollupRow

ADD: Final = f"{queries.insert('rollup', RollupRow._fields)} {queries.ADD_TO_ROLLUP}"

_SUPERSEDED: Final = "SELECT idx, by_idx FROM superseded WHERE idx = ANY(:idxs::bigint[])"
_VALUES_AT: Final = (
    f"SELECT {queries.columns(RecordValues)} FROM entry "  # noqa: S608 - names of ours
    f"WHERE idx = ANY(:idxs::bigint[]) AND {queries.IS_RECORD} ORDER BY idx"
)
_SUMS: Final = ", ".join(f"sum({name})" for name in queries.ROLLUP_SUMS)


def _rollup(level: str, row: Sequence[Any]) -> RollupRow:
    """PostgreSQL's sum of bigint is numeric, and so exact beyond 64 bits."""
    start_s, meter_no, kind, *sums = row
    return RollupRow(level, start_s, meter_no, kind, *map(int, sums))


class PostgresRollups:
    """The part of a Read that log/rollup_port.py describes."""

    @abstractmethod
    def _fetch(self, query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Run a query."""

    def superseded(self, idxs: Sequence[int]) -> dict[int, int]:
        return dict(self._fetch(_SUPERSEDED, {"idxs": list(idxs)}))

    def superseded_by(self, first_idx: int, end_idx: int) -> Sequence[tuple[int, int]]:
        rows = self._fetch(queries.SUPERSEDED_BY, {"first": first_idx, "end": end_idx})
        return [(row[0], row[1]) for row in rows]

    def hour_sums(self, first_idx: int, end_idx: int, max_msat_per_s: int) -> Sequence[RollupRow]:
        bounds = {"first": first_idx, "end": end_idx, "max_msat_per_s": max_msat_per_s}
        return [_rollup("hour", row) for row in self._fetch(queries.HOUR_SUMS, bounds)]

    def record_values(self, first_idx: int, end_idx: int, *, crossing: bool) -> Sequence[RecordValues]:
        query = queries.CROSSING_VALUES if crossing else queries.RECORD_VALUES
        return [RecordValues._make(row) for row in self._fetch(query, {"first": first_idx, "end": end_idx})]

    def record_values_at(self, idxs: Sequence[int]) -> Sequence[RecordValues]:
        return [RecordValues._make(row) for row in self._fetch(_VALUES_AT, {"idxs": list(idxs)})]

    def rollup_sums(
        self, level: str, starts: Sequence[int], meter_nos: Sequence[int], *, by_start: bool, by_meter: bool
    ) -> Sequence[RollupRow]:
        if not starts or not meter_nos:
            return []
        start, meter = "start_s" if by_start else "0::bigint", "meter_no" if by_meter else "0::bigint"
        query = (
            f"SELECT {start}, {meter}, kind, {_SUMS} FROM rollup WHERE level = :level "  # noqa: S608 - names of ours
            "AND start_s = ANY(:starts::bigint[]) AND meter_no = ANY(:meters::bigint[]) GROUP BY 1, 2, 3"
        )
        parameters = {"level": level, "starts": list(starts), "meters": list(meter_nos)}
        return [_rollup(level, row) for row in self._fetch(query, parameters)]

    def rollups(self, after: tuple[str, int, int, str], limit: int) -> Sequence[RollupRow]:
        key = dict(zip(queries.ROLLUP_KEY, after, strict=True))
        return [RollupRow._make(row) for row in self._fetch(queries.ROLLUPS, {**key, "limit": limit})]
