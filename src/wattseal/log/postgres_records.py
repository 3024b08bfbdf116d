"""Which records a RecordFilter chooses, in PostgreSQL's SQL, without reading many that it does not choose.

As in SQLite there are three ways: by the index of the few records with a status other than `ok`; meter by meter where
they are few; else in the order of the entries, and where a time is given only those blocks of them that hold some of
it. Each way is written so that the planner can hardly take another one: LIMIT and OFFSET keep a subquery as it stands.
"""

# ruff: noqa: S608 - only names and whole conditions are put into the text; every value is a parameter

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from wattseal.log import queries
from wattseal.log.entry_blocks import ranges
from wattseal.log.port import EntryRow, RecordFilter
from wattseal.log.queries import BLOCK_ROWS, IS_CURRENT, IS_RECORD, LONG_S

FEW_METERS: Final = 64
"""Up to so many meters are asked for one by one."""

_OK: Final = "ok"
_FOREVER: Final = (1 << 63) - 1
_ENTRY: Final = queries.columns(EntryRow)
# Said otherwise than in the partial indexes, these cannot serve: a table that nobody has analysed yet seems to have
# one record, and reading all of them by an index would seem cheap.
_IS_RECORD_BY_IDX: Final = f"schema || '' = '{queries.RECORD}'"

_METERS: Final = (
    "SELECT meter_no FROM meter WHERE site_id = coalesce(:site_id, site_id) "
    "AND iot_device_id = coalesce(:iot_device_id, iot_device_id) AND meter_id = coalesce(:meter_id, meter_id)"
)
_TIME: Final = "AND start_s >= :from_s AND start_s < :to_s"
_SCAN: Final = (
    f"SELECT {_ENTRY} FROM entry WHERE {{is_record}} AND idx >= :low AND idx < :high {{conditions}} "
    "ORDER BY idx {order} LIMIT :limit"
)
_BY_METER: Final = f"""
    SELECT {queries.columns(EntryRow, "e")} FROM (
        SELECT idx FROM unnest(:meters::bigint[]) AS m (meter_no) CROSS JOIN LATERAL (
            SELECT idx FROM entry WHERE {IS_RECORD} AND meter_no = m.meter_no AND idx >= :low AND idx < :high
                   {{conditions}} ORDER BY idx {{order}} LIMIT :limit) AS of_meter
        ORDER BY idx {{order}} LIMIT :limit) AS chosen
      JOIN entry e USING (idx) ORDER BY idx {{order}}"""
_BY_METER_AND_TIME: Final = f"""
    SELECT {queries.columns(EntryRow, "e")} FROM (
        SELECT idx FROM unnest(:meters::bigint[]) AS m (meter_no) CROSS JOIN LATERAL (
            SELECT idx FROM entry WHERE {IS_RECORD} AND meter_no = m.meter_no AND idx >= :low AND idx < :high
                   {{conditions}} OFFSET 0) AS of_meter
        ORDER BY idx {{order}} LIMIT :limit) AS chosen
      JOIN entry e USING (idx) ORDER BY idx {{order}}"""
_BLOCKS: Final = (
    f"SELECT block FROM entry_block WHERE block >= :low / {BLOCK_ROWS} AND block <= :high / {BLOCK_ROWS} "
    "AND last_s >= :from_s AND first_s < :to_s ORDER BY block {order}"
)

_IS_CURRENT: Final = IS_CURRENT.format(table="entry")
OVERLAPPING: Final = f"""
    SELECT {_ENTRY} FROM entry WHERE {IS_RECORD} AND meter_no = :meter_no AND start_s > :since_s AND start_s < :to_s
       AND end_s > :from_s AND end_s - start_s <= {LONG_S} AND {_IS_CURRENT}
    UNION ALL
    SELECT {_ENTRY} FROM entry WHERE {IS_RECORD} AND meter_no = :meter_no AND end_s > :from_s AND start_s < :to_s
       AND end_s - start_s > {LONG_S} AND {_IS_CURRENT}
    ORDER BY start_s, idx"""
