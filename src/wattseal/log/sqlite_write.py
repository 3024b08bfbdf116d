"""The writer's transaction on an SQLite store: what log/port.py's Write promises."""

# ruff: noqa: D102 - log/port.py says what each method does

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

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
from wattseal.log.rollup_port import RollupRow
from wattseal.log.sqlite_places import Edge, insert_rows, note_readings, note_records
from wattseal.log.sqlite_read import SqliteRead
from wattseal.log.sqlite_rollups import add_rollups

_ROW_BYTES: Final = 512
"""About what a row takes beside its bytes, with its share of indexes."""
_ROLLUP_BYTES: Final = 128
_ENTRY_COLUMNS: Final = queries.columns(EntryRow)
_READING_COLUMNS: Final = f"reading_no, {queries.columns(ReadingRow)}"
_ADD_BATCH: Final = queries.insert("batch", BatchRow._fields)
_ADD_ATTESTATION: Final = queries.insert("attestation", AttestationRow._fields)
_ADD_TOKEN: Final = queries.insert("token", TokenRow._fields)
_ADD_INBOX: Final = queries.insert("inbox", ("inbox_no", *InboxRow._fields))
_ADD_METER: Final = queries.insert("meter", ("meter_no", "site_id", "iot_device_id", "meter_id"))
_ADD_CHAIN: Final = queries.insert("chain", ("chain_no", "kid", "meter_no"))
_ADD_SECRET: Final = queries.insert("secret", ("secret_no", "meter_no", "from_s", "to_s", "secret"))


