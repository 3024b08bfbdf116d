"""What is asked of every SQL store: plain SQL that SQLite and PostgreSQL read alike, with parameters named `:so`.

As text, because a process that only opens a store then need not load SQLAlchemy; its `text()` takes them as they are.
Queries whose way through the data differs between databases are the adapters'.
"""

# ruff: noqa: S608 - only names of columns are put into the text; every value is a parameter

from __future__ import annotations

from typing import Final, NamedTuple

from wattseal.core.emlog import SCHEMA
from wattseal.log.port import (
    AttestationRow,
    BatchRow,
    ChainRow,
    EntryRow,
    InboxRow,
    MeterRow,
    ReadingRow,
    SecretRow,
    TokenRow,
)
from wattseal.log.rollup_port import RecordValues, RollupRow

VERSION: Final = "0002"
"""The revision of log/migrations that these queries are written for."""

RECORD: Final = SCHEMA
IS_RECORD: Final = f"schema = '{RECORD}'"
"""Quarantined readings fill columns of records, too: only the schema says what is one."""


BLOCK_ROWS: Final = 1_024
"""How many entries share one row of entry_block, which says from when to when their records start."""
LONG_S: Final = 4_096
"""PostgreSQL finds longer records by an index of their own (entry_long)."""


def columns(row: type[NamedTuple], table: str = "") -> str:
    """The columns of a row type in its order, for SELECT and INSERT; with `table`, each with its name before it."""
    prefix = f"{table}." if table else ""
    return ", ".join(prefix + field for field in row._fields)


def _select(row: type[NamedTuple], table: str, rest: str) -> str:
    return f"SELECT {columns(row)} FROM {table} {rest}"


REVISION: Final = "SELECT version_num FROM alembic_version"

