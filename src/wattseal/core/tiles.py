"""The files of a tiled log (C2SP tlog-tiles): their paths, their contents, and the tree read out of them.

A tile of level L holds up to 256 nodes of tree level 8·L; a full one is the subtree over them, and its root is one
hash of level L + 1. An entry bundle holds the entries under one tile of level 0. Both are named alike, so one type
names both. Tiles need no trust: a proof made from false ones does not verify.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

from wattseal.core.merkle import HASH_BYTES, MAX_SIZE, Frontier, check_size
from wattseal.core.refusal import Refusal

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
ENTRIES: Final = -1
"""The level of an entry bundle."""
MAX_ENTRY_BYTES: Final = 0xFFFF

_MAX_LEVEL: Final = 63
_MAX_INDEX: Final = MAX_SIZE >> HEIGHT
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """The name of a tile, or of an entry bundle if `level` is ENTRIES.

    `index` counts within the level; `width` is the number of hashes or entries, 256 for a full one.
    """

    level: int
    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        if not ENTRIES <= self.level <= _MAX_LEVEL:
            raise Refusal("tile.level", f"a tile's level is 0 to {_MAX_LEVEL}, or {ENTRIES} for entries")
        if not 0 <= self.index <= _MAX_INDEX:
            raise Refusal("tile.index", "the index is out of range")
        if not 1 <= self.width <= WIDTH:
            raise Refusal("tile.width", f"a tile is 1 to {WIDTH} wide")

    @property
    def path(self) -> str:
        """Where the file lies below the log's prefix, such as `tile/0/x001/x234/067.p/8`."""
        rest, last = divmod(self.index, 1000)
        elements = [f"{last:03d}"]
        while rest:
            rest, part = divmod(rest, 1000)
            elements.append(f"x{part:03d}")
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(reversed(elements))}{partial}"

    @classmethod
    def parse(cls, path: str) -> Self:
        """The tile at this path. Refuses every spelling but the one that `path` gives."""
        match = _PATH.fullmatch(path)
        if match is None:
            raise Refusal("tile.path", "not of the form tile/<level or entries>/<index>[.p/<width>]")
        level, index, width = match.group("level", "index", "width")
        tile = cls(
            ENTRIES if level == "entries" else int(level),
            int(index.replace("x", "").replace("/", "")),
            WIDTH if width is None else int(width),
        )
        if tile.path != path:
            raise Refusal("tile.path", f"spelled {tile.path}")
        return tile


def _check_growth(size: int, since: int) -> None:
    check_size("size", size)
    if not 0 <= since <= size:
        raise Refusal("since", f"a tree of {size} leaves did not grow from {since}")


def _tiles_of_level(level: int, size: int, since: int) -> Iterator[Tile]:
    shift = HEIGHT * max(level, 0)
    nodes, old = size >> shift, since >> shift
    if nodes == old:
        return
    for index in range(old // WIDTH, -(-nodes // WIDTH)):
        yield Tile(level, index, min(WIDTH, nodes - index * WIDTH))


def tiles_of(size: int, since: int = 0) -> Iterator[Tile]:
    """The hash tiles of a tree of `size` leaves, full ones and the partial ones on its edge.

    With `since`, only those that a tree of so many leaves did not have yet.
    """
    _check_growth(size, since)
    level = 0
    while size >> (HEIGHT * level):
        yield from _tiles_of_level(level, size, since)
        level += 1


def bundles_of(size: int, since: int = 0) -> Iterator[Tile]:
    """The entry bundles of a tree of `size` leaves; `since` as in tiles_of."""
    _check_growth(size, since)
    yield from _tiles_of_level(ENTRIES, size, since)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The content of an entry bundle: each entry after its length as a big-endian uint16.

    Refuses an entry above 65,535 bytes and a number of entries that no bundle has.
    """
    if not 1 <= len(entries) <= WIDTH:
        raise Refusal("bundle", f"a bundle holds 1 to {WIDTH} entries")
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise Refusal("bundle.entry", f"an entry has at most {MAX_ENTRY_BYTES} bytes")
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """The entries of a bundle that must hold exactly `width` of them, and nothing after."""
    if not 1 <= width <= WIDTH:
        raise Refusal("bundle", f"a bundle holds 1 to {WIDTH} entries")
    entries: list[bytes] = []
    position = 0
    for _ in range(width):
        begin = position + 2
        position = begin + int.from_bytes(data[begin - 2 : begin], "big")
        if begin > len(data) or position > len(data):
            raise Refusal("bundle", f"ends within entry {len(entries)} of {width}")
        entries.append(data[begin:position])
    if position != len(data):
        raise Refusal("bundle", f"has {len(data) - position} bytes after its {width} entries")
    return entries


def split_tile(tile: Tile, data: bytes) -> list[bytes]:
    """The hashes in a tile's content, which must be exactly as long as the name says."""
    if len(data) != tile.width * HASH_BYTES:
        raise Refusal("tile", f"{tile.path} has {tile.width * HASH_BYTES} bytes, not {len(data)}")
    return [data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)]


