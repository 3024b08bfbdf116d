"""What this room answers to whoever sends it something."""

from __future__ import annotations

from typing import NamedTuple


class Receipt(NamedTuple):
    """What became of one item (docs/spec/reading.md §4). Given out only when it is durable.

    `index` and `log_id` are of the entry that it led to: the record that a reading closed, or its quarantine entry.
    `field` and `detail` say in plain words what was wrong.
    """

    outcome: str
    digest: bytes | None = None
    index: int | None = None  # type: ignore[assignment]  # hides tuple.index
    log_id: bytes | None = None
    reason: str | None = None
    field: str | None = None
    detail: str | None = None


class Busy(RuntimeError):
    """More is waiting than may wait; nothing of this request was taken in."""

    def __init__(self, retry_after_s: int, reason: str = "the queue is full") -> None:
        super().__init__(f"{reason}; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s
