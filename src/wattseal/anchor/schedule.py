"""When batches are anchored by themselves, and when a simulated chain finds its next block."""

from __future__ import annotations

from wattseal.anchor.attest import Attestor
from wattseal.log.port import Store

POLL_S = 30
"""How often an unfinished anchor is looked at on a chain that finds its blocks by itself."""


class Schedule:
    """Call `step` about once a second, in one thread at a time; all times in Unix seconds, 0 as an interval: never."""

    def __init__(self, attestor: Attestor, store: Store, *, anchor_interval_s: int, mining_interval_s: int) -> None:
        self._attestor = attestor
        self._store = store
        self._anchor_interval_s = anchor_interval_s
        self._mining_interval_s = mining_interval_s
        self._polled_s = 0
        self._mined_s = 0

    def step(self, now: int) -> None:
        """Do what is due. Raises what anchoring raises; it is due again at the next step."""
        if not self._attestor.unfinished():
            self._mined_s = now  # the first block comes an interval after somebody waits for one
        self._anchor(now)
        if not self._attestor.unfinished():
            return
        if self._mining_interval_s and self._attestor.can_mine and now - self._mined_s >= self._mining_interval_s:
            self._mined_s = now
            self._attestor.mine(now, 1)
        elif now - self._polled_s >= POLL_S:
            self._polled_s = now
            self._attestor.advance()

    def _anchor(self, now: int) -> None:
        rows = self._attestor.rows()
        if not self._anchor_interval_s or (rows and now - rows[-1].created_s < self._anchor_interval_s):
            return
        with self._store.read() as read:
            newest = next(iter(read.batches(limit=1, newest_first=True)), None)
        is_signed = newest is not None and newest.checkpoint is not None
        if newest is not None and is_signed and (not rows or newest.number > rows[-1].batch):
            self._attestor.anchor(newest.number)