"""The records of a meter that overlap a time; since_s is LONG_S before it. The long ones have an index of their own."""

BLOCKS: Final = """
    INSERT INTO entry_block AS b (block, first_s, last_s) VALUES (:block, :first_s, :last_s) ON CONFLICT (block)
    DO UPDATE SET first_s = least(b.first_s, excluded.first_s), last_s = greatest(b.last_s, excluded.last_s)"""
ALL_BLOCKS: Final = f"""
    INSERT INTO entry_block (block, first_s, last_s)
    SELECT idx / {BLOCK_ROWS}, min(start_s), max(start_s) FROM entry WHERE {IS_RECORD} GROUP BY 1"""

WRONG_BLOCKS: Final = f"""
    SELECT block FROM entry_block b FULL JOIN (
        SELECT idx / {BLOCK_ROWS} AS block, min(start_s) AS first_s, max(start_s) AS last_s
          FROM entry WHERE {IS_RECORD} GROUP BY 1) made USING (block)
     WHERE (b.first_s, b.last_s) IS DISTINCT FROM (made.first_s, made.last_s) ORDER BY block LIMIT 5"""

Fetch = Callable[[str, dict[str, Any]], Sequence[Sequence[Any]]]


def choose(fetch: Fetch, chosen: RecordFilter) -> list[EntryRow]:
    """The first `limit` records that the filter chooses; `fetch` runs a query."""
    meters = _meters(fetch, chosen)
    cursor = chosen.after_idx
    # The cursor stands before the first index that is wanted, or after the last one.
    low = 0 if chosen.newest_first else max(cursor + 1, 0)
    high = cursor if chosen.newest_first and cursor >= 0 else _FOREVER
    if chosen.limit <= 0 or low >= high or meters == []:
        return []
    has_time = chosen.from_s is not None or chosen.to_s is not None
    is_few = meters is not None and len(meters) <= FEW_METERS
    query, is_record = _SCAN, _IS_RECORD_BY_IDX
    conditions = _TIME if has_time else ""
    if chosen.status is not None:
        conditions += " AND status = :status"
    if chosen.status not in {None, _OK}:
        # The partial index is used only where the condition says what the index does.
        conditions += f" AND status <> '{_OK}'"
        is_record = IS_RECORD
    elif is_few:
        query = _BY_METER_AND_TIME if has_time else _BY_METER
    if meters is not None and query == _SCAN:
        conditions += " AND meter_no = ANY(:meters::bigint[])"
    parameters = {
        "low": low,
        "high": high,
        "limit": chosen.limit,
        "status": chosen.status,
        "meters": meters,
        "from_s": -_FOREVER if chosen.from_s is None else chosen.from_s,
        "to_s": _FOREVER if chosen.to_s is None else chosen.to_s,
    }
    order = "DESC" if chosen.newest_first else "ASC"
    text = query.format(conditions=conditions, is_record=is_record, order=order)
    if not has_time or query != _SCAN or is_record == IS_RECORD:
        return [EntryRow._make(row) for row in fetch(text, parameters)]
    found: list[EntryRow] = []
    blocks = [row[0] for row in fetch(_BLOCKS.format(order=order), parameters)]
    for first, end in ranges(blocks, BLOCK_ROWS, low, high, newest_first=chosen.newest_first):
        part = {**parameters, "low": first, "high": end, "limit": chosen.limit - len(found)}
        found += [EntryRow._make(row) for row in fetch(text, part)]
        if len(found) >= chosen.limit:
            break
    return found


def _meters(fetch: Fetch, chosen: RecordFilter) -> list[int] | None:
    """The meters that the filter allows, None for all."""
    names = {"site_id": chosen.site_id, "iot_device_id": chosen.iot_device_id, "meter_id": chosen.meter_id}
    allowed = chosen.meter_nos
    if any(name is not None for name in names.values()):
        named = {row[0] for row in fetch(_METERS, names)}
        return sorted(named if allowed is None else named & allowed)
    return None if allowed is None else sorted(allowed)
