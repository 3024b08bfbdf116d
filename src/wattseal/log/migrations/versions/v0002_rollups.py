"""Records that are superseded, and rollups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ROLLUP_SUMS = ("records", "covered_s", "estimated_s", "energy_mwh", "export_mwh", "priced_mwh", "amount_msat")


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, NUMBER, primary_key=True, autoincrement=False, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, NUMBER, nullable=False)


def upgrade() -> None:
    """Make both tables, empty: the writer fills the rollups from the first entry on, step by step."""
    op.create_table("superseded", _key("idx"), _number("by_idx"), sqlite_strict=True)
    op.create_index("superseded_by", "superseded", ["by_idx"])
    op.create_table(
        "rollup",
        sa.Column("level", sa.Text, primary_key=True, nullable=False),
        _key("start_s"),
        _key("meter_no"),
        sa.Column("kind", sa.Text, primary_key=True, nullable=False),
        *(_number(name) for name in ROLLUP_SUMS),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
