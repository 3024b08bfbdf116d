"""Wattseal's sorted map: a commitment to a set of (key, value) that proves what is in it and what is not.

The pairs, strictly ascending by key, are the entries of an RFC 6962 tree; the commitment is that tree's size and root.
A key is absent if two neighbours enclose it, or the first or last pair lies beyond it, or the map is empty.

The proofs hold only for a map that is sorted, and a root does not show that it is: a holder who sorts wrongly could
prove a key both present and absent. Hence every map is rebuilt from its published pairs by whoever monitors the log.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from wattseal.core.merkle import (
    EMPTY_ROOT,
    Frontier,
    check_hashes,
    check_size,
    inclusion_path,
    leaf_hash,
    verify_inclusion,
)
from wattseal.core.refusal import Refusal

KEY_BYTES: Final = 32
VALUE_BYTES: Final = 32

_TAG: Final = b"wattseal/map/1\n"

Item = tuple[bytes, bytes]
"""(key, value), 32 bytes each."""


@dataclass(frozen=True, slots=True)
class MapRoot:
    """The commitment to a map: its number of pairs and the root over them. Refuses an empty one with another root."""

    size: int
    root: bytes

    def __post_init__(self) -> None:
        check_size("map.size", self.size)
        check_hashes("map.root", (self.root,))
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise Refusal("map.root", "not the root of an empty map")


@dataclass(frozen=True, slots=True)
class MemberProof:
    """Where a pair stands in the map, with the path from there to the root."""

    index: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A pair beside the place where an absent key would stand."""

    key: bytes
    value: bytes
    member: MemberProof


@dataclass(frozen=True, slots=True)
class AbsenceProof:
    """The pairs left and right of an absent key; None where the map ends."""

    left: Neighbour | None
    right: Neighbour | None


def item_leaf(key: bytes, value: bytes) -> bytes:
    """The leaf of a pair. Refuses a key or value that is not 32 bytes."""
    if len(key) != KEY_BYTES:
        raise Refusal("map.key", f"a key is {KEY_BYTES} bytes")
    if len(value) != VALUE_BYTES:
        raise Refusal("map.value", f"a value is {VALUE_BYTES} bytes")
    return leaf_hash(_TAG + key + value)


class SortedMap:
    """A map in memory, for many proofs out of one. Refuses keys that do not strictly ascend."""

    __slots__ = ("_items", "_keys", "_levels", "commitment")

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = tuple(items)
        self._keys = [key for key, _ in self._items]
        leaves = [item_leaf(key, value) for key, value in self._items]
        if any(left >= right for left, right in pairwise(self._keys)):
            raise Refusal("map.key", "keys must strictly ascend")
        tree = Frontier()
        self._levels = tree.extend(leaves)
        self.commitment = MapRoot(tree.size, tree.root())

    def prove_member(self, key: bytes) -> MemberProof:
        """Prove that the map holds this key. Refuses a key that it does not hold."""
        index = bisect_left(self._keys, key)
        if self._keys[index : index + 1] != [key]:
            raise Refusal("map.key", "not in the map")
        return self._member(index)

    def prove_absent(self, key: bytes) -> AbsenceProof:
        """Prove that the map does not hold this key. Refuses a key that it holds."""
        if len(key) != KEY_BYTES:
            raise Refusal("map.key", f"a key is {KEY_BYTES} bytes")
        index = bisect_left(self._keys, key)
        if self._keys[index : index + 1] == [key]:
            raise Refusal("map.key", "in the map")
        left = self._neighbour(index - 1) if index else None
        right = self._neighbour(index) if index < len(self._keys) else None
        return AbsenceProof(left, right)

    def _node(self, level: int, index: int) -> bytes:
        return self._levels[level][index]

    def _member(self, index: int) -> MemberProof:
        return MemberProof(index, tuple(inclusion_path(self._node, index, len(self._items))))

    def _neighbour(self, index: int) -> Neighbour:
        key, value = self._items[index]
        return Neighbour(key, value, self._member(index))


def map_root(items: Iterable[Item]) -> MapRoot:
    """The commitment to these pairs, which must strictly ascend by key."""
    return SortedMap(items).commitment


def prove_member(items: Iterable[Item], key: bytes) -> MemberProof:
    """Prove one key of these pairs; for more than one, keep a SortedMap."""
    return SortedMap(items).prove_member(key)


def prove_absent(items: Iterable[Item], key: bytes) -> AbsenceProof:
    """Prove that these pairs lack one key; for more than one, keep a SortedMap."""
    return SortedMap(items).prove_absent(key)


def verify_member(commitment: MapRoot, key: bytes, value: bytes, proof: MemberProof) -> None:
    """Return if the map holds this pair. Raises ProofMismatch if the proof leads elsewhere, Refusal if malformed."""
    verify_inclusion(item_leaf(key, value), proof.index, commitment.size, proof.path, commitment.root)


def verify_absent(commitment: MapRoot, key: bytes, proof: AbsenceProof) -> None:
    """Return if the map, being sorted, cannot hold this key.

    Raises ProofMismatch if a neighbour is not where it is said to be, Refusal if the neighbours do not enclose the key
    without a place between them.
    """
    if len(key) != KEY_BYTES:
        raise Refusal("map.key", f"a key is {KEY_BYTES} bytes")
    left, right = proof.left, proof.right
    # The places of the two neighbours must be k and k + 1, where -1 and `size` stand for the two ends of the map.
    place = -1 if left is None else left.member.index
    if (commitment.size if right is None else right.member.index) != place + 1:
        raise Refusal("absence", "the neighbours do not stand side by side")
    if left is not None:
        if not left.key < key:
            raise Refusal("absence.left", "the key does not lie after its left neighbour")
        verify_member(commitment, left.key, left.value, left.member)
    if right is not None:
        if not key < right.key:
            raise Refusal("absence.right", "the key does not lie before its right neighbour")
        verify_member(commitment, right.key, right.value, right.member)
