from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.log.coverage import Coverage, Piece

A, B, C, D = (bytes([number]) * 32 for number in range(4))


def slot_at(time: int) -> bytes:
    return time.to_bytes(32)


def piece(start: int, end: int, chain: str | None = "x") -> Piece:
    return Piece(start, end, slot_at(start), slot_at(end), chain)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=25))
def test_each_moment_is_covered_once(spans: list[tuple[int, int]]) -> None:
    """Against a set of moments, in any order."""
    coverage, covered, taken = Coverage(), set[int](), list[tuple[int, int]]()
    for start, length in spans:
        moments = set(range(start, start + length))
        fault = coverage.add(piece(start, start + length))
        assert (fault is not None) == bool(moments & covered)
        if fault is None:
            covered |= moments
            taken.append((start, start + length))
    starts = {start for start, _ in taken} - {end for _, end in taken}
    assert coverage.interruptions == max(len(starts) - 1, 0)


@given(st.permutations(range(8)), st.integers(0, 6))
def test_a_broken_chain_is_found_in_any_order(order: list[int], broken: int) -> None:
    pieces = [piece(number, number + 1) for number in range(8)]
    pieces[broken] = pieces[broken]._replace(end_slot=bytes(32))
    coverage = Coverage()
    said = [number for number in order if coverage.add(pieces[number])]
    assert said == [max(broken, broken + 1, key=order.index)]
    assert coverage.interruptions == 0


def test_another_chain_begins_with_a_reading_of_its_own() -> None:
    coverage = Coverage()
    assert coverage.add(Piece(0, 10, A, B, "old key")) is None
    assert coverage.add(Piece(10, 20, C, D, "new key")) is None
    assert coverage.add(Piece(20, 30, A, A, None)) is None
    assert coverage.add(Piece(30, 40, C, D, "new key")) is None
    assert "does not begin with the reading" in (coverage.add(Piece(40, 50, C, D, "new key")) or "")


LINKED = [Piece(n * 10, n * 10 + 10, slot_at(n), slot_at(n + 1), "key", is_read=True) for n in range(3)]
WEDGE = LINKED[1]._replace(start_slot=A, end_slot=A, chain="rows", is_read=False)


@given(st.permutations(range(3)))
def test_nothing_stands_between_two_readings_of_one_chain(order: list[int]) -> None:
    """In whatever order a log tells it: an import whose energy the registers on both sides count already."""
    pieces = [LINKED[0], WEDGE, LINKED[2]]
    for fault in (
        "between two readings of one chain",  # two imports in a row
        "names the reading of another record",  # with the slots of its neighbours
    ):
        wedge = WEDGE if fault.startswith("between") else LINKED[1]._replace(chain="rows", is_read=False)
        pieces[1] = wedge
        coverage = Coverage()
        said = [coverage.add(pieces[number]) or "" for number in order]
        assert fault in said[-1] or fault in said[-2]


@pytest.mark.parametrize("place", [0, 2])
def test_a_register_may_begin_anew_with_a_reading_that_was_released(place: int) -> None:
    pieces = [LINKED[0], WEDGE, LINKED[2]]
    pieces[place] = pieces[place]._replace(is_released=True)
    coverage = Coverage()
    assert [coverage.add(piece) for piece in pieces] == [None] * 3


def test_another_key_or_nothing_on_one_side_is_no_contradiction() -> None:
    for last in (LINKED[2]._replace(chain="another key"), WEDGE._replace(start_s=20, end_s=30)):
        coverage = Coverage()
        assert [coverage.add(piece) for piece in (LINKED[0], WEDGE, last)] == [None] * 3


def test_the_times_are_named() -> None:
    coverage = Coverage()
    for start in (300, 600):
        assert coverage.add(piece(start, start + 300)) is None
    fault = coverage.add(piece(500, 700)) or ""
    assert "from 1970-01-01T00:05:00Z to 1970-01-01T00:15:00Z: energy would count twice" in fault
