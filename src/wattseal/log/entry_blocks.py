"""Blocks of entries, of which entry_block says from when to when their records start: which ranges to look through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

_AT_ONCE: Final = 32


def ranges(
    blocks: Sequence[int], block_rows: int, low: int, high: int, *, newest_first: bool
) -> Iterator[tuple[int, int]]:
    """Ranges of indexes within [low, high) that cover these blocks, in their order; neighbours are taken together."""
    step = -1 if newest_first else 1
    start = 0
    for position in range(1, len(blocks) + 1):
        is_run = position < len(blocks) and blocks[position] == blocks[position - 1] + step
        if is_run and position - start < _AT_ONCE:
            continue
        first, last = sorted((blocks[start], blocks[position - 1]))
        yield max(first * block_rows, low), min((last + 1) * block_rows, high)
        start = position
