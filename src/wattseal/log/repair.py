"""Writes damaged tiles anew from the rows: the one part of a log that can be made again (docs/operate/recovery.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wattseal.core.checkpoint import open_checkpoint
from wattseal.core.merkle import HASH_BYTES, leaf_hash
from wattseal.core.note_key import Verifier
from wattseal.core.refusal import Refusal
from wattseal.core.tiles import WIDTH, TileEdge
from wattseal.log.port import ENTRY_TILES, EntryRow, Store, Write
from wattseal.log.report import Progress
from wattseal.log.salts import SaltSource, SecretErased

_CHUNK: Final = 16 * WIDTH


def rebuild_tiles(store: Store, guard: str | None, verifier: Verifier, *, progress: Progress | None = None) -> int:
    """Write every tile that differs from what the rows lead to; return how many these were.

    Nothing is written unless the rows lead to the root that the guard holds, and unless every later entry agrees with
    its row in one of its two tiles. Refuses otherwise, naming an entry where it can: then rows are damaged, and tiles
    are the only trace of what they were. The log must not be running (StoreBusy).
    """
    signed = None if guard is None else open_checkpoint(guard.encode(), verifier).checkpoint
    written, edge = 0, TileEdge()
    with store.write() as tx:
        if signed is None and tx.batches(limit=1):
            raise Refusal("guard", "is missing: without it nothing says which tree is the right one")
        size = tx.size()
        _check_ends(tx, size)
        for begin, entries in _bundles(tx, size, 0 if signed is None else signed.size):
            tiles = [(ENTRY_TILES, begin // WIDTH, b"".join(entries))]
            leaves = [leaf_hash(entry) for entry in entries]
            if signed is not None and begin < signed.size <= begin + len(leaves):
                split = signed.size - begin
                full = edge.extend(leaves[:split])
                if edge.root() != signed.root:
                    raise Refusal("entries", "the rows do not lead to the root that was signed: run wattseal fsck")
                full += edge.extend(leaves[split:])
            else:
                full = edge.extend(leaves)
            if edge.size == size:
                full += edge.partial_tiles()
            tiles += [(tile.level, tile.index, content) for tile, content in full]
            wrong = [tile for tile in tiles if tx.tile(*tile[:2]) != tile[2]]
            tx.put_tiles(wrong)
            written += len(wrong)
            if progress is not None:
                progress(edge.size, size)
        if signed is not None and signed.size > size:
            raise Refusal("entries", f"the store has {size} entries, and {signed.size} were signed")
    return written


def _check_ends(tx: Write, size: int) -> None:
    """Tiles that go on beyond the rows show that rows were lost; they must not be cut to hide it."""
    index, width = divmod(size, WIDTH)
    for level in (ENTRY_TILES, 0):
        if len(tx.tile(level, index) or b"") > width * HASH_BYTES:
            raise Refusal("entries", f"rows are missing from entry {size} on: the tiles hold more")


def _bundles(tx: Write, size: int, signed: int) -> Iterator[tuple[int, list[bytes]]]:
    source = SaltSource(tx.secrets())
    for chunk in range(0, size, _CHUNK):
        rows = {row.idx: row for row in tx.entries(chunk, min(_CHUNK, size - chunk))}
        for begin in range(chunk, min(chunk + _CHUNK, size), WIDTH):
            held, leaves = tx.tile(ENTRY_TILES, begin // WIDTH) or b"", tx.tile(0, begin // WIDTH) or b""
            entries = []
            for place in range(min(WIDTH, size - begin)):
                at = slice(place * HASH_BYTES, (place + 1) * HASH_BYTES)
                entry = _entry(source, begin + place, rows.get(begin + place), held[at])
                if begin + place >= signed and held[at] != entry and leaves[at] != leaf_hash(entry):
                    raise Refusal("entries", f"entry {begin + place} was changed, and no signature says what it was")
                entries.append(entry)
            yield begin, entries


def _entry(source: SaltSource, index: int, row: EntryRow | None, held: bytes) -> bytes:
    """The entry of a row; of an erased one the entry in its tile."""
    if row is None:
        raise Refusal("entries", f"the row of entry {index} is missing")
    if not row.body:
        if len(held) != HASH_BYTES:
            raise Refusal("entries", f"entry {index} is erased, and its tile is lost: take the tile from an export")
        return held
    try:
        return source.entry(row)
    except SecretErased as error:
        raise Refusal("entries", str(error)) from error
