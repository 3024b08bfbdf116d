"""Keeps the simulated chain in the log's store: blocks in their table, waiting transactions in a setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wattseal.anchor.attest import Commit
from wattseal.anchor.simulated import SimulatedChain
from wattseal.log.port import Store, Write

PENDING_KEY: Final = "anchor.simulated.pending"
_LENGTH_BYTES: Final = 4


class StoredChain:
    """A `ChainStore` whose calls are durable when they return."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit

    def save_blocks(self, first_height: int, blocks: Sequence[bytes]) -> None:
        """Keep blocks, and forget the waiting transactions that they hold."""

        def save(tx: Write, _: int) -> None:
            tx.put_blocks(first_height, blocks)
            waiting = split_pending(tx.meta(PENDING_KEY) or b"")
            kept = [raw for raw in waiting if not any(raw in block for block in blocks)]
            if kept != waiting:
                tx.put_meta(PENDING_KEY, b"".join(map(_framed, kept)))

        self._commit(save)

    def save_pending(self, txid: bytes, raw: bytes) -> None:
        """Keep a waiting transaction."""
        del txid
        self._commit(lambda tx, _: tx.put_meta(PENDING_KEY, (tx.meta(PENDING_KEY) or b"") + _framed(raw)))


def _framed(raw: bytes) -> bytes:
    return len(raw).to_bytes(_LENGTH_BYTES, "big") + raw


def split_pending(data: bytes) -> list[bytes]:
    """The waiting transactions out of their stored form."""
    found, at = [], 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        found.append(data[start:at])
    return found


def stored_chain(store: Store, commit: Commit, now: int) -> SimulatedChain:
    """The simulated chain that a store keeps; where it keeps none, a new one whose last block is of `now` (Unix s)."""
    kept = StoredChain(commit)
    with store.read() as read:
        blocks, pending = read.blocks(), split_pending(read.meta(PENDING_KEY) or b"")
    return SimulatedChain.load(blocks, pending, kept) if blocks else SimulatedChain.create(now, kept)
