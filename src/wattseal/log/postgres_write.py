"""The writer's transaction on a PostgreSQL store: what log/port.py's Write promises."""

# ruff: noqa: D102 - log/port.py says what each method does

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg

from wattseal.log import queries
from wattseal.log.port import (
    AttestationRow,
    BatchRow,
    EntryRow,
    InboxRow,
    ReadingRow,
    StoreConflict,
    TokenRow,
)
from wattseal.log.postgres_connection import Connection
from wattseal.log.postgres_read import PostgresRead
from wattseal.log.postgres_records import BLOCKS
from wattseal.log.postgres_rollups import ADD
from wattseal.log.postgres_sql import copy_rows, translate, types
from wattseal.log.rollup_port import RollupRow

CALLERS_ERRORS: Final = (psycopg.IntegrityError, psycopg.DataError)
"""What the caller gave does not fit: a row that is there, a number beyond 64 bits, a text with a NUL."""

_ENTRY_COLUMNS: Final = queries.columns(EntryRow)
_ENTRY_TYPES: Final = types(EntryRow)
_READING_COLUMNS: Final = f"reading_no, {queries.columns(ReadingRow)}"
_READING_TYPES: Final = ["int8", *types(ReadingRow)]
_ADD_BATCH: Final = queries.insert("batch", BatchRow._fields)
_ADD_ATTESTATION: Final = queries.insert("attestation", AttestationRow._fields)
_ADD_TOKEN: Final = queries.insert("token", TokenRow._fields)
_ADD_INBOX: Final = queries.insert("inbox", ("inbox_no", *InboxRow._fields))
_ADD_METER: Final = queries.insert("meter", ("meter_no", "site_id", "iot_device_id", "meter_id"))
_ADD_CHAIN: Final = queries.insert("chain", ("chain_no", "kid", "meter_no"))
_ADD_SECRET: Final = queries.insert("secret", ("secret_no", "meter_no", "from_s", "to_s", "secret"))
_READING_AT: Final = (
    "SELECT reading_no FROM reading "
    "WHERE chain_no = :chain_no AND epoch = :epoch AND seq = :seq AND digest = :digest ORDER BY reading_no"
)


@dataclass(slots=True)
class Ends:
    """Where the next rows go. A transaction works on a copy, which counts when it is committed."""

    size: int
    """Number of entries."""
    readings: int
    """The highest reading_no."""
    raws: int
    """The highest raw_no."""


def load_ends(connection: Connection) -> Ends:
    """The ends as the database holds them."""
    read = PostgresRead(connection)
    counts = read.counts()
    return Ends(counts["entry"], counts["reading"], counts["raw"])


