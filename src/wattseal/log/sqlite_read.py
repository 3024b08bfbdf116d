"""One committed state of an SQLite store: what log/port.py's Read promises."""

# ruff: noqa: S608 - only names of columns are put into the text; every value is a parameter
# ruff: noqa: D102 - log/port.py says what each method does

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from wattseal.log import queries
from wattseal.log.port import (
    BOUNDARY,
    AttestationRow,
    BatchRow,
    ChainRow,
    EntryRow,
    InboxRow,
    MeterRow,
    ReadingRow,
    RecordFilter,
    SecretRow,
    TokenRow,
)
from wattseal.log.rollup_port import RecordValues, RollupRow
from wattseal.log.sqlite_index_check import check_tables
from wattseal.log.sqlite_places import RUNS
from wattseal.log.sqlite_records import FEW_METERS, RecordChoice, number_list, runs_of_records
from wattseal.log.sqlite_rollups import rollup_sums

T = TypeVar("T")

# As a list, it makes SQLite look into each run of readings instead of through all of them.
_IN_RUNS: Final = f"run IN ({', '.join(map(str, range(RUNS)))})"

_MAX: Final = (1 << 63) - 1
_FETCH: Final = 1_000

_ENTRIES_AT: Final = (
    f"SELECT {queries.columns(EntryRow)} FROM entry WHERE idx IN (SELECT value FROM json_each(:numbers))"
)
_READINGS_AT: Final = (
    f"SELECT reading_no, {queries.columns(ReadingRow)} FROM reading "
    "WHERE reading_no IN (SELECT value FROM json_each(:numbers))"
)

_OVERLAPPING: Final = f"""
    SELECT start_s, idx FROM record_span s CROSS JOIN record_place p
     WHERE p.meter_no = :meter_no AND p.span = s.span
       AND p.start_s > :from_s - (1 << s.span) AND p.start_s < :to_s AND {queries.IS_CURRENT.format(table="p")}
    UNION ALL
    SELECT start_s, idx FROM record_run n CROSS JOIN record_span s CROSS JOIN record_recent r
     WHERE r.run = n.run AND r.meter_no = :meter_no AND r.span = s.span
       AND r.start_s > :from_s - (1 << s.span) AND r.start_s < :to_s AND {queries.IS_CURRENT.format(table="r")}
    ORDER BY 1, 2"""
_SUPERSEDED: Final = "SELECT idx, by_idx FROM superseded WHERE idx IN (SELECT value FROM json_each(:numbers))"

# Each energy is below 10^15 mWh, and SQLite's sum() fails beyond 2^63: so its upper and lower bits are summed apart.
_SUMS: Final = """
    SELECT meter_no, sum(energy_mwh >> 32), sum(energy_mwh & 4294967295),
           sum(export_mwh >> 32), sum(export_mwh & 4294967295)
      FROM entry {where} AND {is_record} GROUP BY meter_no ORDER BY meter_no"""
_SUMS_OF_RANGE: Final = _SUMS.format(
    where="NOT INDEXED WHERE idx BETWEEN :first AND :last AND meter_no IN (SELECT value FROM json_each(:meters))",
    is_record=queries.IS_RECORD,
)
_SUMS_OF_FEW: Final = _SUMS.format(
    where="""WHERE idx IN (
        SELECT idx FROM json_each(:meters) m CROSS JOIN record_order o
         WHERE o.meter_no = m.value AND o.idx BETWEEN :first AND :last
        UNION ALL
        SELECT idx FROM json_each(:runs) n CROSS JOIN json_each(:meters) m CROSS JOIN record_recent r
         WHERE r.run = n.value AND r.meter_no = m.value AND r.idx BETWEEN :first AND :last)""",
    is_record=queries.IS_RECORD,
)


_RECORD_VALUES_AT: Final = (
    f"SELECT {queries.columns(RecordValues)} FROM entry WHERE idx IN (SELECT value FROM json_each(:numbers)) "
    f"AND {queries.IS_RECORD} ORDER BY idx"
)