class SqliteWrite(SqliteRead):
    """A Write of log/port.py. `edge` is the committed one; this works on a copy, which the store takes over."""

    def __init__(self, connection: sqlite3.Connection, edge: Edge) -> None:
        super().__init__(connection)
        self.edge = replace(edge)
        self.failure: BaseException | None = None
        """The first error of a method. Part of what it does may be done, so the transaction cannot succeed."""
        self.written_bytes = 0
        """About how much was written."""

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Around all that writes."""
        if self.failure is not None:
            raise RuntimeError("this transaction has failed and will be undone") from self.failure
        try:
            yield
        except sqlite3.IntegrityError as error:
            self.failure = StoreConflict(str(error))
            raise self.failure from error
        except BaseException as error:
            self.failure = error
            raise

    def _run(self, query: str, parameters: dict[str, Any] | Sequence[Any] = ()) -> sqlite3.Cursor:
        # After a severe error SQLite undoes a transaction by itself, and would commit what comes then one by one.
        if self.failure is not None:
            raise RuntimeError("this transaction has failed and will be undone") from self.failure
        try:
            return super()._run(query, parameters)
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            self.failure = error
            raise

    def _change(self, query: str, what: str, **parameters: object) -> None:
        """Change one row; LookupError if there is none."""
        with self._step():
            changed = self._run(query, parameters).rowcount
        if changed != 1:
            raise LookupError(f"there is no such {what}")

    def _add(self, query: str, number: str, **parameters: object) -> int:
        """Add a row under the next dense number, and return that."""
        table, column = number.split(".")
        with self._step():
            next_number = int(self._value(queries.next_number(table, column)))
            self._run(query, {column: next_number, **parameters})
        return next_number

    def put_meta(self, key: str, value: bytes) -> None:
        with self._step():
            self._run(queries.PUT_META, {"key": key, "value": value})

    # --- Entries and tiles --------------------------------------------------------------------------------------------

    def add_entries(self, rows: Sequence[EntryRow]) -> None:
        first = self.edge.size
        if [row[0] for row in rows] != list(range(first, first + len(rows))):
            raise ValueError(f"entries must be added in index order, and the next index is {first}")
        with self._step():
            insert_rows(self._run, "entry", _ENTRY_COLUMNS, rows, len(rows))
            note_records(self._run, self.edge, rows)
        self.edge.size += len(rows)
        self.written_bytes += _ROW_BYTES * len(rows) + sum([len(row.body) for row in rows])

    def mark_superseded(self, rows: Sequence[tuple[int, int]]) -> None:
        with self._step():
            insert_rows(self._run, "superseded", "idx, by_idx", rows, len(rows))
        self.written_bytes += _ROW_BYTES * len(rows)

    def add_rollups(self, rows: Sequence[RollupRow]) -> None:
        with self._step():
            add_rollups(self._run, rows)
        self.written_bytes += _ROLLUP_BYTES * len(rows)

    def clear_rollups(self) -> None:
        with self._step():
            self._run(queries.CLEAR_ROLLUPS)

    def put_tiles(self, tiles: Iterable[tuple[int, int, bytes]]) -> None:
        with self._step():
            for level, n, data in tiles:
                self._run(queries.PUT_TILE, {"level": level, "n": n, "data": data})
                self.written_bytes += len(data)

    def add_raw(self, rows: Sequence[tuple[int, bytes, str]]) -> None:
        with self._step():
            numbered = ((number, *row) for number, row in enumerate(rows, self.edge.raws + 1))
            insert_rows(self._run, "raw", "raw_no, idx, data, note", numbered, len(rows))
        self.edge.raws += len(rows)
        self.written_bytes += sum([_ROW_BYTES + len(data) + len(note) for _, data, note in rows])

    # --- Meters and readings ------------------------------------------------------------------------------------------

    def add_meter(self, site_id: str, iot_device_id: str, meter_id: str) -> int:
        return self._add(_ADD_METER, "meter.meter_no", site_id=site_id, iot_device_id=iot_device_id, meter_id=meter_id)

    def add_chain(self, kid: bytes, meter_no: int) -> int:
        return self._add(_ADD_CHAIN, "chain.chain_no", kid=kid, meter_no=meter_no)

    def add_secret(self, meter_no: int | None, from_s: int, to_s: int | None, secret: bytes) -> int:
        return self._add(_ADD_SECRET, "secret.secret_no", meter_no=meter_no, from_s=from_s, to_s=to_s, secret=secret)

    def add_readings(self, rows: Sequence[ReadingRow]) -> None:
        first = self.edge.readings + 1
        with self._step():
            # A bool is no int to the driver: it would look for an adapter for each one.
            numbered = ((number, *row[:-1], 1 if row[-1] else 0) for number, row in enumerate(rows, first))
            insert_rows(self._run, "reading", _READING_COLUMNS, numbered, len(rows))
            note_readings(self._run, self.edge, first, rows)
        self.edge.readings += len(rows)
        self.written_bytes += _ROW_BYTES * len(rows) + sum([len(row.cose) for row in rows])

    def set_reading_state(
        self, digest: bytes, chain_no: int, epoch: int, seq: int, state: str, *, bridged: bool
    ) -> None:
        numbers = self._numbers_at(chain_no, epoch, seq)
        rows = zip(numbers, self._readings_at(numbers), strict=True)
        found = [number for number, row in rows if row.digest == digest]
        if not found:
            raise LookupError("there is no such reading")
        with self._step():
            for number in found:
                self._run(queries.SET_READING_STATE, {"reading_no": number, "state": state, "bridged": int(bridged)})

    # --- Batches and attestations -------------------------------------------------------------------------------------

    def add_batch(self, row: BatchRow) -> None:
        with self._step():
            self._run(_ADD_BATCH, row._asdict())

    def set_checkpoint(self, number: int, checkpoint: str) -> None:
        self._change(queries.SET_CHECKPOINT, "batch", number=number, checkpoint=checkpoint)

    def add_attestation(self, row: AttestationRow) -> int:
        values = row._asdict()
        del values["attestation_no"]
        return self._add(_ADD_ATTESTATION, "attestation.attestation_no", **values | {"simulated": int(row.simulated)})

    def set_attestation(self, row: AttestationRow) -> None:
        self._change(queries.SET_ATTESTATION, "attestation", **row._asdict() | {"simulated": int(row.simulated)})

    def put_blocks(self, first_height: int, blocks: Sequence[bytes]) -> None:
        height = int(self._value("SELECT coalesce(max(height), -1) + 1 FROM block"))
        if first_height != height:
            raise ValueError(f"blocks must be added in order, and the next height is {height}, not {first_height}")
        with self._step():
            insert_rows(self._run, "block", "height, data", enumerate(blocks, height), len(blocks))
        self.written_bytes += sum([len(block) for block in blocks])

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
        self.written_bytes += _ROW_BYTES + len(row.data)
