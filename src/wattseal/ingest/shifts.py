"""The declared discontinuities by the reading after which each lies (docs/spec/log.md §2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

from wattseal.core.discontinuity import SCHEMA, Discontinuity, parse_discontinuity
from wattseal.ingest.grid import Shift
from wattseal.ingest.registry import pages
from wattseal.log.port import Read
from wattseal.log.salts import SaltSource


def shift_of(statement: Discontinuity, entry: bytes) -> Shift:
    """What the statement with that entry does to energy."""
    return Shift(
        statement.import_before_mwh - statement.import_after_mwh,
        statement.export_before_mwh - statement.export_after_mwh,
        statement.import_after_mwh,
        statement.export_after_mwh,
        statement.before_known,
        entry,
    )


class Shifts(Mapping[bytes, Shift]):
    """By the digest of the last reading before it; with what the running transaction declares."""

    def __init__(self) -> None:
        self._durable: dict[bytes, Shift] = {}
        self._staged: dict[bytes, Shift] = {}

    @classmethod
    def load(cls, read: Read) -> Self:
        """All that the log holds."""
        self = cls()
        rows = list(pages(read, SCHEMA))
        if rows:
            salts = SaltSource(read.secrets())
            for row in rows:
                statement = parse_discontinuity(row.body)
                self._durable[statement.after] = shift_of(statement, salts.entry(row))
        return self

    def __getitem__(self, digest: bytes) -> Shift:
        return self._staged[digest] if digest in self._staged else self._durable[digest]

    def __iter__(self) -> Iterator[bytes]:
        yield from self._durable
        yield from self._staged

    def __len__(self) -> int:
        return len(self._durable) + len(self._staged)

    def stage(self, digest: bytes, shift: Shift) -> None:
        """Declare one in this transaction."""
        self._staged[digest] = shift

    def committed(self) -> None:
        """The transaction is durable."""
        self._durable.update(self._staged)
        self._staged = {}

    def rolled_back(self) -> None:
        """The transaction left nothing."""
        self._staged = {}