ReadTile = Callable[[Tile], bytes]
"""Returns the content of exactly this tile. Where only a wider one is kept, its first `width` hashes."""


class NodeReader:
    """Complete nodes of a tree of `size` leaves, out of its tiles: `NodeReader(...)` is a `merkle.ReadNode`.

    The last `keep` tiles stay in memory with the nodes computed from them, so one reader should serve many proofs of
    one size.
    """

    __slots__ = ("_keep", "_read_tile", "_size", "_subtrees")

    def __init__(self, read_tile: ReadTile, size: int, *, keep: int = 64) -> None:
        check_size("size", size)
        self._read_tile = read_tile
        self._size = size
        self._keep = max(keep, 1)
        self._subtrees: OrderedDict[tuple[int, int], list[list[bytes]]] = OrderedDict()

    def __call__(self, level: int, index: int) -> bytes:
        """The hash of a complete node. Refuses one that the tree does not have, and a tile of a wrong length."""
        if level < 0 or index < 0 or (index + 1) << level > self._size:
            raise Refusal("node", f"a tree of {self._size} leaves has no complete node {index} of level {level}")
        tile_level, height = divmod(level, HEIGHT)
        tile_index, position = divmod(index << height, WIDTH)
        return self._subtree(tile_level, tile_index)[height][position >> height]

    def _subtree(self, level: int, index: int) -> list[list[bytes]]:
        """The complete nodes within one tile, by height above its hashes."""
        key = (level, index)
        heights = self._subtrees.get(key)
        if heights is not None:
            self._subtrees.move_to_end(key)
            return heights
        width = min(WIDTH, (self._size >> HEIGHT * level) - index * WIDTH)
        tile = Tile(level, index, width)
        heights = Frontier().extend(split_tile(tile, self._read_tile(tile)))
        self._subtrees[key] = heights
        if len(self._subtrees) > self._keep:
            self._subtrees.popitem(last=False)
        return heights


class TileEdge:
    """What a writer of tiles keeps: the partial tiles of the tree's right edge.

    `read_tile` is asked for those of a tree that is not empty; compare `root()` with a signed checkpoint before
    anything is built on it.
    """

    __slots__ = ("_frontier", "_partial")

    def __init__(self, size: int = 0, read_tile: ReadTile | None = None) -> None:
        check_size("size", size)
        self._partial: list[list[bytes]] = []
        nodes: list[bytes] = []
        for level in range(-(-size.bit_length() // HEIGHT)):
            filled, width = divmod(size >> HEIGHT * level, WIDTH)
            hashes: list[bytes] = []
            if width:
                if read_tile is None:
                    raise Refusal("read_tile", f"is needed for a tree of {size} leaves")
                tile = Tile(level, filled, width)
                hashes = split_tile(tile, read_tile(tile))
            subtree = Frontier()
            subtree.extend(hashes)
            self._partial.append(hashes)
            nodes[:0] = subtree.nodes
        self._frontier = Frontier(size, nodes)

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._frontier.size

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves so far."""
        return self._frontier.root()

    def extend(self, leaves: Sequence[bytes]) -> list[tuple[Tile, bytes]]:
        """Add leaves; return the full tiles that this completed, with their contents. Nothing is added on a refusal."""
        old_size = self.size
        levels = self._frontier.extend(leaves)
        full: list[tuple[Tile, bytes]] = []
        for level, run in enumerate(levels[::HEIGHT]):
            if level == len(self._partial):
                self._partial.append([])
            hashes = self._partial[level] + run
            index = (old_size >> HEIGHT * level) // WIDTH
            cuts = range(0, len(hashes) + 1, WIDTH)
            for begin, end in pairwise(cuts):
                full.append((Tile(level, index + begin // WIDTH), b"".join(hashes[begin:end])))
            self._partial[level] = hashes[cuts[-1] :]
        return full

    def partial_tiles(self) -> list[tuple[Tile, bytes]]:
        """The partial tiles of the present size, with their contents: what is to be written at a checkpoint."""
        return [
            (Tile(level, (self.size >> HEIGHT * level) // WIDTH, len(hashes)), b"".join(hashes))
            for level, hashes in enumerate(self._partial)
            if hashes
        ]
