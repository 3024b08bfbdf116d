"""The tables of a store (SQLAlchemy Core), for SQLite and PostgreSQL alike.

Columns carry the names of the rows in log/port.py. Wide values stand last, so that a filter on the others need not read
past them. What only one database needs stands apart: indexes of PostgreSQL by `ddl_if`, tables of SQLite in `SQLITE`,
those of PostgreSQL in `POSTGRESQL`.
The tables are made by log/migrations, never from here; a test holds the two equal.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text, text

from wattseal.log.queries import LONG_S, RECORD

# SQLite has one integer type, and makes a column of exactly this name the row's own number.
NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")
# A STRICT table has no boolean: 0 or 1.
FLAG: Final = Boolean().with_variant(Integer(), "sqlite")

METADATA: Final = MetaData()
SQLITE: Final = MetaData()
POSTGRESQL: Final = MetaData()

# STRICT: SQLite refuses a value of another type, so that no float can stand where energy or money does.
_PLAIN: Final[dict[str, Any]] = {"sqlite_strict": True}
# The rows are the index: there is no second tree behind it.
_KEYED: Final[dict[str, Any]] = {"sqlite_strict": True, "sqlite_with_rowid": False}


def _number(name: str, *args: Any, **kwargs: Any) -> Column[int]:  # noqa: ANN401 - as Column
    return Column(name, NUMBER, *args, nullable=kwargs.pop("nullable", False), **kwargs)


def _key(name: str, *args: Any) -> Column[int]:  # noqa: ANN401 - as Column
    return Column(name, NUMBER, *args, primary_key=True, autoincrement=False, nullable=False)


def _text(name: str, **kwargs: Any) -> Column[str]:  # noqa: ANN401 - as Column
    return Column(name, Text, nullable=kwargs.pop("nullable", False), **kwargs)


def _bytes(name: str, **kwargs: Any) -> Column[bytes]:  # noqa: ANN401 - as Column
    return Column(name, LargeBinary, nullable=kwargs.pop("nullable", False), **kwargs)


META: Final = Table("meta", METADATA, _text("key", primary_key=True), _bytes("value"), **_PLAIN)

ENTRY: Final = Table(
    "entry",
    METADATA,
    _key("idx"),
    _bytes("entry_id", unique=True),
    _text("schema"),
    _number("secret_no"),
    _bytes("start_slot"),
    _bytes("end_slot"),
    _number("received_s"),
    _number("meter_no", nullable=True),
    _text("kind", nullable=True),
    _number("start_s", nullable=True),
    _number("end_s", nullable=True),
    _number("energy_mwh", nullable=True),
    _number("export_mwh", nullable=True),
    _number("price_msat", nullable=True),
    _number("amount_msat", nullable=True),
    _text("status", nullable=True),
    _bytes("body"),
    **_PLAIN,
)


def _where(condition: Any) -> dict[str, Any]:  # noqa: ANN401 - a column expression of any type
    return {"sqlite_where": condition, "postgresql_where": condition}


Index("entry_schema", ENTRY.c.schema, ENTRY.c.idx, **_where(ENTRY.c.schema != RECORD))
Index("entry_status", ENTRY.c.status, ENTRY.c.idx, **_where(ENTRY.c.status != "ok"))
# SQLite finds the records of a meter by the tables of SQLITE.
Index("entry_place", ENTRY.c.meter_no, ENTRY.c.start_s, postgresql_where=ENTRY.c.schema == RECORD).ddl_if(
    dialect="postgresql"
)
Index("entry_order", ENTRY.c.meter_no, ENTRY.c.idx, postgresql_where=ENTRY.c.schema == RECORD).ddl_if(
    dialect="postgresql"
)
# The records that are longer than an hour and a little are few, so those that overlap a time are found by their end.
Index(
    "entry_long",
    ENTRY.c.meter_no,
    ENTRY.c.end_s,
    postgresql_where=text(f"schema = '{RECORD}' AND end_s - start_s > {LONG_S}"),
).ddl_if(dialect="postgresql")

SUPERSEDED: Final = Table("superseded", METADATA, _key("idx"), _number("by_idx"), **_PLAIN)
Index("superseded_by", SUPERSEDED.c.by_idx)

# By time first: what is written at one moment then lies in few pages, however many meters there are (docs/adr/0013).
ROLLUP: Final = Table(
    "rollup",
    METADATA,
    _text("level", primary_key=True),
    _key("start_s"),
    _key("meter_no"),
    _text("kind", primary_key=True),
    _number("records"),
    _number("covered_s"),
    _number("estimated_s"),
    _number("energy_mwh"),
    _number("export_mwh"),
    _number("priced_mwh"),
    _number("amount_msat"),
    **_KEYED,
)

READING: Final = Table(
    "reading",
    METADATA,
    _key("reading_no"),
    _number("chain_no", nullable=True),
    _number("epoch"),
    _number("seq"),
    _number("time_s"),
    _number("import_mwh"),
    _number("export_mwh"),
    _number("received_s"),
    Column("bridged", FLAG, nullable=False),
    _text("state"),
    _bytes("digest"),
    _bytes("cose"),
    **_PLAIN,
)
Index("reading_set_aside", READING.c.digest, **_where(READING.c.state.in_(["set-aside", "set-aside-in-chain"])))
Index("reading_place", READING.c.chain_no, READING.c.epoch, READING.c.seq).ddl_if(dialect="postgresql")

METER: Final = Table(
    "meter",
    METADATA,
    _key("meter_no"),
    _text("site_id"),
    _text("iot_device_id"),
    _text("meter_id"),
    **_PLAIN,
)
Index("meter_path", METER.c.site_id, METER.c.iot_device_id, METER.c.meter_id, unique=True)

CHAIN: Final = Table(
    "chain",
    METADATA,
    _key("chain_no"),
    _bytes("kid"),
    _number("meter_no", ForeignKey("meter.meter_no")),
    **_PLAIN,
)
Index("chain_of", CHAIN.c.kid, CHAIN.c.meter_no, unique=True)

SECRET: Final = Table(
    "secret",
    METADATA,
    _key("secret_no"),
    _number("meter_no", ForeignKey("meter.meter_no"), nullable=True),
    _number("from_s"),
    _number("to_s", nullable=True),
    _bytes("secret"),
    **_PLAIN,
)

TILE: Final = Table("tile", METADATA, _key("level"), _key("n"), _bytes("data"), **_PLAIN)

RAW: Final = Table(
    "raw", METADATA, _key("raw_no"), _number("idx", unique=True), _text("note"), _bytes("data"), **_PLAIN
)

BATCH: Final = Table(
    "batch",
    METADATA,
    _key("number"),
    _number("first_idx"),
    _number("last_idx", unique=True),
    _number("closed_s"),
    _bytes("root"),
    _text("checkpoint", nullable=True),
    **_PLAIN,
)

ATTESTATION: Final = Table(
    "attestation",
    METADATA,
    _key("attestation_no"),
    _number("batch", ForeignKey("batch.number")),
    _bytes("digest"),
    _text("kind"),
    _text("chain"),
    _text("state"),
    _text("reference", nullable=True),
    _number("height", nullable=True),
    _bytes("block_hash", nullable=True),
    _number("fee_sat", nullable=True),
    Column("simulated", FLAG, nullable=False),
    _text("evidence", nullable=True),
    _number("created_s"),
    _number("changed_s"),
    **_PLAIN,
)

Index("attestation_batch", ATTESTATION.c.batch)
Index("attestation_state", ATTESTATION.c.state)

BLOCK: Final = Table("block", METADATA, _key("height"), _bytes("data"), **_PLAIN)

TOKEN: Final = Table(
    "token",
    METADATA,
    _bytes("token_hash", primary_key=True),
    _text("label"),
    _text("scopes"),
    _text("subject"),
    _number("created_s"),
    _number("expires_s", nullable=True),
    _number("revoked_s", nullable=True),
    **_PLAIN,
)

INBOX: Final = Table(
    "inbox",
    METADATA,
    _key("inbox_no"),
    _number("received_s"),
    _text("reason"),
    _text("source"),
    _bytes("data"),
    **_PLAIN,
)

# --- SQLite alone: see log/sqlite_places.py ---------------------------------------------------------------------------

RECORD_RECENT: Final = Table(
    "record_recent", SQLITE, _key("run"), _key("meter_no"), _key("span"), _key("start_s"), _key("idx"), **_KEYED
)
RECORD_PLACE: Final = Table(
    "record_place", SQLITE, _key("meter_no"), _key("span"), _key("start_s"), _key("idx"), **_KEYED
)
RECORD_ORDER: Final = Table("record_order", SQLITE, _key("meter_no"), _key("idx"), **_KEYED)
RECORD_RUN: Final = Table("record_run", SQLITE, _key("run"), _number("first_idx"), **_PLAIN)
RECORD_SPAN: Final = Table("record_span", SQLITE, _key("span"), **_PLAIN)
ENTRY_BLOCK: Final = Table("entry_block", SQLITE, _key("block"), _number("first_s"), _number("last_s"), **_PLAIN)
# Blocks of entries by time: PostgreSQL needs them, too (log/postgres_records.py).
ENTRY_BLOCK.to_metadata(POSTGRESQL)
READING_RECENT: Final = Table(
    "reading_recent", SQLITE, _key("run"), _key("chain_no"), _key("epoch"), _key("seq"), _key("reading_no"), **_KEYED
)
READING_PLACE: Final = Table(
    "reading_place", SQLITE, _key("chain_no"), _key("epoch"), _key("seq"), _key("reading_no"), **_KEYED
)
