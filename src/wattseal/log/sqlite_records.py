"""Which records a RecordFilter chooses, found without reading many that it does not choose.

There are three ways, by what the filter says: the few records with a status other than `ok` have an index; those of a
few meters are found by meter (docs/adr/0010); else entries are read in their order, and where a time is given only
those blocks of them that hold some of that time.
"""

# ruff: noqa: S608 - only names and whole conditions are put into the text; every value is a parameter

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from wattseal.log import queries
from wattseal.log.entry_blocks import ranges
from wattseal.log.port import EntryRow, RecordFilter
from wattseal.log.queries import BLOCK_ROWS

FEW_METERS: Final = 64
"""Up to so many meters are asked for one by one."""
OK: Final = "ok"

_FOREVER: Final = (1 << 63) - 1

_METERS: Final = (
    "SELECT meter_no FROM meter WHERE site_id = coalesce(:site_id, site_id) "
    "AND iot_device_id = coalesce(:iot_device_id, iot_device_id) AND meter_id = coalesce(:meter_id, meter_id)"
)
_IN_METERS: Final = "AND meter_no IN (SELECT value FROM json_each(:meters))"
_SCAN: Final = (
    f"SELECT {queries.columns(EntryRow)} FROM entry {{index}} WHERE {{status}} {queries.IS_RECORD} "
    "AND idx >= :low AND idx < :high AND start_s >= :from_s AND start_s < :to_s {meters} "
    "ORDER BY idx {order} LIMIT :limit"
)
_BLOCKS: Final = (
    "SELECT block FROM entry_block WHERE block >= :low AND block <= :high AND last_s >= :from_s AND first_s < :to_s "
    "ORDER BY block {order}"
)
_IN_TIME: Final = """
    SELECT idx FROM json_each(:meters) m CROSS JOIN record_span s CROSS JOIN record_place p
     WHERE p.meter_no = m.value AND p.span = s.span AND p.start_s >= :from_s AND p.start_s < :to_s
       AND p.idx >= :low AND p.idx < :high
    UNION ALL
    SELECT idx FROM json_each(:runs) n CROSS JOIN json_each(:meters) m CROSS JOIN record_span s
      CROSS JOIN record_recent r
     WHERE r.run = n.value AND r.meter_no = m.value AND r.span = s.span AND r.start_s >= :from_s AND r.start_s < :to_s
       AND r.idx >= :low AND r.idx < :high
    ORDER BY 1 {order} LIMIT :limit"""
_SORTED: Final = (
    "SELECT idx FROM record_order WHERE meter_no = :meter_no AND idx >= :low AND idx < :high "
    "ORDER BY idx {order} LIMIT :limit"
)
_RECENT: Final = (
    "SELECT idx FROM json_each(:meters) m CROSS JOIN record_recent r WHERE r.run = :run AND r.meter_no = m.value "
    "AND r.idx >= :low AND r.idx < :high ORDER BY 1 {order} LIMIT :limit"
)

Run = Callable[[str, dict[str, Any]], sqlite3.Cursor]
EntriesAt = Callable[[Sequence[int]], list[EntryRow]]


def number_list(numbers: Sequence[int]) -> str:
    """Numbers as one parameter, for json_each."""
    return f"[{', '.join(map(str, numbers))}]"


def runs_of_records(run: Run, low: int, high: int) -> list[int]:
    """The runs of recent records, in order, that may hold an index from low to high − 1."""
    runs = run("SELECT run, first_idx FROM record_run ORDER BY run", {}).fetchall()
    ends = [*(first_idx for _, first_idx in runs[1:]), _FOREVER]
    return [number for (number, first_idx), end in zip(runs, ends, strict=False) if first_idx < high and end > low]


