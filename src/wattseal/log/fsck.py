"""Rebuilds everything from bodies to root and compares: of a store, and of exported files (docs/spec/log.md §7).

Both run in one pass, in memory that does not grow with the number of entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from wattseal.core.entry import NOTHING
from wattseal.core.merkle import HASH_BYTES, leaf_hash
from wattseal.core.note_key import Verifier
from wattseal.core.refusal import Refusal
from wattseal.core.tiles import WIDTH
from wattseal.log.amendments import SUPERSESSION, TOMBSTONE, Supersession, parse_supersession, parse_tombstone
from wattseal.log.attestation_check import check_attestations
from wattseal.log.audit import Audit
from wattseal.log.export_check import ExportCheck
from wattseal.log.port import ENTRY_TILES, MOVED_TO, EntryRow, Read, Store
from wattseal.log.reading_check import ReadingCheck
from wattseal.log.report import Findings, Progress, Report
from wattseal.log.rollup_check import check_rollups
from wattseal.log.root_check import RootCheck
from wattseal.log.row_check import RowCheck
from wattseal.log.salts import SaltSource, SecretErased
from wattseal.log.tree_check import TreeCheck

_CHUNK: Final = 16 * WIDTH


def check_store(
    store: Store,
    guard: str | None,
    verifier: Verifier,
    *,
    progress: Progress | None = None,
    signature_workers: int | None = 0,
) -> Report:
    """Check one committed state of a store against itself, the log's key and the guard; the log may run meanwhile.

    Signatures of readings are checked by so many processes, 0: by this one, None: not at all, and a note says so. To
    spawn processes, the program's main module must be safe to import.

    `guard` is what guard.read_guard returned before this was called: then it is never ahead of a healthy store. The
    log's origin is the verifier's name. What the store raises goes through.
    """
    findings = Findings()
    with store.read() as read:
        _StoreCheck(read, guard, verifier, findings).run(progress, signature_workers)
    return findings.report()


def check_export(directory: Path, vkey: str, *, progress: Progress | None = None) -> Report:
    """Check the static files of a log, and `bodies.jsonl` where there is one, with the log's vkey alone.

    Refuses a vkey that is none. Raises OSError other than for a missing file, which is a finding.
    """
    findings = Findings()
    ExportCheck(directory, Verifier.from_vkey(vkey), findings).run(progress)
    return findings.report()


class _StoreCheck:
    """One check of one committed state."""

    def __init__(self, read: Read, guard: str | None, verifier: Verifier, findings: Findings) -> None:
        self._read = read
        self._findings = findings
        self._salts = SaltSource(read.secrets())
        self._audit = Audit(verifier.name, findings, self._supersessions())
        self._rows = RowCheck(read, self._audit, self._tombstones(), findings)
        self._roots = RootCheck(read, guard, verifier, findings)
        self._tree = TreeCheck(lambda tile: read.tile(tile.level, tile.index), findings)

    def run(self, progress: Progress | None, signature_workers: int | None) -> None:
        """Walk over the whole log, and then over the readings."""
        size = self._read.size()
        total = size + self._read.counts()["reading"]
        for text in self._read.check_indexes():  # first: it is the cause of much that is not found
            self._findings.bad(text)
        for first in range(0, size, _CHUNK):
            last = min(first + _CHUNK, size)
            rows = {row.idx: row for row in self._read.entries(first, last - first)}
            for begin in range(first, last, WIDTH):
                self._bundle(begin // WIDTH, [rows.get(index) for index in range(begin, min(begin + WIDTH, last))])
            if progress is not None:
                progress(last, total)
        self._findings.count("entries", size)
        if (moved := self._read.meta(MOVED_TO)) is not None:
            self._findings.note(f"this store was left: the log goes on in {moved.decode(errors='replace')}")
        self._tree.finish(is_exact=True)
        if len(self._read.tile(ENTRY_TILES, size // WIDTH) or b"") > size % WIDTH * HASH_BYTES:
            self._findings.bad(f"the entry tiles hold more than the {size} entries that have rows", size)
        self._roots.finish(size)
        self._audit.finish()
        check_rollups(self._read, self._findings)
        counted = self._findings.checked
        if counted.get("batches", 0) != counted.get("batch rows", 0):
            self._findings.bad("the number of batch entries is not that of the stored batches")
        check_attestations(self._read, self._findings)
        for done in ReadingCheck(self._read, self._rows.edges, self._findings, signature_workers).run():
            if progress is not None:
                progress(min(size + done, total), total)
        if signature_workers is None:
            self._findings.note("the signatures of readings were not checked")
        if progress is not None and total > size:
            progress(total, total)

    def _bundle(self, index: int, rows: Sequence[EntryRow | None]) -> None:
        begin = index * WIDTH
        leaves = self._tree.leaves_of(index, self._entries(index, rows))
        while (cut := self._roots.next_size) is not None and cut <= begin + len(leaves):
            self._tree.add(leaves[self._tree.size - begin : cut - begin])
            self._roots.compare(cut, self._tree.root(), rows[cut - begin - 1])
        self._tree.add(leaves[self._tree.size - begin :])

    def _entries(self, index: int, rows: Sequence[EntryRow | None]) -> list[bytes]:
        """The entries of one bundle: as the rows give them, or as the entry tile where that is what the tree has."""
        held, leaves = self._read.tile(ENTRY_TILES, index) or b"", self._read.tile(0, index) or b""
        self._findings.count("tiles")
        entries = []
        for position, row in enumerate(rows):
            at = slice(position * HASH_BYTES, (position + 1) * HASH_BYTES)
            entry, held_entry = self._entry(index * WIDTH + position, row), held[at]
            if len(held_entry) != HASH_BYTES:
                self._findings.bad("it is missing from its entry tile", index * WIDTH + position)
                entry = entry or NOTHING
            elif entry is None:
                entry = held_entry
            elif entry != held_entry:
                self._findings.bad("its row was changed, or its entry tile", index * WIDTH + position)
                entry = held_entry if leaf_hash(held_entry) == leaves[at] else entry
            entries.append(entry)
            if row is not None:
                self._rows.look_into(row, entry)
        first = index * WIDTH
        self._rows.look_at_marks({first + position: entry for position, entry in enumerate(entries) if rows[position]})
        return entries

    def _entry(self, index: int, row: EntryRow | None) -> bytes | None:
        """The entry that a row leads to; None where the row, its body or its secret is missing."""
        if row is None:
            self._findings.bad("its row is missing", index)
            return None
        if not row.body:
            return None
        try:
            return self._salts.entry(row)
        except (SecretErased, Refusal) as error:
            self._findings.bad(f"its salts cannot be made: {error}", index)
            return None

    def _supersessions(self) -> list[Supersession]:
        found = []
        for row in self._of_schema(SUPERSESSION):
            try:
                found.append(parse_supersession(row.body))
            except Refusal:
                continue  # found again, and named, when the walk comes to it
        return found

    def _tombstones(self) -> frozenset[bytes]:
        found = set()
        for row in self._of_schema(TOMBSTONE):
            try:
                found.add(parse_tombstone(row.body).subject)
            except Refusal:
                continue  # as above
        return frozenset(found)

    def _of_schema(self, schema: str) -> Iterator[EntryRow]:
        after = -1
        while rows := self._read.entries_of_schema(schema, after):
            yield from rows
            after = rows[-1].idx
