from __future__ import annotations

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


def test_the_times_are_named() -> None:
    coverage = Coverage()
    for start in (300, 600):
        assert coverage.add(piece(start, start + 300)) is None
    fault = coverage.add(piece(500, 700)) or ""
    assert "from 1970-01-01T00:05:00Z to 1970-01-01T00:15:00Z: energy would count twice" in fault
