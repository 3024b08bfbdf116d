"""The record grid (docs/spec/emlog.md §5): which readings are boundaries, and what lies between two of them. Pure."""

from __future__ import annotations

from typing import NamedTuple

from wattseal.ingest.arrival import Arrival


class Open(NamedTuple):
    """The record that is still open: its start, and whether a reading since then is missing or was set aside."""

    start: Arrival
    gap: bool


class Span(NamedTuple):
    """A closed record: from one boundary reading to the next."""

    start: Arrival
    end: Arrival
    gap: bool


def advance(
    current: Open | None, arrival: Arrival, interval_s: int, *, bridged: bool
) -> tuple[Open, Span | None, bool]:
    """Put an admitted reading on the grid: what is open after it, the record that it closed, whether it is a boundary.

    `bridged`: a reading before this one is missing. A chain's first reading is its first boundary.
    """
    if current is None:
        return Open(arrival, gap=False), None, True
    start = current.start
    slots = arrival.time_s // interval_s - start.time_s // interval_s
    gap = current.gap or bridged
    if not slots:
        return (Open(start, gap) if gap else current), None, False
    return Open(arrival, gap=False), Span(start, arrival, gap or slots > 1), True


def interrupt(current: Open | None) -> Open | None:
    """What is open after a reading of the chain was set aside: its record will say `gap`."""
    return None if current is None else Open(current.start, gap=True)
