"""Moves a log to another database: row for row, then compared with what was written, and only then let go (ADR 0012).

Guard and keys stay where they are, so the log goes on under the same name and cannot fork: the store that was left says
where it went, and the guard is soon ahead of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, Protocol

from wattseal.core.note_key import Verifier
from wattseal.core.refusal import Refusal
from wattseal.log.fsck import check_store
from wattseal.log.port import MOVED_TO, Store
from wattseal.log.reader import LogReader
from wattseal.log.report import Progress
from wattseal.log.tail import edge_at

Row = tuple[Any, ...]


class Columns(NamedTuple):
    """A table and its columns; `order` makes the order of its rows the same everywhere."""

    table: str
    columns: tuple[str, ...]
    flags: tuple[str, ...]
    order: tuple[str, ...]


class Source(Store, Protocol):
    """A store that gives its rows away."""

    def rows(self, table: str, columns: Sequence[str], flags: Sequence[str], order: Sequence[str]) -> Iterator[Row]:
        """All rows of a table in that order."""


class Target(Source, Protocol):
    """A store that takes the rows of another one."""

    def filling(self) -> AbstractContextManager[Filling]:
        """One transaction in which an empty store is filled."""


class Filling(Protocol):
    """What a Target is filled through."""

    def add(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Add all rows of a table."""


class Moved(NamedTuple):
    """What was moved, as the new store has it. `is_new`: this run copied it, and not one before that was cut off."""

    rows: int
    size: int
    root: bytes
    checkpoint: str | None
    is_new: bool


def move_store(
    source: Source,
    target: Target,
    place: str,
    guard: str | None,
    verifier: Verifier,
    *,
    progress: Progress | None = None,
) -> Moved:
    """Copy a log that nobody writes into an empty store, compare, and mark the source as moved to `place`.

    Both are open for writing. All is copied in one transaction, so what is cut off leaves the target empty; cut off
    after it, the next run finds the copy there and goes on with comparing. Refuses a target that holds anything else,
    a source that was moved before, and a log that fsck finds damaged; the source is then as it was.
    """
    with source.read() as read:
        if (moved := read.meta(MOVED_TO)) is not None:
            raise Refusal("database", f"was moved to {moved.decode()} before")
        total = sum(read.counts().values())
    with target.read() as read:
        is_new = not any(read.counts().values())
    tell = _Counter(2 * total, progress)
    tables = _tables()
    if is_new:
        digests = {}
        with target.filling() as filling:
            for table in tables:
                digest = _Digest(tell.counted(source.rows(*table)))
                filling.add(table.table, table.columns, digest)
                digests[table.table] = digest.value()
    else:
        digests = {table.table: _digest_of(source, table, tell) for table in tables}
    for table in tables:
        if _digest_of(target, table, tell) != digests[table.table]:
            what = "was not copied as it is" if is_new else "is not that of this store"
            raise Refusal("to", f"{place} holds rows already, and its table {table.table} {what}: give an empty schema")
    report = check_store(target, guard, verifier)
    if not report.ok:
        raise Refusal("database", f"is damaged: {(*report.findings, '?')[0]}. Run wattseal fsck before you move it")
    here, there = _end(source), _end(target)
    if here != there:
        raise Refusal("to", f"{place} does not end as this store does: {there} and not {here}")
    with source.write() as tx:
        tx.put_meta(MOVED_TO, place.encode())
    return Moved(total, *there, is_new)


def _end(store: Store) -> tuple[int, bytes, str | None]:
    """Size, root and last checkpoint, out of the store as it is now."""
    with store.read() as read:
        size = read.size()
        return size, edge_at(read, size).root(), LogReader(read).checkpoint


def _tables() -> list[Columns]:
    """All tables but those that each database makes for itself, the named before those that name them."""
    from sqlalchemy import Boolean  # noqa: PLC0415 - it loads slowly

    from wattseal.log.schema import METADATA  # noqa: PLC0415

    return [
        Columns(
            table.name,
            tuple(column.name for column in table.columns),
            tuple(column.name for column in table.columns if isinstance(column.type, Boolean)),
            tuple(column.name for column in table.primary_key.columns),
        )
        for table in METADATA.sorted_tables
    ]


class _Digest:
    """Rows that pass through, and what they amount to."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self._hash = hashlib.sha256()

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self._hash.update(repr(row).encode())
            yield row

    def value(self) -> bytes:
        return self._hash.digest()


def _digest_of(store: Source, table: Columns, tell: _Counter) -> bytes:
    digest = _Digest(tell.counted(store.rows(*table)))
    for _ in digest:
        pass
    return digest.value()


class _Counter:
    """Tells how far it has come, now and then."""

    _EACH: Final = 1_000

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._done = 0
        self._progress = progress

    def counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            yield row
            self._done += 1
            if self._progress is not None and self._done % self._EACH == 0:
                self._progress(self._done, self._total)
