"""Which time of one meter its records cover: each moment once, and joined where one reading chain runs on."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from wattseal.core.units import rfc3339


class Piece(NamedTuple):
    """The time of one record, in Unix seconds, half-open. `chain` is None where the evidence has no chain."""

    start_s: int
    end_s: int
    start_slot: bytes
    end_slot: bytes
    chain: str | None


@dataclass(slots=True)
class _Stretch:
    """Pieces that follow one another without a break: the outer edges of the first and the last."""

    first: Piece
    last: Piece


class Coverage:
    """Takes records in any order. It keeps only the ends of stretches, so it grows with the interruptions alone."""

    __slots__ = ("_starts", "_stretches")

    def __init__(self) -> None:
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
        fault = None
        if left is not None and left.last.end_s != piece.start_s:
            left = None
        if right is not None and right.first.start_s != piece.end_s:
            right = None
        if (left is not None and not _joined(left.last, piece)) or (
            right is not None and not _joined(piece, right.first)
        ):
            fault = "does not begin with the reading that the record before it ended with"
        self._join(place, left, piece, right)
        return fault

    def _join(self, place: int, left: _Stretch | None, piece: Piece, right: _Stretch | None) -> None:
        if left is not None and right is not None:
            left.last = right.last
            del self._starts[place], self._stretches[place]
        elif left is not None:
            left.last = piece
        elif right is not None:
            right.first = piece
            self._starts[place] = piece.start_s
        else:
            self._starts.insert(place, piece.start_s)
            self._stretches.insert(place, _Stretch(piece, piece))


def _joined(before: Piece, after: Piece) -> bool:
    """Whether slots match where both are of one chain; a new chain begins with a reading of its own."""
    return before.chain is None or before.chain != after.chain or before.end_slot == after.start_slot
