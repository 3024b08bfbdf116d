"""Whether the store continues what was signed: asked when the log is opened, and before each signature.

All of it only reads. What does not fit raises tail.Damaged or Refusal, and the sequencer halts (docs/spec/log.md §4).
"""

from __future__ import annotations

from typing import NamedTuple

from wattseal.core.checkpoint import Checkpoint, open_checkpoint
from wattseal.core.merkle import consistency_path, verify_consistency
from wattseal.core.note_key import Verifier
from wattseal.core.tiles import NodeReader, TileEdge
from wattseal.log.port import BatchRow, Read
from wattseal.log.tail import Damaged, edge_at, read_tail, tile_reader


class End(NamedTuple):
    """Where a log stands: its tree, its last batch with a checkpoint, and the batch that still waits for one.

    `is_signed`: the pending batch's checkpoint is what the guard holds, so it is only to be stored.
    """

    edge: TileEdge
    last: BatchRow | None
    pending: BatchRow | None
    is_signed: bool


def find_end(read: Read, held: str | None, verifier: Verifier) -> End:
    """Read the end of a log whose guard holds `held`, after all that no checkpoint covers was compared row by row."""
    newest = read.batches(newest_first=True, limit=2)
    unsigned = [row for row in newest if row.checkpoint is None]
    if unsigned not in ([], list(newest[:1])):
        raise Damaged(unsigned[-1].first_idx, f"batch {unsigned[-1].number} has no checkpoint, and a later one has")
    pending = unsigned[0] if unsigned else None
    last = next((row for row in newest if row.checkpoint is not None), None)
    guard = None if held is None else opened(held, verifier)
    stored = None if last is None or last.checkpoint is None else opened(last.checkpoint, verifier)
    is_signed = _compare(read, guard, stored, pending)
    return End(read_tail(read, 0 if guard is None else guard.size), last, pending, is_signed)


def checkpoint_to_sign(
    read: Read, held: str | None, last: str | None, row: BatchRow, edge: TileEdge, verifier: Verifier
) -> Checkpoint:
    """The checkpoint of a batch, from the stored tiles, proved to extend the one that the guard holds.

    `last` is the last stored checkpoint and `edge` the tree as the sequencer knows it: neither is believed alone.
    """
    size = row.last_idx + 1
    tail = read_tail(read, size - 1)
    if (tail.size, tail.root()) != (edge.size, edge.root()):
        raise Damaged(None, "the end of the tree in the store is not what was written")
    older = None if held is None else opened(held, verifier)
    # Cosignatures may stand on the stored note, so bodies are compared, not notes.
    if older != (None if last is None else opened(last, verifier)):
        raise Damaged(None, "the guard does not hold the last checkpoint of the store")
    newer = Checkpoint(verifier.name, size, edge_at(read, size).root())
    if newer.root != row.root:
        raise Damaged(row.first_idx, f"batch {row.number} was recorded with another root than its tiles have")
    if older is not None:
        path = consistency_path(NodeReader(tile_reader(read), size), older.size, size)
        verify_consistency(older.size, older.root, size, newer.root, path)
    return newer


def opened(note: str, verifier: Verifier) -> Checkpoint:
    """A checkpoint that this log signed; Refusal for any other."""
    return open_checkpoint(note.encode(), verifier).checkpoint


def _compare(read: Read, guard: Checkpoint | None, stored: Checkpoint | None, pending: BatchRow | None) -> bool:
    """Whether the guard is ahead by the pending batch; Damaged unless it is that, or is the last stored checkpoint."""
    if guard is None:
        if stored is not None:
            raise Damaged(None, "the guard is missing, although checkpoints were signed")
        return False
    size = read.size()
    if guard.size > size:
        text = f"the guard's checkpoint has {guard.size} entries and the store {size}: the store is older than that"
        raise Damaged(size, f"{text}, perhaps a restored backup")
    if stored is not None and guard.size < stored.size:
        raise Damaged(None, f"the guard is older than the store: {guard.size} entries against {stored.size}")
    for checkpoint in (stored, guard):
        if checkpoint is not None and edge_at(read, checkpoint.size).root() != checkpoint.root:
            raise Damaged(None, f"the store does not lead to the root that was signed at {checkpoint.size} entries")
    if stored is not None and guard.size == stored.size:
        return False
    if pending is None or (guard.size, guard.root) != (pending.last_idx + 1, pending.root):
        raise Damaged(None, f"the guard's checkpoint of {guard.size} entries closes no batch of the store")
    return True
