"""Rebuilds the tree from its entries and compares every hash tile with the one that is held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from wattseal.core.merkle import HASH_BYTES, leaf_hashes, tree_root
from wattseal.core.tiles import HEIGHT, WIDTH, Tile, TileEdge
from wattseal.log.report import Findings

Held = Callable[[Tile], bytes | None]
"""The content that is held for a tile; it may be longer than the tile's width asks for."""


class TreeCheck:
    """Takes the entries of a log in order, at most one bundle at a time.

    Where an entry's leaf and the held leaf differ, the tree goes on with the one that the tiles above agree with: so
    one changed entry is one finding, and every later root still tells something of its own.
    """

    def __init__(self, held: Held, findings: Findings) -> None:
        self._held = held
        self._findings = findings
        self._edge = TileEdge()

    @property
    def size(self) -> int:
        """The number of entries so far."""
        return self._edge.size

    def root(self) -> bytes:
        """The root over the entries so far."""
        return self._edge.root()

    def leaves_of(self, index: int, entries: Sequence[bytes]) -> list[bytes]:
        """The leaves of one bundle, all that it has, compared with the held ones; hand them to `add`."""
        tile = Tile(0, index, len(entries))
        leaves = leaf_hashes(entries)
        held = (self._held(tile) or b"")[: tile.width * HASH_BYTES]
        if held == b"".join(leaves):
            return leaves
        held_leaves = _split(held)
        if len(held_leaves) != len(leaves):
            self._findings.bad(f"{tile.path} is missing or too short", index * WIDTH + len(held_leaves))
            return leaves
        for position, (leaf, held_leaf) in enumerate(zip(leaves, held_leaves, strict=True), index * WIDTH):
            if leaf != held_leaf:
                self._findings.bad("its leaf in the tree is not that of the entry", position)
        return held_leaves if self._agrees_above(tile, held_leaves) else leaves

    def _agrees_above(self, tile: Tile, leaves: Sequence[bytes]) -> bool:
        above, position = divmod(tile.index, WIDTH)
        if tile.width < WIDTH:
            return False
        held = self._held(Tile(tile.level + 1, above, position + 1)) or b""
        return held[position * HASH_BYTES :][:HASH_BYTES] == tree_root(leaves)

    def add(self, leaves: Sequence[bytes]) -> None:
        """Grow the tree, and compare the tiles above the leaves that this completed."""
        for tile, content in self._edge.extend(leaves):
            self._findings.count("tiles")
            if tile.level:
                self._compare(tile, content)

    def finish(self, *, is_exact: bool) -> None:
        """After the last entry, compare the partial tiles; `is_exact`: nothing may be held beyond them."""
        for tile, content in self._edge.partial_tiles():
            self._findings.count("tiles")
            if tile.level:
                self._compare(tile, content)
        for level in count() if is_exact else ():
            nodes = self.size >> HEIGHT * level
            index, width = divmod(nodes, WIDTH)
            held = self._held(Tile(level, index)) or b""
            if len(held) > width * HASH_BYTES:
                self._findings.bad(f"tile {index} of level {level} holds more than the log has entries for")
            if not nodes:
                return

    def _compare(self, tile: Tile, content: bytes) -> None:
        held = (self._held(tile) or b"")[: len(content)]
        if held == content:
            return
        ours, theirs = _split(content), _split(held)
        position = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), len(theirs))
        first = tile.index * WIDTH + position << HEIGHT * tile.level
        last = first + (1 << HEIGHT * tile.level) - 1
        self._findings.bad_range(f"{tile.path} differs from the tree from entry {first} on", first, last)


def _split(data: bytes) -> list[bytes]:
    return [data[start : start + HASH_BYTES] for start in range(0, len(data) - HASH_BYTES + 1, HASH_BYTES)]
