"""Rows become records with exact arithmetic: nothing is rounded row by row, filled, or lost."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.refusal import Refusal
from wattseal.ingest.csv_history import DECIMALS, DENOMINATOR, History, HistoryRecord, MeterRows, Span, scaled_number
from wattseal.ingest.csv_mapping import MeterColumns

START = 1_167_606_000  # on every grid


def chain(place: int) -> bytes:
    return place.to_bytes(32, "big")


def spans(energies: list[Fraction], length_s: int, start_s: int = START) -> list[Span]:
    """Spans without a hole, energies in mWh."""
    return [
        Span(
            start_s + place * length_s,
            start_s + (place + 1) * length_s,
            int(energy * DENOMINATOR),
            0,
            chain(place),
            chain(place + 1),
        )
        for place, energy in enumerate(energies)
    ]


def records(history: History, parts: list[Span]) -> list[HistoryRecord]:
    for part in parts:
        history.add(part)
    history.finish()
    return history.ready


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("2.58", Fraction("2.58")),
        ("-0.5", Fraction("-0.5")),
        ("+1.", 1),
        (".5", Fraction("0.5")),
        ("5e-05", Fraction("0.00005")),
        ("1.5E3", 1500),
        ("36.8866229892838", Fraction("36.8866229892838")),
        ("1069.1840000000002", Fraction("1069.1840000000002")),
    ],
)
def test_numbers_are_exact(text: str, value: int | Fraction) -> None:
    assert scaled_number(text) == value * 10**DECIMALS


@pytest.mark.parametrize(
    "text", ["", ".", "-", "--1", "1,5", "nan", "inf", "1e", "0x10", "1 2", "1e-99", "9" * 21, "\u0661"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="value"):
        scaled_number(text)


def test_rows_on_the_grid() -> None:
    found = records(History(300), spans([Fraction(1_000)] * 10, 60))
    assert [(record.start_s - START, record.end_s - START, record.energy_mwh, record.status) for record in found] == [
        (0, 300, 5_000, "ok"),
        (300, 600, 5_000, "ok"),
    ]
    assert [(record.chain_before, record.chain_after) for record in found] == [
        (chain(0), chain(5)),
        (chain(5), chain(10)),
    ]


def test_a_slot_may_be_short_at_both_ends() -> None:
    found = records(History(300), spans([Fraction(1)] * 6, 60, START + 240))
    assert [(record.start_s - START, record.end_s - START) for record in found] == [(240, 300), (300, 600)]


def test_rows_longer_than_the_grid_are_bridged() -> None:
    found = records(History(300), spans([Fraction(1)] * 2, 900))
    assert [(record.end_s - record.start_s, record.status) for record in found] == [(900, "gap"), (900, "gap")]


def test_rows_off_the_grid_are_cut_at_the_first_edge_in_a_slot() -> None:
    found = records(History(900), spans([Fraction(1)] * 3, 900, START + 420))
    assert [(record.start_s - START, record.status) for record in found] == [(420, "ok"), (1_320, "ok"), (2_220, "ok")]


def test_a_hole_is_kept_and_never_filled() -> None:
    history = History(300)
    rows = spans([Fraction(1_000)] * 20, 60)
    found = records(history, rows[:7] + rows[12:])
    assert history.holes == [(START + 420, START + 720)]
    assert [(record.start_s - START, record.end_s - START) for record in found] == [
        (0, 300),
        (300, 420),
        (720, 900),
        (900, 1_200),
    ]
    assert sum(record.energy_mwh for record in found) == 15_000
    assert all(record.status == "ok" for record in found)


def test_time_must_rise() -> None:
    history = History(300)
    rows = spans([Fraction(1)] * 3, 60)
    history.add(rows[1])
    for again in (rows[1], rows[0]):
        with pytest.raises(Refusal, match="does not rise"):
            history.add(again)
    history.add(rows[2])
    assert records(history, []) == [HistoryRecord(START + 60, START + 180, 2, 0, "ok", chain(1), chain(3))]


@given(
    energies=st.lists(st.fractions(0, 10**6, max_denominator=10_000), min_size=1, max_size=200),
    length_s=st.sampled_from([1, 7, 60, 299, 300, 301, 900]),
    offset_s=st.integers(0, 900),
    holes=st.sets(st.integers(1, 199)),
)
def test_no_milliwatt_hour_appears_or_disappears(
    energies: list[Fraction], length_s: int, offset_s: int, holes: set[int]
) -> None:
    parts = [part for place, part in enumerate(spans(energies, length_s, START + offset_s)) if place not in holes]
    history = History(300)
    found = records(history, parts)
    # One floor for all of it, however it was cut.
    assert sum(record.energy_mwh for record in found) == sum(part.imported for part in parts) // DENOMINATOR
    covered = sum(record.end_s - record.start_s for record in found)
    assert covered == sum(part.end_s - part.start_s for part in parts)
    assert covered + sum(end - start for start, end in history.holes) == parts[-1].end_s - parts[0].start_s
    for before, after in pairwise(found):
        assert before.end_s <= after.start_s
        if before.end_s == after.start_s:
            assert before.chain_after == after.chain_before
            assert before.start_s // 300 < after.start_s // 300


def rows_of(unit: str, *, negative_is_export: bool = False, exported: int | None = None) -> MeterRows:
    columns = MeterColumns("m", 1, exported, unit, negative_is_export)
    return MeterRows(columns, lambda column: int(column) - 1, ",", frozenset({"", "?"}))


@pytest.mark.parametrize(
    ("unit", "text", "mwh"),
    [
        ("kW", "2,58", 43_000),
        ("W", "1,5", Fraction(25)),
        ("kWh", "0,000001", 1),
        ("Wh", "17", 17_000),
        ("MWh", "0,000000001", 1),
    ],
)
def test_units(unit: str, text: str, mwh: int | Fraction) -> None:
    span = rows_of(unit).span([text], START, START + 60, chain(0), chain(1))
    assert span == Span(START, START + 60, int(mwh * DENOMINATOR), 0, chain(0), chain(1))


def test_a_missing_value_gives_nothing() -> None:
    rows = rows_of("Wh")
    assert rows.span([" ? "], START, START + 60, chain(0), chain(1)) is None
    with pytest.raises(Refusal, match="1 is needed"):
        rows.span([], START, START + 60, chain(0), chain(1))
    with pytest.raises(Refusal, match="decimal"):
        rows.span(["1.5"], START, START + 60, chain(0), chain(1))


def test_negative_energy_is_refused_or_export() -> None:
    with pytest.raises(Refusal, match="negative"):
        rows_of("Wh").span(["-2"], START, START + 60, chain(0), chain(1))
    span = rows_of("Wh", negative_is_export=True).span(["-2"], START, START + 60, chain(0), chain(1))
    assert span is not None
    assert (span.imported, span.exported) == (0, 2_000 * DENOMINATOR)


def test_registers_bridge_what_is_missing_exactly() -> None:
    rows, found = rows_of("register-kWh", exported=2), []
    for place, (fields, time_s) in enumerate(
        [(["10", "0"], 0), (["10,5", "0"], 300), (["?", "0"], 600), (["", "1"], 900), (["12", "0,25"], 1_200)]
    ):
        found.append(rows.span(fields, START, START + time_s, chain(place), chain(place + 1)))
    assert found == [
        None,
        Span(START, START + 300, 500_000 * DENOMINATOR, 0, chain(1), chain(2)),
        None,
        None,
        Span(START + 300, START + 1_200, 1_500_000 * DENOMINATOR, 250_000 * DENOMINATOR, chain(2), chain(5)),
    ]


def test_a_register_that_falls_begins_anew() -> None:
    rows = rows_of("register-Wh")
    assert rows.span(["10"], START, START, chain(0), chain(1)) is None
    with pytest.raises(Refusal, match="fell"):
        rows.span(["9"], START, START + 60, chain(1), chain(2))
    with pytest.raises(Refusal, match="does not rise"):
        rows.span(["9"], START, START + 60, chain(2), chain(3))
    span = rows.span(["11"], START, START + 120, chain(3), chain(4))
    assert span == Span(START + 60, START + 120, 2_000 * DENOMINATOR, 0, chain(2), chain(4))
