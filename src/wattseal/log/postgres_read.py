"""One committed state of a PostgreSQL store: what log/port.py's Read promises."""

# ruff: noqa: D102 - log/port.py says what each method does

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import psycopg

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
from wattseal.log.postgres_connection import Connection
from wattseal.log.postgres_records import OVERLAPPING, WRONG_BLOCKS, choose
from wattseal.log.postgres_rollups import RECORD_VALUES_AT, SUPERSEDED, hour_sums, rollup_sums
from wattseal.log.postgres_sql import translate
from wattseal.log.rollup_port import RecordValues, RollupRow

T = TypeVar("T")

_MAX: Final = (1 << 63) - 1

# PostgreSQL's sum of bigint is numeric, and so exact beyond 64 bits.
_TOTALS: Final = f"""
    SELECT meter_no, coalesce(sum(energy_mwh), 0), coalesce(sum(export_mwh), 0)
      FROM entry WHERE {queries.IS_RECORD} AND idx >= :first AND idx <= :last AND meter_no = ANY(:meters::bigint[])
     GROUP BY meter_no ORDER BY meter_no"""  # noqa: S608 - a name of ours


def _readings(condition: str, rest: str) -> str:
    return f"SELECT {queries.columns(ReadingRow)} FROM reading WHERE {condition} {rest}"  # noqa: S608 - text of ours


_READING: Final = _readings("chain_no = :chain_no AND epoch = :epoch AND seq = :seq", "ORDER BY reading_no")
_READINGS_AFTER: Final = _readings(
    "chain_no = :chain_no AND (epoch, seq) > (:epoch, :seq)", "ORDER BY epoch, seq, reading_no LIMIT :limit"
)
_LAST_BOUNDARY: Final = (
    f"SELECT epoch, seq, reading_no FROM reading WHERE chain_no = :chain_no AND state = '{BOUNDARY}' "  # noqa: S608
    "ORDER BY epoch DESC, seq DESC, reading_no DESC LIMIT 1"
)
_TAIL: Final = _readings(
    "chain_no = :chain_no AND (epoch, seq, reading_no) >= (:epoch, :seq, :reading_no)",
    "ORDER BY epoch, seq, reading_no",
)

# By the row's own number where rows are only added: counting would read all of them. Of tiles there are few.
_COUNTS: Final = {
    "entry": queries.SIZE,
    "reading": "SELECT coalesce(max(reading_no), 0) FROM reading",
    "raw": "SELECT coalesce(max(raw_no), 0) FROM raw",
    "block": "SELECT coalesce(max(height), -1) + 1 FROM block",
    "batch": "SELECT coalesce(max(number), -1) + 1 FROM batch",
    "attestation": "SELECT coalesce(max(attestation_no), 0) FROM attestation",
    **{
        name: f"SELECT count(*) FROM {name}"  # noqa: S608 - names of ours
        for name in ("tile", "meter", "chain", "secret", "superseded", "token", "inbox", "meta")
    },
}


