"""The read side of the log: proofs, and the files of C2SP tlog-tiles, out of the stored tiles (docs/spec/log.md §6)."""

from __future__ import annotations

from typing import Final

from wattseal.core.merkle import HASH_BYTES, consistency_path, inclusion_path, leaf_hash
from wattseal.core.refusal import Refusal
from wattseal.core.tiles import ENTRIES, HEIGHT, WIDTH, NodeReader, Tile, encode_bundle, split_tile
from wattseal.log.port import BatchRow, Read
from wattseal.log.tail import edge_at, tile_reader

CHECKPOINT_PATH: Final = "checkpoint"


class LogReader:
    """The log as its newest checkpoint in one committed state has it: what was appended since is not shown.

    One reader serves many proofs well, since it keeps the tiles it has read. All methods raise tail.Damaged where the
    store lacks what its checkpoint covers.
    """

    def __init__(self, read: Read) -> None:
        self._read_tile = tile_reader(read)
        self._read = read
        # Only the newest batch can be without a checkpoint, and only for a moment.
        newest = read.batches(newest_first=True, limit=2)
        self.batch: Final[BatchRow | None] = next((row for row in newest if row.checkpoint is not None), None)
        """The newest batch that has a checkpoint."""
        self.size: Final = 0 if self.batch is None else self.batch.last_idx + 1
        """The number of entries under the checkpoint."""
        self._nodes = NodeReader(self._read_tile, self.size)

    @property
    def checkpoint(self) -> str | None:
        """The newest signed checkpoint, None before the first."""
        return None if self.batch is None else self.batch.checkpoint

    def entry(self, idx: int) -> bytes:
        """The 32 bytes that the log commits to at an index. Refuses an index beyond the checkpoint."""
        if not 0 <= idx < self.size:
            raise Refusal("index", f"the log has {self.size} entries under its checkpoint, and no entry {idx}")
        index, position = divmod(idx, WIDTH)
        return self._read_tile(Tile(ENTRIES, index, position + 1))[-HASH_BYTES:]

    def leaf(self, idx: int) -> bytes:
        """The leaf at an index: the hash of its entry."""
        return leaf_hash(self.entry(idx))

    def root(self, size: int) -> bytes:
        """The root that the log had at that size. Refuses one beyond the checkpoint."""
        self._check_size(size)
        return edge_at(self._read, size).root()

    def inclusion_path(self, idx: int, size: int) -> list[bytes]:
        """The RFC 6962 path of an index in the tree of `size` entries. Refuses a size beyond the checkpoint."""
        self._check_size(size)
        return inclusion_path(self._nodes, idx, size)

    def consistency_path(self, size1: int, size2: int) -> list[bytes]:
        """The RFC 6962 proof from one size to a later one. Refuses sizes beyond the checkpoint, and an empty first."""
        self._check_size(size2)
        return consistency_path(self._nodes, size1, size2)

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self.size:
            raise Refusal("size", f"the checkpoint covers {self.size} entries, not {size}")

    def file(self, path: str) -> bytes | None:
        """The content of a path below the log's prefix: `checkpoint` or a tile; None (404) where there is none.

        A partial tile is there for every width up to what the checkpoint covers, also when the full one exists: a
        client may still work on an older checkpoint.
        """
        if path == CHECKPOINT_PATH:
            return None if self.checkpoint is None else self.checkpoint.encode()
        try:
            tile = Tile.parse(path)
        except Refusal:
            return None
        return self.tile_bytes(tile)

    def tile_bytes(self, tile: Tile) -> bytes | None:
        """The content of a tile or entry bundle as C2SP tlog-tiles has it, None where the checkpoint does not reach."""
        if tile.index * WIDTH + tile.width > self.size >> HEIGHT * max(tile.level, 0):
            return None
        data = self._read_tile(tile)
        if tile.level != ENTRIES:
            return data
        return encode_bundle(split_tile(tile, data))
