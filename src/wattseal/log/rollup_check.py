"""Compares rollups with what the entries lead to, and makes them anew: they are a cache (docs/spec/energy.md §4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from wattseal.core.units import rfc3339
from wattseal.log.port import Read, Store
from wattseal.log.report import Findings, Progress
from wattseal.log.rollup import WATERMARK, Advance, Key, deltas_of, rolled_up
from wattseal.log.rollup_port import RollupRow
from wattseal.log.zones import Zones

_STEP: Final = 32_768
_PAGE: Final = 10_000
_NAMES: Final = RollupRow._fields[4:]
_BEFORE_ALL: Final[Key] = ("", 0, 0, "")


class Difference(NamedTuple):
    """The first bucket whose rollup is not what the entries lead to; None where it is missing."""

    key: Key
    stored: tuple[int, ...] | None
    expected: tuple[int, ...] | None


def check_rollups(read: Read, findings: Findings) -> None:
    """Recompute the rollups of one committed state and name the first bucket that differs."""
    size, done = read.size(), rolled_up(read)
    if done > size:
        findings.bad(f"the rollups take in {done} entries, and there are {size}")
        return
    if done:
        findings.count("entries in rollups", done)
    found = first_difference(read, done)
    if found is not None:
        level, start_s, meter_no, kind = found.key
        findings.bad(
            f"the rollup of the {level} from {rfc3339(start_s)} of meter number {meter_no}, kind {kind}, is "
            f"{_text(found.stored)}, and the entries lead to {_text(found.expected)}: "
            "wattseal fsck --rebuild-rollups makes rollups anew"
        )


def first_difference(read: Read, done: int) -> Difference | None:
    """The first bucket, in the order of keys, that differs from the sums of the first `done` entries."""
    zones, expected = Zones(), dict[Key, list[int]]()
    for first in range(0, done, _STEP):
        for row in deltas_of(read, zones, first, min(first + _STEP, done)):
            have = expected.setdefault(row[:4], [0] * len(row[4:]))
            for place, value in enumerate(row[4:]):
                have[place] += value
    wrong: Difference | None = None
    for row in _stored(read):
        sums = tuple(expected.pop(row[:4], ()))
        if row[4:] != sums and (any(row[4:]) or any(sums)):
            wrong = Difference(row[:4], row[4:], sums or None)
            break
    missing = min((key for key, sums in expected.items() if any(sums)), default=None)
    if missing is not None and (wrong is None or missing < wrong.key):
        return Difference(missing, None, tuple(expected[missing]))
    return wrong


def rebuild_rollups(store: Store, *, progress: Progress | None = None) -> int:
    """Make all rollups anew from the entries, in one transaction; how many entries are in them.

    The log must not be running (StoreBusy).
    """
    with store.write() as tx:
        size = tx.size()
        tx.clear_rollups()
        tx.put_meta(WATERMARK, b"0")
        advance = Advance(tx)
        while advance.done < size:
            advance.done = advance.step(tx)
            if progress is not None:
                progress(advance.done, size)
        return advance.done


def _stored(read: Read) -> Iterator[RollupRow]:
    after = _BEFORE_ALL
    while page := read.rollups(after, _PAGE):
        yield from page
        after = page[-1][:4]


def _text(sums: tuple[int, ...] | None) -> str:
    return "missing" if sums is None else ", ".join(f"{name} {value}" for name, value in zip(_NAMES, sums, strict=True))
