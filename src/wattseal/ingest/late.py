"""Late readings: those whose gap was bridged before they came (docs/spec/reading.md §4.3). Pure.

A gap is looked at once in a transaction, however many of its readings come.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from wattseal.core.units import MAX_ENERGY_MWH, kwh_text, rfc3339
from wattseal.ingest.arrival import Arrival
from wattseal.ingest.chain import Around
from wattseal.ingest.grid import Link, Shift, follows
from wattseal.log.port import BOUNDARY, DETAIL, LATE, SET_ASIDE_IN_CHAIN, EntryRow

USED = frozenset({BOUNDARY, DETAIL, LATE})
"""Readings that energy counts from, or would."""
IN_CHAIN = USED | {SET_ASIDE_IN_CHAIN}
"""Readings whose digest satisfies the next prev."""


def is_settled(_record: EntryRow) -> bool:
    """Whether a closing has billed this record: then late readings stay detail, and it stands.

    There are no closings yet. The one place to ask, once there are.
    """
    return False


class Gap:
    """The readings of a chain from one boundary to the next, between which some are missing.

    `record` is the one that spans them; None while it is open, and then the links end where the chain stands.
    """

    def __init__(self, links: Sequence[Link], record: EntryRow | None) -> None:
        self.links = list(links)
        self.record = record
        self.has_more = False
        """Whether a late reading was added."""

    def encloses(self, arrival: Arrival) -> bool:
        """Whether the reading's place is between the outermost ones."""
        return _place(self.links[0]) < (arrival.epoch, arrival.seq) < _place(self.links[-1])

    def around(self, arrival: Arrival, shifts: Mapping[bytes, Shift]) -> Around | None:
        """The neighbours of a reading's place; None where nothing is missing there."""
        place = bisect_left(self.links, (arrival.epoch, arrival.seq), key=_place)
        if not 0 < place < len(self.links):
            return None
        link_before, link_after = self.links[place - 1].arrival, self.links[place].arrival
        if follows(link_before, link_after):
            return None
        before = next(link.arrival for link in reversed(self.links[:place]) if link.state in USED)
        after = next((link.arrival for link in self.links[place:] if link.state in USED), None)
        return after and Around(beyond(before, shifts.get(before.digest)), link_before, link_after, after)

    def add(self, arrival: Arrival) -> None:
        """Take in a late reading."""
        place = bisect_left(self.links, (arrival.epoch, arrival.seq), key=_place)
        self.links.insert(place, Link(arrival, LATE, bridged=False))
        self.has_more = True


def _place(link: Link) -> tuple[int, int]:
    return link.arrival.epoch, link.arrival.seq


def beyond(arrival: Arrival, shift: Shift | None) -> Arrival:
    """A reading as the register after a declared discontinuity would have shown it, had it counted then."""
    if shift is None:
        return arrival
    return arrival._replace(
        import_mwh=arrival.import_mwh - shift.import_mwh, export_mwh=arrival.export_mwh - shift.export_mwh
    )


class Contradiction(NamedTuple):
    """Why a late reading cannot stand between its neighbours: a reason of reading.md §4.1, and words."""

    reason: str
    detail: str


def contradiction(around: Around, arrival: Arrival, is_too_much: Callable[[int, int], bool]) -> Contradiction | None:
    """What a late reading says that its neighbours deny; `is_too_much(mWh, s)` knows the meter's rating."""
    before, link_before, link_after, after = around
    if _is_next(link_before, arrival) and arrival.prev != link_before.digest:
        return Contradiction("broken-chain", "its prev is not the digest of the reading before it")
    if _is_next(arrival, link_after) and link_after.prev != arrival.digest:
        return Contradiction("broken-chain", "the reading after it names another one as its prev")
    if not before.time_s < arrival.time_s < after.time_s:
        detail = f"{rfc3339(arrival.time_s)} is not between {rfc3339(before.time_s)} and {rfc3339(after.time_s)}"
        return Contradiction("clock-backwards", detail)
    for name, low, now, high in (
        ("import", before.import_mwh, arrival.import_mwh, after.import_mwh),
        ("export", before.export_mwh, arrival.export_mwh, after.export_mwh),
    ):
        if not low <= now <= high:
            detail = f"the {name} register, {kwh_text(now)} kWh, is not between its neighbours'"
            return Contradiction("register-fell", detail)
    for first, second in ((before, arrival), (arrival, after)):
        energy_mwh = max(second.import_mwh - first.import_mwh, second.export_mwh - first.export_mwh)
        seconds = second.time_s - first.time_s
        if energy_mwh > MAX_ENERGY_MWH or is_too_much(energy_mwh, seconds):
            return Contradiction("rate-impossible", f"{kwh_text(energy_mwh)} kWh in {seconds} s")
        if second.profile is not None and follows(first, second) and second.profile != _since(first, second):
            return Contradiction("profile-mismatch", "a profile does not add up to the differences of the readings")
    return None


def _is_next(before: Arrival, after: Arrival) -> bool:
    return before.epoch == after.epoch and before.seq + 1 == after.seq


def _since(before: Arrival, after: Arrival) -> tuple[int, int, int]:
    return (
        after.time_s - before.time_s,
        after.import_mwh - before.import_mwh,
        after.export_mwh - before.export_mwh,
    )