def _in_chain(condition: str, rest: str, fields: str = "epoch, seq, reading_no") -> str:
    """A query over the places of one chain's readings, both the sorted and the recent ones."""
    return (
        f"SELECT {fields} FROM reading_place WHERE chain_no = :chain_no AND {condition} UNION ALL "
        f"SELECT {fields} FROM reading_recent WHERE {_IN_RUNS} AND chain_no = :chain_no AND {condition} {rest}"
    )


_READING: Final = _in_chain("epoch = :epoch AND seq = :seq", "ORDER BY 1", "reading_no")
_READINGS_AFTER: Final = _in_chain("(epoch, seq) > (:epoch, :seq)", "ORDER BY 1, 2, 3 LIMIT :limit")
_READINGS_BEFORE: Final = _in_chain(
    "(epoch, seq, reading_no) < (:epoch, :seq, :reading_no)", "ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT :limit"
)

# By the row's own number where rows are only added: counting would read all of them.
_COUNTS: Final = {
    "entry": queries.SIZE,
    "reading": "SELECT coalesce(max(reading_no), 0) FROM reading",
    "tile": "SELECT coalesce(max(rowid), 0) FROM tile",
    "raw": "SELECT coalesce(max(raw_no), 0) FROM raw",
    "block": "SELECT coalesce(max(height), -1) + 1 FROM block",
    "batch": "SELECT coalesce(max(number), -1) + 1 FROM batch",
    "attestation": "SELECT coalesce(max(attestation_no), 0) FROM attestation",
    **{
        name: f"SELECT count(*) FROM {name}"
        for name in ("meter", "chain", "secret", "superseded", "token", "inbox", "meta")
    },
}


def _reading(row: Sequence[Any]) -> ReadingRow:
    return ReadingRow._make((*row[:-1], bool(row[-1])))


def _attestation(row: Sequence[Any]) -> AttestationRow:
    made = AttestationRow._make(row)
    return made._replace(simulated=bool(made.simulated))


