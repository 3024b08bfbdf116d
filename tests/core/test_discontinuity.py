"""The statement, and what a verifier holds against the readings around it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.make_body_vectors import RESET_UNREAD, SWAPPED
from wattseal.core.discontinuity import KINDS, Declared, Discontinuity, check_between, parse_discontinuity
from wattseal.core.reading import Reading
from wattseal.core.refusal import Refusal
from wattseal.core.units import MAX_ENERGY_MWH

REGISTERS = st.integers(0, MAX_ENERGY_MWH)


@given(REGISTERS, REGISTERS, REGISTERS, REGISTERS, st.sampled_from(KINDS))
def test_it_is_read_back(
    import_before: int, export_before: int, import_after: int, export_after: int, kind: str
) -> None:
    said = replace(
        SWAPPED,
        kind=kind,
        import_before_mwh=import_before,
        export_before_mwh=export_before,
        import_after_mwh=import_after,
        export_after_mwh=export_after,
    )
    assert parse_discontinuity(said.body()) == said
    assert Declared(said, b"x").correction[:2] == (import_before - import_after, export_before - export_after)


def reading(seq: int, import_mwh: int, export_mwh: int = 0) -> Reading:
    return Reading(b"s", "m", 0, seq, seq, 2, import_mwh, export_mwh, 0, 0, bytes(8), bytes(32))


START, LAST, END = reading(0, 1_000_000_000), reading(1, 1_010_000_000), reading(2, 700_000)


@pytest.mark.parametrize(
    ("said", "last", "end", "field"),
    [
        (SWAPPED, LAST, END, None),
        (replace(SWAPPED, import_before_mwh=1_009_999_999), LAST, END, "import_before_kwh"),
        (SWAPPED, reading(1, 999_999_999), END, "import_before_kwh"),
        (SWAPPED, LAST, reading(2, 499_999), "import_before_kwh"),
        (replace(SWAPPED, export_after_mwh=1), LAST, END, "export_before_kwh"),
        (SWAPPED, reading(1, 1_010_000_000, 1), END, "export_before_kwh"),
        (replace(RESET_UNREAD, import_before_mwh=1_010_000_000), LAST, END, None),
        (RESET_UNREAD, LAST, END, "import_before_kwh"),
    ],
)
def test_registers_lie_between_the_readings(
    said: Discontinuity, last: Reading, end: Reading, field: str | None
) -> None:
    found = None
    try:
        check_between(said, START, last, end)
    except Refusal as refusal:
        found = refusal.field
    assert found == field
