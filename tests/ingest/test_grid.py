from __future__ import annotations

import pytest

from wattseal.ingest.arrival import Arrival
from wattseal.ingest.grid import Open, Span, advance, interrupt


def at(time_s: int) -> Arrival:
    return Arrival(b"", "m", 0, time_s, time_s, 0, 0, b"", b"", b"", from_source=False, profile=None)


def test_the_first_reading_is_a_boundary() -> None:
    assert advance(None, at(7), 300, bridged=False) == (Open(at(7), gap=False), None, True)


@pytest.mark.parametrize(
    ("start", "end", "interval_s", "closes", "gap"),
    [
        (300, 599, 300, False, False),
        (300, 600, 300, True, False),
        (599, 600, 300, True, False),
        (300, 899, 300, True, False),
        (599, 900, 300, True, True),
        (300, 900, 300, True, True),
        (5, 6, 1, True, False),
        (5, 7, 1, True, True),
        (0, 86_399, 86_400, False, False),
    ],
)
def test_slots(start: int, end: int, interval_s: int, *, closes: bool, gap: bool) -> None:
    current, span, is_boundary = advance(Open(at(start), gap=False), at(end), interval_s, bridged=False)
    assert is_boundary is closes
    assert span == (Span(at(start), at(end), gap) if closes else None)
    assert current == Open(at(end if closes else start), gap=False)


@pytest.mark.parametrize("bridged", [False, True])
@pytest.mark.parametrize("was_gap", [False, True])
def test_a_missing_reading_marks_its_record_alone(*, bridged: bool, was_gap: bool) -> None:
    inside, _, _ = advance(Open(at(0), was_gap), at(60), 300, bridged=bridged)
    assert inside == Open(at(0), was_gap or bridged)
    after, span, _ = advance(inside, at(300), 300, bridged=False)
    assert span == Span(at(0), at(300), was_gap or bridged)
    assert after == Open(at(300), gap=False)


def test_what_is_set_aside_marks_the_record() -> None:
    assert interrupt(None) is None
    assert interrupt(Open(at(0), gap=False)) == Open(at(0), gap=True)
