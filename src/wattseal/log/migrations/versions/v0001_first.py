"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLAG = sa.Boolean().with_variant(sa.Integer(), "sqlite")
PLAIN: dict[str, Any] = {"sqlite_strict": True}
KEYED: dict[str, Any] = {"sqlite_strict": True, "sqlite_with_rowid": False}


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, NUMBER, nullable=nullable)


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, NUMBER, primary_key=True, autoincrement=False, nullable=False)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _bytes(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=nullable)


def upgrade() -> None:
    """Make all tables and indexes."""
    _log()
    _meters()
    _readings()
    _batches()
    _access()
    if op.get_context().dialect.name == "sqlite":
        _places()
    else:
        is_record = sa.text("schema = 'emlog-1.1'")
        op.create_index("entry_place", "entry", ["meter_no", "start_s"], postgresql_where=is_record)
        op.create_index("entry_order", "entry", ["meter_no", "idx"], postgresql_where=is_record)
        is_long = sa.text("schema = 'emlog-1.1' AND end_s - start_s > 4096")
        op.create_index("entry_long", "entry", ["meter_no", "end_s"], postgresql_where=is_long)
        op.create_index("reading_place", "reading", ["chain_no", "epoch", "seq"])
        _blocks()
        # Hashes cannot be compressed; nobody need try.
        op.execute("ALTER TABLE tile ALTER COLUMN data SET STORAGE EXTERNAL")


def _partial_index(name: str, table: str, columns: list[str], condition: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(condition), postgresql_where=sa.text(condition))


def _log() -> None:
    op.create_table("meta", _text("key"), _bytes("value"), sa.PrimaryKeyConstraint("key"), **PLAIN)
    op.create_table(
        "entry",
        _key("idx"),
        _bytes("entry_id"),
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
        sa.UniqueConstraint("entry_id"),
        **PLAIN,
    )
    _partial_index("entry_schema", "entry", ["schema", "idx"], "schema != 'emlog-1.1'")
    _partial_index("entry_status", "entry", ["status", "idx"], "status != 'ok'")
    op.create_table("tile", _key("level"), _key("n"), _bytes("data"), **PLAIN)
    op.create_table(
        "raw", _key("raw_no"), _number("idx"), _text("note"), _bytes("data"), sa.UniqueConstraint("idx"), **PLAIN
    )


def _meters() -> None:
    op.create_table("meter", _key("meter_no"), _text("site_id"), _text("iot_device_id"), _text("meter_id"), **PLAIN)
    op.create_index("meter_path", "meter", ["site_id", "iot_device_id", "meter_id"], unique=True)
    op.create_table(
        "chain",
        _key("chain_no"),
        _bytes("kid"),
        _number("meter_no"),
        sa.ForeignKeyConstraint(["meter_no"], ["meter.meter_no"]),
        **PLAIN,
    )
    op.create_index("chain_of", "chain", ["kid", "meter_no"], unique=True)
    op.create_table(
        "secret",
        _key("secret_no"),
        _number("meter_no", nullable=True),
        _number("from_s"),
        _number("to_s", nullable=True),
        _bytes("secret"),
        sa.ForeignKeyConstraint(["meter_no"], ["meter.meter_no"]),
        **PLAIN,
    )


def _readings() -> None:
    op.create_table(
        "reading",
        _key("reading_no"),
        _number("chain_no", nullable=True),
        _number("epoch"),
        _number("seq"),
        _number("time_s"),
        _number("import_mwh"),
        _number("export_mwh"),
        _number("received_s"),
        sa.Column("bridged", FLAG, nullable=False),
        _text("state"),
        _bytes("digest"),
        _bytes("cose"),
        **PLAIN,
    )
    _partial_index("reading_set_aside", "reading", ["digest"], "state IN ('set-aside', 'set-aside-in-chain')")


def _batches() -> None:
    op.create_table(
        "batch",
        _key("number"),
        _number("first_idx"),
        _number("last_idx"),
        _number("closed_s"),
        _bytes("root"),
        _text("checkpoint", nullable=True),
        sa.UniqueConstraint("last_idx"),
        **PLAIN,
    )
    op.create_table(
        "attestation",
        _key("attestation_no"),
        _number("batch"),
        _bytes("digest"),
        _text("kind"),
        _text("chain"),
        _text("state"),
        _text("reference", nullable=True),
        _number("height", nullable=True),
        _bytes("block_hash", nullable=True),
        _number("fee_sat", nullable=True),
        sa.Column("simulated", FLAG, nullable=False),
        _text("evidence", nullable=True),
        _number("created_s"),
        _number("changed_s"),
        sa.ForeignKeyConstraint(["batch"], ["batch.number"]),
        **PLAIN,
    )
    op.create_index("attestation_batch", "attestation", ["batch"])
    op.create_index("attestation_state", "attestation", ["state"])
    op.create_table("block", _key("height"), _bytes("data"), **PLAIN)


def _access() -> None:
    op.create_table(
        "token",
        _bytes("token_hash"),
        _text("label"),
        _text("scopes"),
        _text("subject"),
        _number("created_s"),
        _number("expires_s", nullable=True),
        _number("revoked_s", nullable=True),
        sa.PrimaryKeyConstraint("token_hash"),
        **PLAIN,
    )
    op.create_table(
        "inbox", _key("inbox_no"), _number("received_s"), _text("reason"), _text("source"), _bytes("data"), **PLAIN
    )


def _places() -> None:
    op.create_table("record_recent", _key("run"), _key("meter_no"), _key("span"), _key("start_s"), _key("idx"), **KEYED)
    op.create_table("record_place", _key("meter_no"), _key("span"), _key("start_s"), _key("idx"), **KEYED)
    op.create_table("record_order", _key("meter_no"), _key("idx"), **KEYED)
    op.create_table("record_run", _key("run"), _number("first_idx"), **PLAIN)
    op.create_table("record_span", _key("span"), **PLAIN)
    _blocks()
    op.create_table(
        "reading_recent", _key("run"), _key("chain_no"), _key("epoch"), _key("seq"), _key("reading_no"), **KEYED
    )
    op.create_table("reading_place", _key("chain_no"), _key("epoch"), _key("seq"), _key("reading_no"), **KEYED)


def _blocks() -> None:
    op.create_table("entry_block", _key("block"), _number("first_s"), _number("last_s"), **PLAIN)