META: Final = "SELECT value FROM meta WHERE key = :key"
PUT_META: Final = (
    "INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)

SIZE: Final = "SELECT coalesce(max(idx), -1) + 1 FROM entry"
ENTRIES: Final = _select(EntryRow, "entry", "WHERE idx >= :first AND idx < :end ORDER BY idx")
ENTRY_BY_ID: Final = _select(EntryRow, "entry", "WHERE entry_id = :entry_id")
ENTRIES_OF_SCHEMA: Final = _select(
    EntryRow,
    "entry",
    f"WHERE schema = :schema AND schema <> '{RECORD}' AND idx > :after ORDER BY idx LIMIT :limit",
)

MARK_SUPERSEDED: Final = "INSERT INTO superseded (idx, by_idx) VALUES (:idx, :by_idx)"
SUPERSEDED_BY: Final = (
    "SELECT idx, by_idx FROM superseded WHERE by_idx >= :first AND by_idx < :end ORDER BY by_idx, idx"
)
IS_CURRENT: Final = "NOT EXISTS (SELECT 1 FROM superseded x WHERE x.idx = {table}.idx)"
"""That the row of a table with a column `idx` stands for a record that is not superseded."""

RECORD_VALUES: Final = _select(
    RecordValues, "entry", f"WHERE idx >= :first AND idx < :end AND {IS_RECORD} ORDER BY idx"
)
CROSSING: Final = "end_s > (start_s / 3600 + 1) * 3600"
"""That a record goes on beyond the UTC hour in which it begins."""
CROSSING_VALUES: Final = _select(
    RecordValues, "entry", f"WHERE idx >= :first AND idx < :end AND {IS_RECORD} AND {CROSSING} ORDER BY idx"
)
_IS_PRICED: Final = "amount_msat <= :max_msat_per_s * (end_s - start_s)"
HOUR_SUMS: Final = (
    "SELECT start_s / 3600 * 3600, meter_no, kind, count(*), sum(end_s - start_s), "
    "sum(CASE status WHEN 'ok' THEN 0 ELSE end_s - start_s END), sum(energy_mwh), sum(export_mwh), "
    f"sum(CASE WHEN {_IS_PRICED} THEN energy_mwh ELSE 0 END), sum(CASE WHEN {_IS_PRICED} THEN amount_msat ELSE 0 END) "
    f"FROM entry WHERE idx >= :first AND idx < :end AND {IS_RECORD} AND NOT ({CROSSING}) GROUP BY 1, 2, 3"
)
ROLLUP_KEY: Final = RollupRow._fields[:4]
ROLLUP_SUMS: Final = RollupRow._fields[4:]
ROLLUPS: Final = _select(
    RollupRow,
    "rollup",
    "WHERE (level, start_s, meter_no, kind) > (:level, :start_s, :meter_no, :kind) "
    "ORDER BY level, start_s, meter_no, kind LIMIT :limit",
)
ADD_TO_ROLLUP: Final = (
    f"ON CONFLICT ({', '.join(ROLLUP_KEY)}) DO UPDATE SET "
    f"{', '.join(f'{name} = rollup.{name} + excluded.{name}' for name in ROLLUP_SUMS)}"
)
"""Follows an INSERT of rollups."""
CLEAR_ROLLUPS: Final = "DELETE FROM rollup"

TILE: Final = "SELECT data FROM tile WHERE level = :level AND n = :n"
PUT_TILE: Final = (
    "INSERT INTO tile (level, n, data) VALUES (:level, :n, :data) "
    "ON CONFLICT (level, n) DO UPDATE SET data = excluded.data"
)
RAW: Final = "SELECT data, note FROM raw WHERE idx = :idx"

METERS: Final = _select(MeterRow, "meter", "ORDER BY meter_no")
CHAINS: Final = _select(ChainRow, "chain", "ORDER BY chain_no")
SECRETS: Final = _select(SecretRow, "secret", "ORDER BY secret_no")

SET_ASIDE_BY_DIGEST: Final = _select(
    ReadingRow,
    "reading",
    "WHERE digest = :digest AND state IN ('set-aside', 'set-aside-in-chain') ORDER BY reading_no LIMIT 1",
)
UNCHAINED: Final = _select(
    ReadingRow, "reading", "WHERE chain_no IS NULL ORDER BY reading_no LIMIT :limit OFFSET :skip"
)
SET_READING_STATE: Final = "UPDATE reading SET state = :state, bridged = :bridged WHERE reading_no = :reading_no"

BATCH: Final = _select(BatchRow, "batch", "WHERE number = :number")
BATCH_OF_INDEX: Final = _select(BatchRow, "batch", "WHERE last_idx >= :idx ORDER BY last_idx LIMIT 1")
BATCHES_AFTER: Final = _select(BatchRow, "batch", "WHERE number > :after ORDER BY number LIMIT :limit")
BATCHES_BEFORE: Final = _select(BatchRow, "batch", "WHERE number < :before ORDER BY number DESC LIMIT :limit")
SET_CHECKPOINT: Final = "UPDATE batch SET checkpoint = :checkpoint WHERE number = :number"

ATTESTATIONS: Final = _select(AttestationRow, "attestation", "ORDER BY attestation_no")
ATTESTATIONS_OF_BATCH: Final = _select(AttestationRow, "attestation", "WHERE batch = :batch ORDER BY attestation_no")
ATTESTATIONS_IN_STATE: Final = _select(AttestationRow, "attestation", "WHERE state = :state ORDER BY attestation_no")
# What an attempt was for never changes; what became of it does.
SET_ATTESTATION: Final = (
    "UPDATE attestation SET state = :state, reference = :reference, height = :height, block_hash = :block_hash, "
    "fee_sat = :fee_sat, evidence = :evidence, changed_s = :changed_s WHERE attestation_no = :attestation_no "
    "AND batch = :batch AND digest = :digest AND kind = :kind AND chain = :chain AND simulated = :simulated "
    "AND created_s = :created_s"
)

BLOCKS: Final = "SELECT data FROM block ORDER BY height"

TOKEN: Final = _select(TokenRow, "token", "WHERE token_hash = :token_hash")
TOKENS: Final = _select(TokenRow, "token", "ORDER BY created_s, token_hash")
REVOKE_TOKEN: Final = "UPDATE token SET revoked_s = :revoked_s WHERE token_hash = :token_hash"  # noqa: S105 - no password

INBOX: Final = _select(InboxRow, "inbox", "ORDER BY inbox_no DESC LIMIT :limit")
TRIM_INBOX: Final = "DELETE FROM inbox WHERE inbox_no <= (SELECT max(inbox_no) FROM inbox) - :keep"


def next_number(table: str, column: str) -> str:
    """The next dense number of a table whose rows are never deleted, from 1."""
    return f"SELECT coalesce(max({column}), 0) + 1 FROM {table}"


def insert(table: str, fields: tuple[str, ...]) -> str:
    """One row with parameters named like its columns."""
    return f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({', '.join(f':{field}' for field in fields)})"
