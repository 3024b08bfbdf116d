"""Checks the static files of a log, and the bodies that are disclosed beside them (docs/spec/log.md §7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wattseal.core.checkpoint import Checkpoint, open_checkpoint
from wattseal.core.merkle import HASH_BYTES, leaf_hash
from wattseal.core.note import MAX_NOTE_BYTES
from wattseal.core.note_key import Verifier
from wattseal.core.refusal import Refusal
from wattseal.core.registry import parse_meter
from wattseal.core.tiles import HEIGHT, MAX_ENTRY_BYTES, WIDTH, Tile, bundles_of, decode_bundle, split_tile
from wattseal.log.amendments import SUPERSESSION, TOMBSTONE, Supersession, parse_supersession, parse_tombstone
from wattseal.log.audit import Audit, schema_in
from wattseal.log.body_line import MAX_LINE_BYTES, BodyLine, parse_line
from wattseal.log.reader import CHECKPOINT_PATH
from wattseal.log.report import Findings, Progress
from wattseal.log.static import BODIES
from wattseal.log.tree_check import TreeCheck

_MAX_BUNDLE_BYTES: Final = WIDTH * (2 + MAX_ENTRY_BYTES)
_AMENDING: Final = (SUPERSESSION.encode(), TOMBSTONE.encode(), b"meter-1")


class ExportCheck:
    """One check of a folder."""

    def __init__(self, directory: Path, verifier: Verifier, findings: Findings) -> None:
        self._directory = directory
        self._verifier = verifier
        self._findings = findings
        self._size = 0
        self._supersessions: list[Supersession] = []
        self._tombstones: set[bytes] = set()
        self._disclosed: dict[str, list[bool]] = {}

    def run(self, progress: Progress | None) -> None:
        """Walk over all files that the checkpoint covers."""
        checkpoint = self._checkpoint()
        if checkpoint is None:
            return
        self._size = checkpoint.size
        lines = self._bodies()
        line = next(lines, None)
        tree = TreeCheck(self._held, self._findings)
        audit = Audit(
            self._verifier.name,
            self._findings,
            self._supersessions,
            is_whole=False,
            hidden=frozenset(path for path, said in self._disclosed.items() if any(said) and not said[-1]),
        )
        for bundle in bundles_of(self._size):
            entries = self._entries(bundle)
            leaves = self._leaves(bundle) if entries is None else tree.leaves_of(bundle.index, entries)
            if leaves is None:
                self._findings.bad("neither its bundle nor its tile can be read: stopped here", bundle.index * WIDTH)
                return
            tree.add(leaves)
            while line is not None and line.idx < tree.size:
                place = line.idx - bundle.index * WIDTH
                self._look_into(line, None if entries is None else entries[place], leaves[place], audit)
                line = next(lines, None)
            if progress is not None:
                progress(tree.size, self._size)
        self._findings.count("entries", self._size)
        tree.finish(is_exact=False)
        if tree.root() != checkpoint.root:
            self._findings.bad_range("the entries do not lead to the checkpoint's root", 0, self._size - 1)
        if line is not None:
            # An export is being written, or was cut off: its checkpoint would have come last.
            self._findings.note(
                f"{BODIES} goes on at entry {line.idx}, which the checkpoint does not cover: not checked"
            )
        audit.finish()

    # --- Files --------------------------------------------------------------------------------------------------------

    def _file(self, path: str, limit: int) -> bytes | None:
        """A file's content, None where there is none or it is longer than it can be."""
        try:
            with self._directory.joinpath(path).open("rb") as file:
                data = file.read(limit + 1)
        except FileNotFoundError:
            return None
        return data if len(data) <= limit else None

    def _checkpoint(self) -> Checkpoint | None:
        data = self._file(CHECKPOINT_PATH, MAX_NOTE_BYTES)
        if data is None:
            self._findings.bad(f"there is no {CHECKPOINT_PATH}, or it is too long")
            return None
        try:
            checkpoint = open_checkpoint(data, self._verifier).checkpoint
        except Refusal as refusal:
            self._findings.bad(f"the checkpoint is not signed by this log: {refusal}")
            return None
        self._findings.count("checkpoints")
        return checkpoint

    def _held(self, tile: Tile) -> bytes | None:
        width = min((self._size >> HEIGHT * tile.level) - tile.index * WIDTH, WIDTH)
        return self._file(Tile(tile.level, tile.index, width).path, WIDTH * HASH_BYTES) if width > 0 else None

    def _entries(self, bundle: Tile) -> list[bytes] | None:
        self._findings.count("tiles")
        data = self._file(bundle.path, _MAX_BUNDLE_BYTES)
        if data is None:
            self._findings.bad(f"{bundle.path} is missing or too long", bundle.index * WIDTH)
            return None
        try:
            return decode_bundle(data, bundle.width)
        except Refusal as refusal:
            self._findings.bad(f"{bundle.path}: {refusal}", bundle.index * WIDTH)
            return None

    def _leaves(self, bundle: Tile) -> list[bytes] | None:
        tile = Tile(0, bundle.index, bundle.width)
        data = self._held(tile)
        try:
            return None if data is None else split_tile(tile, data)
        except Refusal:
            return None

    # --- Bodies -------------------------------------------------------------------------------------------------------

    def _bodies(self) -> Iterator[BodyLine]:
        """The lines in order, after one look ahead for what changes the meaning of earlier ones."""
        path = self._directory.joinpath(BODIES)
        if not path.exists():
            self._findings.note(f"there is no {BODIES}: entries were checked, and no bodies")
            return iter(())
        for data in self._raw_lines(path):
            if any(word in data for word in _AMENDING):
                self._look_ahead(data)
        return self._in_order(path)

    def _raw_lines(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            while data := file.readline(MAX_LINE_BYTES + 1):
                yield data

    def _look_ahead(self, data: bytes) -> None:
        try:
            body = parse_line(data).body or b""
            match schema_in(body):
                case "supersession-1":
                    self._supersessions.append(parse_supersession(body))
                case "tombstone-1":
                    self._tombstones.add(parse_tombstone(body).subject)
                case "meter-1":
                    meter = parse_meter(body)
                    self._disclosed.setdefault(meter.path, []).append(meter.disclosed)
        except Refusal:
            return  # named when the walk comes to it

    def _in_order(self, path: Path) -> Iterator[BodyLine]:
        last = -1
        for number, data in enumerate(self._raw_lines(path), 1):
            try:
                line = parse_line(data)
            except Refusal as refusal:
                self._findings.bad(f"line {number} of {BODIES} cannot be read: {refusal}")
                continue
            if line.idx <= last:
                self._findings.bad(f"line {number} of {BODIES} is not in order", line.idx)
                continue
            last = line.idx
            yield line

    def _look_into(self, line: BodyLine, held: bytes | None, leaf: bytes, audit: Audit) -> None:
        """`held` is the entry in the bundle, None where that cannot be read; `leaf` is what the tree has."""
        entry = line.entry()
        if entry is None:
            self._findings.count("erased bodies")
            audit.erased()
            if held is not None and held not in self._tombstones:
                self._findings.bad("its body is missing, and no tombstone says why", line.idx)
            return
        if leaf_hash(entry) != leaf:
            self._findings.bad("its body, salts or slots do not lead to its leaf in the tree", line.idx)
            entry = held or entry
        if line.body is None or line.slots is None:
            return
        try:
            schema = schema_in(line.body)
        except Refusal as refusal:
            self._findings.bad(f"its body names no schema: {refusal}", line.idx)
            return
        audit.body(line.idx, schema, line.body, entry, line.slots)