class PostgresWrite(PostgresRead):
    """A Write of log/port.py. `ends` are the committed ones; this works on a copy, which the store takes over."""

    def __init__(self, connection: Connection, ends: Ends) -> None:
        super().__init__(connection)
        self.ends = replace(ends)
        self.failure: BaseException | None = None
        """The first error of a method. The server has given the transaction up, so it cannot succeed."""

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Around all that writes."""
        if self._has_ended:
            raise RuntimeError("this block of the store has ended")
        self._check()
        try:
            yield
        except CALLERS_ERRORS as error:
            self.failure = StoreConflict(str(error))
            raise self.failure from error
        except BaseException as error:
            self.failure = error
            raise

    def _check(self) -> None:
        if self.failure is not None:
            raise RuntimeError("this transaction has failed and will be undone") from self.failure

    def _run(self, query: str, parameters: dict[str, Any]) -> psycopg.Cursor[tuple[Any, ...]]:
        self._check()
        try:
            return super()._run(query, parameters)
        except CALLERS_ERRORS:
            raise
        except psycopg.Error as error:
            self.failure = error
            raise

    def _copy(self, table: str, columns: str, column_types: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        copy_rows(self._connection, table, columns, column_types, rows)

    def _change(self, query: str, what: str, **parameters: object) -> None:
        """Change one row; LookupError if there is none."""
        with self._step():
            changed = self._run(query, parameters).rowcount
        if changed != 1:
            raise LookupError(f"there is no such {what}")

    def _add(self, query: str, numbered: str, **parameters: object) -> int:
        """Add one row under the next number of `table.column`, and return the number."""
        table, column = numbered.split(".")
        with self._step():
            next_number = int(self._value(queries.next_number(table, column)))
            self._run(query, {column: next_number, **parameters})
        return next_number

    def put_meta(self, key: str, value: bytes) -> None:
        with self._step():
            self._run(queries.PUT_META, {"key": key, "value": value})

    # --- Entries and tiles --------------------------------------------------------------------------------------------

    def add_entries(self, rows: Sequence[EntryRow]) -> None:
        first = self.ends.size
        if [row[0] for row in rows] != list(range(first, first + len(rows))):
            raise ValueError(f"entries must be added in index order, and the next index is {first}")
        with self._step():
            self._copy("entry", _ENTRY_COLUMNS, _ENTRY_TYPES, rows)
            self._note_blocks(rows)
        self.ends.size += len(rows)

    def _note_blocks(self, rows: Sequence[EntryRow]) -> None:
        blocks: dict[int, list[int]] = {}
        for row in rows:
            if row.schema == queries.RECORD and row.start_s is not None:
                blocks.setdefault(row.idx // queries.BLOCK_ROWS, []).append(row.start_s)
        for block, starts in blocks.items():
            self._run(BLOCKS, {"block": block, "first_s": min(starts), "last_s": max(starts)})

    def mark_superseded(self, rows: Sequence[tuple[int, int]]) -> None:
        with self._step():
            self._copy("superseded", "idx, by_idx", ["int8", "int8"], rows)

    def add_rollups(self, rows: Sequence[RollupRow]) -> None:
        with self._step(), self._connection.cursor() as cursor:
            cursor.executemany(translate(ADD), [row._asdict() for row in rows])

    def clear_rollups(self) -> None:
        with self._step():
            self._run(queries.CLEAR_ROLLUPS, {})

    def put_tiles(self, tiles: Iterable[tuple[int, int, bytes]]) -> None:
        rows = [{"level": level, "n": n, "data": data} for level, n, data in tiles]
        with self._step(), self._connection.cursor() as cursor:
            # All of them are sent before the first answer is awaited.
            cursor.executemany(translate(queries.PUT_TILE), rows)

    def add_raw(self, rows: Sequence[tuple[int, bytes, str]]) -> None:
        with self._step():
            numbered = ((number, *row) for number, row in enumerate(rows, self.ends.raws + 1))
            self._copy("raw", "raw_no, idx, data, note", ["int8", "int8", "bytea", "text"], numbered)
        self.ends.raws += len(rows)

    # --- Meters and readings ------------------------------------------------------------------------------------------

    def add_meter(self, site_id: str, iot_device_id: str, meter_id: str) -> int:
        return self._add(_ADD_METER, "meter.meter_no", site_id=site_id, iot_device_id=iot_device_id, meter_id=meter_id)

    def add_chain(self, kid: bytes, meter_no: int) -> int:
        return self._add(_ADD_CHAIN, "chain.chain_no", kid=kid, meter_no=meter_no)

    def add_secret(self, meter_no: int | None, from_s: int, to_s: int | None, secret: bytes) -> int:
        return self._add(_ADD_SECRET, "secret.secret_no", meter_no=meter_no, from_s=from_s, to_s=to_s, secret=secret)

    def add_readings(self, rows: Sequence[ReadingRow]) -> None:
        with self._step():
            numbered = ((number, *row) for number, row in enumerate(rows, self.ends.readings + 1))
            self._copy("reading", _READING_COLUMNS, _READING_TYPES, numbered)
        self.ends.readings += len(rows)

    def set_reading_state(
        self, digest: bytes, chain_no: int, epoch: int, seq: int, state: str, *, bridged: bool
    ) -> None:
        place = {"chain_no": chain_no, "epoch": epoch, "seq": seq, "digest": digest}
        found = [row[0] for row in self._fetch(_READING_AT, place)]
        if not found:
            raise LookupError("there is no such reading")
        with self._step():
            for number in found:
                self._run(queries.SET_READING_STATE, {"reading_no": number, "state": state, "bridged": bridged})

    # --- Batches and attestations -------------------------------------------------------------------------------------

    def add_batch(self, row: BatchRow) -> None:
        with self._step():
            self._run(_ADD_BATCH, row._asdict())

    def set_checkpoint(self, number: int, checkpoint: str) -> None:
        self._change(queries.SET_CHECKPOINT, "batch", number=number, checkpoint=checkpoint)

    def add_attestation(self, row: AttestationRow) -> int:
        values = row._asdict()
        del values["attestation_no"]
        return self._add(_ADD_ATTESTATION, "attestation.attestation_no", **values)

    def set_attestation(self, row: AttestationRow) -> None:
        self._change(queries.SET_ATTESTATION, "attestation", **row._asdict())

    def put_blocks(self, first_height: int, blocks: Sequence[bytes]) -> None:
        height = int(self._value("SELECT coalesce(max(height), -1) + 1 FROM block"))
        if first_height != height:
            raise ValueError(f"blocks must be added in order, and the next height is {height}, not {first_height}")
        with self._step():
            self._copy("block", "height, data", ["int8", "bytea"], enumerate(blocks, height))

    # --- Access -------------------------------------------------------------------------------------------------------

    def add_token(self, row: TokenRow) -> None:
        with self._step():
            self._run(_ADD_TOKEN, row._asdict())

    def revoke_token(self, token_hash: bytes, revoked_s: int) -> None:
        self._change(queries.REVOKE_TOKEN, "token", token_hash=token_hash, revoked_s=revoked_s)

    def add_inbox(self, row: InboxRow, *, keep: int) -> None:
        self._add(_ADD_INBOX, "inbox.inbox_no", **row._asdict())
        with self._step():
            self._run(queries.TRIM_INBOX, {"keep": keep})
