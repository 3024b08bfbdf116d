"""The record grid (docs/spec/emlog.md §5): which readings are boundaries, and what lies between two of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wattseal.ingest.arrival import Arrival
from wattseal.log.port import BOUNDARY, DETAIL, SET_ASIDE_IN_CHAIN


class Shift(NamedTuple):
    """What a declared discontinuity does to the energy of the record that holds it (docs/spec/log.md §2); mWh.

    The register after it began at `import_after_mwh` (`export_after_mwh`), and what it shows is short of what the
    register before would show by `import_mwh` (`export_mwh`).
    """

    import_mwh: int
    export_mwh: int
    import_after_mwh: int
    export_after_mwh: int
    is_known: bool
    """Whether the register's end before it is known; else energy may be missing, and the record is a gap."""
    source: bytes
    """The statement's entry."""


class Open(NamedTuple):
    """The record that is still open: its start, and whether a reading since then is missing or was set aside."""

    start: Arrival
    gap: bool
    shift: Shift | None = None


class Span(NamedTuple):
    """A closed record: from one boundary reading to the next."""

    start: Arrival
    end: Arrival
    gap: bool
    shift: Shift | None = None


def advance(
    current: Open | None, arrival: Arrival, interval_s: int, *, bridged: bool
) -> tuple[Open, Span | None, bool]:
    """Put an admitted reading on the grid: what is open after it, the record that it closed, whether it is a boundary.

    `bridged`: a reading before this one is missing. A chain's first reading is its first boundary.
    """
    if current is None:
        return Open(arrival, gap=False), None, True
    start, gap, shift = current
    slots = arrival.time_s // interval_s - start.time_s // interval_s
    gap = gap or bridged
    if not slots:
        return (Open(start, gap, shift) if gap else current), None, False
    return Open(arrival, gap=False), Span(start, arrival, gap or slots > 1, shift), True


def interrupt(current: Open | None) -> Open | None:
    """What is open after a reading of the chain was set aside: its record will say `gap`."""
    return None if current is None else current._replace(gap=True)


def shifted(current: Open | None, shift: Shift | None) -> Open | None:
    """What is open after the last reading before a declared discontinuity."""
    if current is None or shift is None:
        return current
    return current._replace(shift=shift, gap=current.gap or not shift.is_known)


# --- Looking again at what lies between two boundaries ----------------------------------------------------------------


class Link(NamedTuple):
    """A stored reading between two boundaries, with what became of it."""

    arrival: Arrival
    state: str
    bridged: bool


class Division(NamedTuple):
    """What lies between two boundaries now: each reading with its new state, and the records.

    `is_gap`: whether something is missing or set aside since the last boundary.
    """

    links: list[Link]
    spans: list[Span]
    is_gap: bool


def follows(before: Arrival, after: Arrival) -> bool:
    """Whether one reading is the successor of another of the same chain (docs/spec/reading.md §3)."""
    if after.prev != before.digest:
        return False
    if after.epoch == before.epoch:
        return after.seq == before.seq + 1
    return after.epoch > before.epoch and after.seq == 0


def divide(links: Sequence[Link], interval_s: int, shifts: Mapping[bytes, Shift], *, is_closed: bool) -> Division:
    """Run the grid again over the readings from a boundary on, to the next boundary where `is_closed`.

    That one stays a boundary even where a reading before it is in its slot now: the record after it begins there.
    """
    first, last = links[0].arrival, links[-1].arrival
    end_slot = last.time_s // interval_s if is_closed else first.time_s // interval_s + 1
    current = shifted(Open(first, gap=False), shifts.get(first.digest)) or Open(first, gap=False)
    placed, spans, before = [links[0]], [], first
    for arrival, state, _ in links[1:]:
        bridged = not follows(before, arrival)
        before = arrival
        if state == SET_ASIDE_IN_CHAIN:
            current = current._replace(gap=True)
            placed.append(Link(arrival, state, bridged=False))
            continue
        slot, start_slot = arrival.time_s // interval_s, current.start.time_s // interval_s
        gap = current.gap or bridged
        if (is_closed and arrival is last) or start_slot < slot < end_slot:
            spans.append(Span(current.start, arrival, gap or slot - start_slot > 1, current.shift))
            current = Open(arrival, gap=False)
            placed.append(Link(arrival, BOUNDARY, bridged))
        else:
            current = current._replace(gap=gap)
            placed.append(Link(arrival, DETAIL, bridged))
        current = shifted(current, shifts.get(arrival.digest)) or current
    return Division(placed, spans, current.gap)