class SqliteRead:
    """A Read of log/port.py. Used by one thread at a time, and not after its block has ended."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._has_ended = False

    def end(self) -> None:
        """Refuse further use: the connection serves others."""
        self._has_ended = True

    def _run(self, query: str, parameters: dict[str, Any] | Sequence[Any] = ()) -> sqlite3.Cursor:
        if self._has_ended:
            raise RuntimeError("this block of the store has ended")
        return self._connection.execute(query, parameters)

    def _all(self, make: Callable[[Sequence[Any]], T], query: str, **parameters: object) -> list[T]:
        return [make(row) for row in self._run(query, parameters).fetchall()]

    def _one(self, make: Callable[[Sequence[Any]], T], query: str, **parameters: object) -> T | None:
        row = self._run(query, parameters).fetchone()
        return None if row is None else make(row)

    def _value(self, query: str, **parameters: object) -> Any:  # noqa: ANN401 - of the column's type
        row = self._run(query, parameters).fetchone()
        return None if row is None else row[0]

    def _in_order(self, query: str, numbers: Sequence[int]) -> Iterable[Sequence[Any]]:
        """The rows with these numbers, in the order of the numbers; `query` gives the number first."""
        for start in range(0, len(numbers), _FETCH):
            part = numbers[start : start + _FETCH]
            found = {row[0]: row for row in self._run(query, {"numbers": number_list(part)}).fetchall()}
            if len(found) < len(part):
                lost = next(number for number in part if number not in found)
                raise LookupError(f"the store's index names row {lost}, which is missing: run `wattseal fsck`")
            yield from (found[number] for number in part)

    # --- Entries and tiles --------------------------------------------------------------------------------------------

    def meta(self, key: str) -> bytes | None:
        value: bytes | None = self._value(queries.META, key=key)
        return value

    def size(self) -> int:
        return int(self._value(queries.SIZE))

    def tile(self, level: int, n: int) -> bytes | None:
        value: bytes | None = self._value(queries.TILE, level=level, n=n)
        return value

    def entries(self, first: int, count: int) -> Sequence[EntryRow]:
        return self._all(EntryRow._make, queries.ENTRIES, first=first, end=first + count)

    def entry_by_id(self, entry_id: bytes) -> EntryRow | None:
        return self._one(EntryRow._make, queries.ENTRY_BY_ID, entry_id=entry_id)

    def entries_of_schema(self, schema: str, after_idx: int = -1, limit: int = 100_000) -> Sequence[EntryRow]:
        if schema == queries.RECORD:
            raise ValueError("records are many: ask records() or records_of_meter()")
        return self._all(EntryRow._make, queries.ENTRIES_OF_SCHEMA, schema=schema, after=after_idx, limit=limit)

    def records(self, chosen: RecordFilter) -> Sequence[EntryRow]:
        return RecordChoice(self._run, self._entries_at, self.size(), chosen).rows()

    def _entries_at(self, indexes: Sequence[int]) -> list[EntryRow]:
        return [EntryRow._make(row) for row in self._in_order(_ENTRIES_AT, indexes)]

    def records_of_meter(self, meter_no: int, from_s: int, to_s: int) -> Sequence[EntryRow]:
        if from_s >= to_s:
            return []
        keys = self._run(_OVERLAPPING, {"meter_no": meter_no, "from_s": from_s, "to_s": to_s}).fetchall()
        rows = self._entries_at([idx for _, idx in keys])
        return [row for row in rows if row.end_s is not None and row.end_s > from_s]

    def superseded(self, idxs: Sequence[int]) -> dict[int, int]:
        return dict(self._run(_SUPERSEDED, {"numbers": number_list(idxs)}).fetchall())

    def disclosed_totals(
        self, first_idx: int, last_idx: int, meter_nos: frozenset[int]
    ) -> Sequence[tuple[int, int, int]]:
        if not meter_nos:
            return []
        parameters: dict[str, Any] = {"first": first_idx, "last": last_idx, "meters": number_list(sorted(meter_nos))}
        query = _SUMS_OF_RANGE
        if len(meter_nos) <= FEW_METERS:
            query = _SUMS_OF_FEW
            parameters["runs"] = number_list(runs_of_records(self._run, first_idx, last_idx + 1))
        return [
            (meter_no, (energy_high << 32) + energy_low, (export_high << 32) + export_low)
            for meter_no, energy_high, energy_low, export_high, export_low in self._run(query, parameters).fetchall()
        ]

    # --- Rollups ------------------------------------------------------------------------------------------------------

    def hour_sums(self, first_idx: int, end_idx: int, max_msat_per_s: int) -> Sequence[RollupRow]:
        bounds = {"first": first_idx, "end": end_idx, "max_msat_per_s": max_msat_per_s}
        return [RollupRow._make(("hour", *row)) for row in self._run(queries.HOUR_SUMS, bounds).fetchall()]

    def record_values(self, first_idx: int, end_idx: int, *, crossing: bool) -> Sequence[RecordValues]:
        query = queries.CROSSING_VALUES if crossing else queries.RECORD_VALUES
        return self._all(RecordValues._make, query, first=first_idx, end=end_idx)

    def record_values_at(self, idxs: Sequence[int]) -> Sequence[RecordValues]:
        return self._all(RecordValues._make, _RECORD_VALUES_AT, numbers=number_list(idxs))

    def superseded_by(self, first_idx: int, end_idx: int) -> Sequence[tuple[int, int]]:
        return self._all(lambda row: (row[0], row[1]), queries.SUPERSEDED_BY, first=first_idx, end=end_idx)

    def rollup_sums(
        self, level: str, starts: Sequence[int], meter_nos: Sequence[int], *, by_start: bool, by_meter: bool
    ) -> Sequence[RollupRow]:
        return rollup_sums(self._run, level, starts, meter_nos, by_start=by_start, by_meter=by_meter)

    def rollups(self, after: tuple[str, int, int, str], limit: int) -> Sequence[RollupRow]:
        key = dict(zip(queries.ROLLUP_KEY, after, strict=True))
        return self._all(RollupRow._make, queries.ROLLUPS, **key, limit=limit)

    # --- Bytes of entries ---------------------------------------------------------------------------------------------

    def raw(self, idx: int) -> tuple[bytes, str] | None:
        return self._one(lambda row: (row[0], row[1]), queries.RAW, idx=idx)

    # --- Meters and readings ------------------------------------------------------------------------------------------

    def meters(self) -> Sequence[MeterRow]:
        return self._all(MeterRow._make, queries.METERS)

    def chains(self) -> Sequence[ChainRow]:
        return self._all(ChainRow._make, queries.CHAINS)

    def secrets(self) -> Sequence[SecretRow]:
        return self._all(SecretRow._make, queries.SECRETS)

    def _readings_at(self, numbers: Sequence[int]) -> list[ReadingRow]:
        return [_reading(row[1:]) for row in self._in_order(_READINGS_AT, numbers)]

    def _numbers_at(self, chain_no: int, epoch: int, seq: int) -> list[int]:
        return self._all(lambda row: int(row[0]), _READING, chain_no=chain_no, epoch=epoch, seq=seq)

    def reading(self, chain_no: int, epoch: int, seq: int) -> Sequence[ReadingRow]:
        return self._readings_at(self._numbers_at(chain_no, epoch, seq))

    def readings_after(self, chain_no: int, epoch: int, seq: int, limit: int = 100_000) -> Sequence[ReadingRow]:
        place = {"chain_no": chain_no, "epoch": epoch, "seq": seq, "limit": limit}
        return self._readings_at([number for _, _, number in self._run(_READINGS_AFTER, place).fetchall()])

    def chain_tail(self, chain_no: int) -> Sequence[ReadingRow]:
        found: list[ReadingRow] = []  # the last one first
        place = {"epoch": _MAX, "seq": _MAX, "reading_no": _MAX}
        limit = 16
        while True:
            keys = self._run(_READINGS_BEFORE, {"chain_no": chain_no, "limit": limit, **place}).fetchall()
            for row in self._readings_at([number for _, _, number in keys]):
                found.append(row)
                if row.state == BOUNDARY:
                    return found[::-1]
            if len(keys) < limit:
                return found[::-1]
            place = dict(zip(place, keys[-1], strict=True))
            limit = min(2 * limit, _FETCH)

    def unchained_readings(self, skip: int = 0, limit: int = 100_000) -> Sequence[ReadingRow]:
        return self._all(_reading, queries.UNCHAINED, skip=skip, limit=limit)

    def set_aside_by_digest(self, digest: bytes) -> ReadingRow | None:
        return self._one(_reading, queries.SET_ASIDE_BY_DIGEST, digest=digest)

    # --- Batches and attestations -------------------------------------------------------------------------------------

    def batches(self, after: int = -1, limit: int = 100, *, newest_first: bool = False) -> Sequence[BatchRow]:
        if newest_first:
            before = after if after >= 0 else _MAX
            return self._all(BatchRow._make, queries.BATCHES_BEFORE, before=before, limit=limit)
        return self._all(BatchRow._make, queries.BATCHES_AFTER, after=after, limit=limit)

    def batch(self, number: int) -> BatchRow | None:
        return self._one(BatchRow._make, queries.BATCH, number=number)

    def batch_of_index(self, idx: int) -> BatchRow | None:
        row = self._one(BatchRow._make, queries.BATCH_OF_INDEX, idx=idx)
        return row if row is not None and row.first_idx <= idx else None

    def attestations(self, batch: int | None = None, state: str | None = None) -> Sequence[AttestationRow]:
        if batch is not None:
            rows = self._all(_attestation, queries.ATTESTATIONS_OF_BATCH, batch=batch)
            return [row for row in rows if state in {None, row.state}]
        if state is not None:
            return self._all(_attestation, queries.ATTESTATIONS_IN_STATE, state=state)
        return self._all(_attestation, queries.ATTESTATIONS)

    def blocks(self) -> Sequence[bytes]:
        return self._all(lambda row: bytes(row[0]), queries.BLOCKS)

    # --- Access -------------------------------------------------------------------------------------------------------

    def token(self, token_hash: bytes) -> TokenRow | None:
        return self._one(TokenRow._make, queries.TOKEN, token_hash=token_hash)

    def tokens(self) -> Sequence[TokenRow]:
        return self._all(TokenRow._make, queries.TOKENS)

    def inbox(self, limit: int = 100) -> Sequence[InboxRow]:
        return self._all(InboxRow._make, queries.INBOX, limit=limit)

    def check_indexes(self) -> Iterable[str]:
        self._run("SELECT 1")
        return check_tables(self._connection)

    def counts(self) -> dict[str, int]:
        return {table: int(self._value(query)) for table, query in _COUNTS.items()}