class RecordChoice:
    """The records that one filter chooses out of `size` entries; `run` runs a query."""

    def __init__(self, run: Run, entries_at: EntriesAt, size: int, chosen: RecordFilter) -> None:
        self._run = run
        self._entries_at = entries_at
        self._chosen = chosen
        self._newest_first = chosen.newest_first
        self._order = "DESC" if chosen.newest_first else "ASC"
        # The cursor stands before the first index that is wanted, or after the last one.
        cursor = chosen.after_idx
        self._low = 0 if chosen.newest_first else max(cursor + 1, 0)
        self._high = min(cursor, size) if chosen.newest_first and cursor >= 0 else size
        self._time = {
            "from_s": -_FOREVER if chosen.from_s is None else chosen.from_s,
            "to_s": _FOREVER if chosen.to_s is None else chosen.to_s,
        }

    def rows(self) -> list[EntryRow]:
        """The first `limit` of them."""
        meters = self._meters()
        if self._chosen.limit <= 0 or self._low >= self._high or meters == []:
            return []
        if self._chosen.status not in {None, OK}:
            return self._scan(self._low, self._high, self._chosen.limit, meters, index="INDEXED BY entry_status")
        if meters is not None and len(meters) <= FEW_METERS:
            return self._of_few(meters)
        return self._of_many(meters)

    @property
    def _has_time(self) -> bool:
        return self._chosen.from_s is not None or self._chosen.to_s is not None

    def _meters(self) -> list[int] | None:
        """The meters that the filter allows, None for all."""
        names = {
            "site_id": self._chosen.site_id,
            "iot_device_id": self._chosen.iot_device_id,
            "meter_id": self._chosen.meter_id,
        }
        allowed = self._chosen.meter_nos
        if any(name is not None for name in names.values()):
            named = {row[0] for row in self._run(_METERS, names).fetchall()}
            return sorted(named if allowed is None else named & allowed)
        return None if allowed is None else sorted(allowed)

    def _scan(
        self, low: int, high: int, limit: int, meters: list[int] | None, index: str = "NOT INDEXED"
    ) -> list[EntryRow]:
        status = self._chosen.status
        conditions = {None: "", OK: "status = :status AND"}
        query = _SCAN.format(
            index=index,
            # SQLite uses the partial index only where the condition says what the index does.
            status=conditions.get(status, f"status = :status AND status <> '{OK}' AND"),
            meters="" if meters is None else _IN_METERS,
            order=self._order,
        )
        parameters = {"low": low, "high": high, "limit": limit, "status": status, **self._time}
        if meters is not None:
            parameters["meters"] = number_list(meters)
        return [EntryRow._make(row) for row in self._run(query, parameters).fetchall()]

    def _of_many(self, meters: list[int] | None) -> list[EntryRow]:
        if not self._has_time:
            return self._scan(self._low, self._high, self._chosen.limit, meters)
        found: list[EntryRow] = []
        for low, high in self._ranges():
            found += self._scan(low, high, self._chosen.limit - len(found), meters)
            if len(found) >= self._chosen.limit:
                break
        return found

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """The ranges of indexes, in the order of the answer, outside which no record lies in the time."""
        ends = {"low": self._low // BLOCK_ROWS, "high": (self._high - 1) // BLOCK_ROWS}
        blocks = [row[0] for row in self._run(_BLOCKS.format(order=self._order), {**ends, **self._time}).fetchall()]
        yield from ranges(blocks, BLOCK_ROWS, self._low, self._high, newest_first=self._newest_first)

    def _of_few(self, meters: list[int]) -> list[EntryRow]:
        limit = self._chosen.limit
        found: list[EntryRow] = []
        low, high = self._low, self._high
        while True:
            indexes = self._indexes(meters, low, high, limit)
            found += [row for row in self._entries_at(indexes) if self._chosen.status in {None, row.status}]
            if len(indexes) < limit or len(found) >= limit:
                return found[:limit]
            if self._newest_first:
                high = indexes[-1]
            else:
                low = indexes[-1] + 1

    def _indexes(self, meters: list[int], low: int, high: int, limit: int) -> list[int]:
        """The indexes of up to `limit` records of these meters, in the order of the answer."""
        runs = runs_of_records(self._run, low, high)
        if self._has_time:
            parameters = {"meters": number_list(meters), "runs": number_list(runs), "low": low, "high": high}
            return self._numbers(_IN_TIME, {**parameters, "limit": limit, **self._time})
        # All sorted records come before all recent ones, and these run by run.
        parts: list[int | None] = [None, *runs]
        found: list[int] = []
        for part in reversed(parts) if self._newest_first else parts:
            if len(found) >= limit:
                break
            found += self._indexes_of(part, meters, {"low": low, "high": high, "limit": limit - len(found)})
        return found

    def _indexes_of(self, part: int | None, meters: list[int], bounds: dict[str, int]) -> list[int]:
        """Those in a run, or among the sorted if it is None."""
        if part is not None:
            return self._numbers(_RECENT, {"run": part, "meters": number_list(meters), **bounds})
        found = [self._numbers(_SORTED, {"meter_no": meter_no, **bounds}) for meter_no in meters]
        return list(heapq.merge(*found, reverse=self._newest_first))[: bounds["limit"]]

    def _numbers(self, query: str, parameters: dict[str, Any]) -> list[int]:
        return [row[0] for row in self._run(query.format(order=self._order), parameters).fetchall()]
