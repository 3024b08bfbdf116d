"""How the ingest room works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """How the room works; times in seconds."""

    batch_max_s: int = 60
    batch_max_entries: int = 100_000
    gap_hold_s: int = 900
    capacity: int = 50_000
    """Readings and intervals that may wait; beyond it a request is Busy."""
    group: int = 8_000
    """Readings and intervals that share a transaction, more only where one request alone has more."""
    inbox_keep: int = 1_000
    register_reported: bool = True
    """Whether a meter that is not registered is registered by its first reported interval."""