class PostgresRead:
    """A Read of log/port.py. Used by one thread at a time, and not after its block has ended."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._has_ended = False

    def end(self) -> None:
        """Refuse further use: the connection serves others."""
        self._has_ended = True

    def _run(self, query: str, parameters: dict[str, Any]) -> psycopg.Cursor[tuple[Any, ...]]:
        if self._has_ended:
            raise RuntimeError("this block of the store has ended")
        # psycopg prepares a statement that it has seen five times. Binary: bytes come as they are, not as digits.
        return self._connection.execute(translate(query), parameters, binary=True)

    def _fetch(self, query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._run(query, parameters).fetchall()

    def _all(self, make: Callable[[Sequence[Any]], T], query: str, **parameters: object) -> list[T]:
        return [make(row) for row in self._fetch(query, parameters)]

    def _one(self, make: Callable[[Sequence[Any]], T], query: str, **parameters: object) -> T | None:
        row = self._run(query, parameters).fetchone()
        return None if row is None else make(row)

    def _value(self, query: str, **parameters: object) -> Any:  # noqa: ANN401 - of the column's type
        row = self._run(query, parameters).fetchone()
        return None if row is None else row[0]

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
        return choose(self._fetch, chosen)

    def records_of_meter(self, meter_no: int, from_s: int, to_s: int) -> Sequence[EntryRow]:
        if from_s >= to_s:
            return []
        time = {"from_s": from_s, "to_s": to_s, "since_s": from_s - queries.LONG_S}
        return self._all(EntryRow._make, OVERLAPPING, meter_no=meter_no, **time)

    def superseded(self, idxs: Sequence[int]) -> dict[int, int]:
        return dict(self._fetch(SUPERSEDED, {"numbers": list(idxs)}))

    def disclosed_totals(
        self, first_idx: int, last_idx: int, meter_nos: frozenset[int]
    ) -> Sequence[tuple[int, int, int]]:
        if not meter_nos:
            return []
        return self._all(
            lambda row: (int(row[0]), int(row[1]), int(row[2])),
            _TOTALS,
            first=first_idx,
            last=last_idx,
            meters=sorted(meter_nos),
        )

    # --- Rollups ------------------------------------------------------------------------------------------------------

    def hour_sums(self, first_idx: int, end_idx: int, max_msat_per_s: int) -> Sequence[RollupRow]:
        return hour_sums(self._fetch, first_idx, end_idx, max_msat_per_s)

    def record_values(self, first_idx: int, end_idx: int, *, crossing: bool) -> Sequence[RecordValues]:
        query = queries.CROSSING_VALUES if crossing else queries.RECORD_VALUES
        return self._all(RecordValues._make, query, first=first_idx, end=end_idx)

    def record_values_at(self, idxs: Sequence[int]) -> Sequence[RecordValues]:
        return self._all(RecordValues._make, RECORD_VALUES_AT, numbers=list(idxs))

    def superseded_by(self, first_idx: int, end_idx: int) -> Sequence[tuple[int, int]]:
        return self._all(lambda row: (row[0], row[1]), queries.SUPERSEDED_BY, first=first_idx, end=end_idx)

    def rollup_sums(
        self, level: str, starts: Sequence[int], meter_nos: Sequence[int], *, by_start: bool, by_meter: bool
    ) -> Sequence[RollupRow]:
        return rollup_sums(self._fetch, level, starts, meter_nos, by_start=by_start, by_meter=by_meter)

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

    def reading(self, chain_no: int, epoch: int, seq: int) -> Sequence[ReadingRow]:
        return self._all(ReadingRow._make, _READING, chain_no=chain_no, epoch=epoch, seq=seq)

    def readings_after(self, chain_no: int, epoch: int, seq: int, limit: int = 100_000) -> Sequence[ReadingRow]:
        return self._all(ReadingRow._make, _READINGS_AFTER, chain_no=chain_no, epoch=epoch, seq=seq, limit=limit)

    def chain_tail(self, chain_no: int) -> Sequence[ReadingRow]:
        last = self._run(_LAST_BOUNDARY, {"chain_no": chain_no}).fetchone() or (-1, -1, -1)
        place = dict(zip(("epoch", "seq", "reading_no"), last, strict=True))
        return self._all(ReadingRow._make, _TAIL, chain_no=chain_no, **place)

    def unchained_readings(self, skip: int = 0, limit: int = 100_000) -> Sequence[ReadingRow]:
        return self._all(ReadingRow._make, queries.UNCHAINED, skip=skip, limit=limit)

    def set_aside_by_digest(self, digest: bytes) -> ReadingRow | None:
        return self._one(ReadingRow._make, queries.SET_ASIDE_BY_DIGEST, digest=digest)

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
            rows = self._all(AttestationRow._make, queries.ATTESTATIONS_OF_BATCH, batch=batch)
            return [row for row in rows if state in {None, row.state}]
        if state is not None:
            return self._all(AttestationRow._make, queries.ATTESTATIONS_IN_STATE, state=state)
        return self._all(AttestationRow._make, queries.ATTESTATIONS)

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
        # The server keeps its own indexes; only the blocks of entries are ours.
        for (block,) in self._fetch(WRONG_BLOCKS, {}):
            yield f"the times of the entries from {block * queries.BLOCK_ROWS} on are not what entry_block says of them"

    def counts(self) -> dict[str, int]:
        return {table: int(self._value(query)) for table, query in _COUNTS.items()}
