"""Which time of one meter its records cover: each moment once, and joined where one reading chain runs on."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from wattseal.core.units import rfc3339


class Piece(NamedTuple):
    """The time of one record, in Unix seconds, half-open. `chain` is None where the evidence has no chain.

    `is_read`: two readings stand behind it. `is_released`: one of them is a reading that the operator released, after
    which a register may begin anew (docs/spec/log.md §2).
    """

    start_s: int
    end_s: int
    start_slot: bytes
    end_slot: bytes
    chain: str | None
    is_read: bool = False
    is_released: bool = False


@dataclass(slots=True)
class _Stretch:
    """Pieces that follow one another without a break: the first and the last, and the first and last from readings."""

    first: Piece
    last: Piece
    first_read: Piece | None
    last_read: Piece | None


class Coverage:
    """Takes records in any order. It keeps only the ends of stretches, so it grows with the interruptions alone."""

    __slots__ = ("_starts", "_stretches", "reported_between")

    def __init__(self) -> None:
        self.reported_between = 0
        """How often what was reported stands where a chain of readings ran on."""
        self._starts: list[int] = []
        self._stretches: list[_Stretch] = []

    @property
    def interruptions(self) -> int:
        """How many times the records stop and begin again."""
        return max(len(self._stretches) - 1, 0)

    def add(self, piece: Piece) -> str | None:
        """Take a record; what is wrong with it, in words, if it covers a time twice or breaks its chain."""
        place = bisect_right(self._starts, piece.start_s)
        left = self._stretches[place - 1] if place else None
        right = self._stretches[place] if place < len(self._stretches) else None
        for other in (left, right):
            if other is not None and piece.start_s < other.last.end_s and other.first.start_s < piece.end_s:
                times = f"from {rfc3339(other.first.start_s)} to {rfc3339(other.last.end_s)}"
                return f"covers time that other records of its meter cover, {times}: energy would count twice"
        if left is not None and left.last.end_s != piece.start_s:
            left = None
        if right is not None and right.first.start_s != piece.end_s:
            right = None
        read = piece if piece.is_read else None
        whole, fault = _Stretch(piece, piece, read, read), None
        if left is not None:
            fault = self._fault(left, whole)
            whole = _followed(left, whole)
        if right is not None:
            fault = fault or self._fault(whole, right)
            whole = _followed(whole, right)
        first = place if left is None else place - 1
        last = place if right is None else place + 1
        self._starts[first:last] = [whole.first.start_s]
        self._stretches[first:last] = [whole]
        return fault

    def _fault(self, left: _Stretch, right: _Stretch) -> str | None:
        """What is wrong where two stretches meet."""
        before, after = left.last, right.first
        if before.chain is not None and before.chain == after.chain and before.end_slot != after.start_slot:
            return "does not begin with the reading that the record before it ended with"
        if before.is_read != after.is_read and before.end_slot == after.start_slot:
            return "names the reading of another record as its evidence, though no reading stands behind it"
        read, next_read = left.last_read, right.first_read
        if read is None or next_read is None or (before.is_read and after.is_read):
            return None
        # In one chain of readings each record goes on where the one before it ended; what stands between was put there.
        if read.chain != next_read.chain or read.is_released or next_read.is_released:
            return None
        if (after if before.is_read else before).chain is None:
            # It may have been reported before the meter had a key: then the reading for the same time was set aside.
            self.reported_between += 1
            return None
        return "leaves what no device read between two readings of one chain, whose registers count that time already"


def _followed(left: _Stretch, right: _Stretch) -> _Stretch:
    return _Stretch(left.first, right.last, left.first_read or right.first_read, right.last_read or left.last_read)
