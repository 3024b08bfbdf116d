"""Who is told what the ingest room does, so that it can be counted, logged and looked at: the server's own watch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from wattseal.ingest.receipt import Receipt
from wattseal.log.port import BatchRow


class Watcher(Protocol):
    """Must be quick and must not fail; `batch_closed` is called by the writer's thread."""

    def heard(self, paths: Iterable[str]) -> None:
        """Well-signed readings, or intervals, came from these meters (site/device/meter)."""

    def receipts(self, receipts: Sequence[Receipt], nanoseconds: int) -> None:
        """One request's items are durable or refused; so much after they were submitted."""

    def batch_closed(self, row: BatchRow) -> None:
        """A batch has its checkpoint."""


class NoWatcher:
    """Tells nobody."""

    def heard(self, paths: Iterable[str]) -> None:
        """Nothing."""

    def receipts(self, receipts: Sequence[Receipt], nanoseconds: int) -> None:
        """Nothing."""

    def batch_closed(self, row: BatchRow) -> None:
        """Nothing."""
