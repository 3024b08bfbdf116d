"""The end of the log as the store holds it: read again before anything is signed, and when the log is opened.

Read are the last tile of each level, and all tiles and rows since an index; they must fit one another. What lies before
is held together by the last signed checkpoint, and by fsck.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Final

from wattseal.core.merkle import HASH_BYTES, leaf_hashes, tree_root
from wattseal.core.refusal import Refusal
from wattseal.core.tiles import HEIGHT, WIDTH, ReadTile, Tile, TileEdge, split_tile
from wattseal.log.port import ENTRY_TILES, EntryRow, Read
from wattseal.log.salts import SaltSource, SecretErased

_CHUNK: Final = 16 * WIDTH


class Damaged(RuntimeError):
    """The store does not hold what it must. `index`: the first entry that is affected, None where none can be named."""

    def __init__(self, index: int | None, reason: str) -> None:
        super().__init__(reason if index is None else f"entry {index}: {reason}")
        self.index = index


def tile_reader(read: Read) -> ReadTile:
    """The tiles of a store as the core asks for them. What is read raises Damaged where the store holds less."""

    def read_tile(tile: Tile) -> bytes:
        length = tile.width * HASH_BYTES
        data = read.tile(tile.level, tile.index) or b""
        if len(data) < length:
            raise Damaged(_first_entry(tile), f"the store lacks a part of {tile.path}")
        return data[:length]

    return read_tile


def edge_at(read: Read, size: int) -> TileEdge:
    """The right edge that the tree had with `size` entries, with its root, out of the stored tiles. Raises Damaged."""
    return TileEdge(size, tile_reader(read))


def last_bundle(read: Read, size: int) -> bytes:
    """The entries of the unfinished entry tile. Raises Damaged."""
    index, width = divmod(size, WIDTH)
    return tile_reader(read)(Tile(ENTRY_TILES, index, width)) if width else b""


def read_tail(read: Read, since: int) -> TileEdge:
    """The right edge of all that the store holds, after the rows and tiles since that index were compared.

    Raises Damaged where they differ. An entry whose body is erased is taken from its tile: fsck asks for its tombstone.
    """
    size = read.size()
    for tile in _last_tiles(size):
        _check_length(read, tile)
    if size:
        _check_rows(read, min(since, size - 1) // WIDTH * WIDTH, size)
        _check_levels(read, min(since, size - 1), size)
    return edge_at(read, size)


def _first_entry(tile: Tile) -> int:
    return tile.index * WIDTH << HEIGHT * max(tile.level, 0)


def _last_tiles(size: int) -> Iterator[tuple[int, int, int]]:
    """(level, index, number of hashes) of the unfinished tile of each level, up to the first level that is empty."""
    yield ENTRY_TILES, *divmod(size, WIDTH)
    for level in count():
        nodes = size >> HEIGHT * level
        yield level, *divmod(nodes, WIDTH)
        if not nodes:
            return


def _check_length(read: Read, tile: tuple[int, int, int]) -> None:
    """More hashes than entries mean that entries were taken away; fewer, that tiles were."""
    level, index, width = tile
    found = len(read.tile(level, index) or b"")
    if found != width * HASH_BYTES:
        first = index * WIDTH + min(width, found // HASH_BYTES) << HEIGHT * max(level, 0)
        wanted = width * HASH_BYTES
        raise Damaged(first, f"tile {index} of level {level} has {found} bytes, and its entries ask for {wanted}")


def _check_rows(read: Read, first: int, size: int) -> None:
    source, read_tile = SaltSource(read.secrets()), tile_reader(read)
    for chunk in range(first, size, _CHUNK):
        rows = iter(read.entries(chunk, min(_CHUNK, size - chunk)))
        for index in range(chunk // WIDTH, -(-min(chunk + _CHUNK, size) // WIDTH)):
            width = min(WIDTH, size - index * WIDTH)
            entries = split_tile(named := Tile(ENTRY_TILES, index, width), read_tile(named))
            for position, entry in enumerate(entries, index * WIDTH):
                row = next(rows, None)
                if row is None or row.idx != position:
                    raise Damaged(position, "its row is missing")
                if row.body and not _leads_to(source, row, entry):
                    raise Damaged(position, "its row was changed: body, slots, id or secret do not lead to its hash")
            leaves = split_tile(named := Tile(0, index, width), read_tile(named))
            for position, (entry, leaf) in enumerate(zip(leaf_hashes(entries), leaves, strict=True), index * WIDTH):
                if entry != leaf:
                    raise Damaged(position, "its entry tile and its leaf in the tree differ")


def _leads_to(source: SaltSource, row: EntryRow, entry: bytes) -> bool:
    try:
        return source.entry(row) == entry
    except (SecretErased, Refusal):
        return False


def _check_levels(read: Read, since: int, size: int) -> None:
    """Each hash above level 0 that covers something since then must be the root of the full tile below it."""
    read_tile = tile_reader(read)
    for level in count(1):
        first, end = since >> HEIGHT * level, size >> HEIGHT * level
        if not end:
            return
        for node in range(min(first, end - 1), end):
            index, position = divmod(node, WIDTH)
            held = read_tile(Tile(level, index, position + 1))[position * HASH_BYTES :]
            below = Tile(level - 1, node)
            if tree_root(split_tile(below, read_tile(below))) != held:
                raise Damaged(node << HEIGHT * level, f"a hash of level {level} is not the root of the tile below it")
