"""What one run over a bundle's evidence came across."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Trail:
    """The evidence that records rest on, who vouches for it, and what a yes must not hide.

    `used`: digests of readings, entries of statements, digests of what was reported. `cautions` count how often each
    was come across.
    """

    used: set[bytes] = field(default_factory=set)
    vouchers: set[str] = field(default_factory=set)
    cautions: Counter[str] = field(default_factory=Counter)
