"""Compares the root of a rebuilt tree with every root that was recorded or signed: of batches, and of the guard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wattseal.core.batch import parse_batch
from wattseal.core.checkpoint import Checkpoint, open_checkpoint
from wattseal.core.note_key import Verifier
from wattseal.core.refusal import Refusal
from wattseal.log.audit import BATCH
from wattseal.log.port import BatchRow, EntryRow, Read
from wattseal.log.report import Findings

_AT_ONCE: Final = 1_000


class RootCheck:
    """Says at which sizes it wants to know the root, in order, and looks at it there."""

    def __init__(self, read: Read, guard: str | None, verifier: Verifier, findings: Findings) -> None:
        self._read = read
        self._verifier = verifier
        self._findings = findings
        self._guard = None if guard is None else self._opened("the guard", guard)
        self._is_guard_waiting = self._guard is not None and self._guard.size > 0
        self._batches = self._in_order()
        self._batch = next(self._batches, None)
        self._is_root_lost = False
        self._has_checkpoint = False

    @property
    def next_size(self) -> int | None:
        """The size at which `compare` wants to be called next; None: no more."""
        sizes = [self._batch.last_idx + 1] if self._batch is not None else []
        if self._guard is not None and self._is_guard_waiting:
            sizes.append(self._guard.size)
        return min(sizes, default=None)

    def compare(self, size: int, root: bytes, row: EntryRow | None) -> None:
        """Take the root at `next_size`, and the row of the last entry there."""
        batch = self._batch
        if batch is not None and batch.last_idx + 1 == size:
            self._check_entry(batch, row)
            self._check_roots(batch, root)
            self._batch = next(self._batches, None)
        if self._guard is not None and self._is_guard_waiting and self._guard.size == size:
            self._is_guard_waiting = False
            if self._guard.root != root:
                self._lose_root("the guard's checkpoint has another root than the entries", 0, size - 1)

    def finish(self, size: int) -> None:
        """After the last entry: what was not reached."""
        if self._batch is not None:
            self._findings.bad(
                f"batch {self._batch.number} ends at entry {self._batch.last_idx}, which is missing", size
            )
        if self._guard is not None and self._guard.size > size:
            text = f"the guard's checkpoint has {self._guard.size} entries: the store is older than what was signed"
            self._findings.bad(text, size)
        if self._guard is None and self._has_checkpoint:
            self._findings.bad("the guard is missing or cannot be read, although checkpoints were signed")

    def _check_entry(self, batch: BatchRow, row: EntryRow | None) -> None:
        if row is None or row.schema != BATCH:
            self._findings.bad(f"it is not the batch entry of batch {batch.number}", batch.last_idx)
            return
        try:
            body = parse_batch(row.body)
        except Refusal:
            return  # the audit has said so
        said = (batch.number, batch.first_idx, batch.closed_s)
        if said != (body.number, body.first_index, body.closed_s):
            self._findings.bad(f"the stored batch {batch.number} differs from its batch entry", batch.last_idx)

    def _check_roots(self, batch: BatchRow, root: bytes) -> None:
        self._findings.count("batch rows")
        span = batch.first_idx, batch.last_idx
        if batch.root != root:
            self._lose_root(f"batch {batch.number} was recorded with another root than the entries have", *span)
        if batch.checkpoint is None:
            self._findings.note(f"batch {batch.number} has no checkpoint yet; it gets one when the log is opened")
            return
        self._has_checkpoint = True
        self._findings.count("checkpoints")
        checkpoint = self._opened(f"the checkpoint of batch {batch.number}", batch.checkpoint)
        if checkpoint is not None and checkpoint.size != batch.last_idx + 1:
            self._findings.bad(f"the checkpoint of batch {batch.number} is of {checkpoint.size} entries", span[1])
        elif checkpoint is not None and checkpoint.root != root:
            self._lose_root(f"the checkpoint of batch {batch.number} has another root than the entries", *span)

    def _opened(self, what: str, note: str) -> Checkpoint | None:
        try:
            return open_checkpoint(note.encode(), self._verifier).checkpoint
        except Refusal as refusal:
            self._findings.bad(f"{what} is no checkpoint that this log signed: {refusal}")
            return None

    def _lose_root(self, text: str, first: int, last: int) -> None:
        """After the first root that differs, later ones differ for the same reason."""
        if not self._is_root_lost:
            self._findings.bad_range(text, first, last)
        self._is_root_lost = True

    def _in_order(self) -> Iterator[BatchRow]:
        number, size = -1, 0
        while rows := self._read.batches(number, _AT_ONCE):
            for row in rows:
                if row.number != number + 1 or row.first_idx != size or row.last_idx < size:
                    self._findings.bad(f"batch {row.number} does not follow batch {number}", row.first_idx)
                number = row.number
                if row.last_idx >= size:
                    size = row.last_idx + 1
                    yield row
