"""Writes the log as static files that any web server can serve (docs/spec/log.md §6).

A file is replaced as a whole or not at all, and `checkpoint` is written last: whoever reads the folder at any moment,
or after a crash, finds all that its checkpoint covers. Called again, it writes what is new.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from wattseal.core.checkpoint import Checkpoint
from wattseal.core.discontinuity import SCHEMA as DISCONTINUITY
from wattseal.core.discontinuity import parse_discontinuity
from wattseal.core.emlog import SCHEMA as RECORD
from wattseal.core.entry import Slots
from wattseal.core.note import MAX_NOTE_BYTES, Note
from wattseal.core.refusal import Refusal
from wattseal.core.registry import Meter, meter_path, parse_meter
from wattseal.core.tiles import ENTRIES, HEIGHT, WIDTH, Tile, bundles_of, tiles_of
from wattseal.log.amendments import SUPERSESSION, TOMBSTONE
from wattseal.log.body_line import MAX_LINE_BYTES, BodyLine, parse_line
from wattseal.log.port import EntryRow, Read
from wattseal.log.reader import CHECKPOINT_PATH, LogReader
from wattseal.log.registrations import registry_name
from wattseal.log.report import Progress
from wattseal.log.salts import NO_SECRET, SaltSource
from wattseal.log.tail import Damaged

BODIES: Final = "bodies.jsonl"

_CHUNK: Final = 16 * WIDTH
_ALWAYS_SHOWN: Final = frozenset({"signer-1", SUPERSESSION, TOMBSTONE})
"""They name keys and other entries, and nothing of a meter that is not disclosed."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote: the size of its checkpoint, the number of tiles and bundles, the number of bodies."""

    size: int
    tiles: int
    bodies: int


def export_log(read: Read, directory: Path, *, with_bodies: bool = False, progress: Progress | None = None) -> Exported:
    """Write checkpoint, tiles and entry bundles; `with_bodies` also `bodies.jsonl`, with what is disclosed.

    Refuses a log without a checkpoint, and a folder that holds another log's files or a later state than this one.
    Raises OSError, and tail.Damaged where the store lacks something.
    """
    log = LogReader(read)
    if log.checkpoint is None:
        raise Refusal("export", "nothing was signed yet: close a batch first (wattseal flush)")
    directory.mkdir(parents=True, exist_ok=True)
    since = _exported_size(log, directory)
    bodies = _write_bodies(read, log.size, directory, progress) if with_bodies else 0
    tiles = [*bundles_of(log.size, since), *tiles_of(log.size, since)]
    for tile in tiles:
        data = log.tile_bytes(tile)
        if data is None:
            raise Damaged(None, f"the store has no {tile.path}")
        _put(directory.joinpath(tile.path), data)
    # One sync for thousands of files; the checkpoint must not be on the disk before them.
    os.sync()
    _put(directory.joinpath(CHECKPOINT_PATH), log.checkpoint.encode(), is_durable=True)
    _remove_partial(directory, since, log.size)
    return Exported(log.size, len(tiles), bodies)


def _exported_size(log: LogReader, directory: Path) -> int:
    """The size that was exported before; 0 for a new folder."""
    try:
        with directory.joinpath(CHECKPOINT_PATH).open("rb") as file:
            note = file.read(MAX_NOTE_BYTES + 1)
    except FileNotFoundError:
        return 0
    earlier = Checkpoint.parse(Note.parse(note).text)
    if earlier.size > log.size or log.root(earlier.size) != earlier.root:
        raise Refusal("export", f"{directory} holds files of another log, or of a later state of this one")
    return earlier.size


def _put(path: Path, data: bytes, *, is_durable: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        if is_durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)


def _remove_partial(directory: Path, since: int, size: int) -> None:
    """Partial tiles go when their full one is there (C2SP tlog-tiles); clients then take that."""
    level = 0
    while nodes := since >> HEIGHT * level:
        index, width = divmod(nodes, WIDTH)
        if width and (size >> HEIGHT * level) // WIDTH > index:
            names = [Tile(level, index).path] + ([Tile(ENTRIES, index).path] if not level else [])
            for name in names:
                shutil.rmtree(directory / f"{name}.p", ignore_errors=True)
        level += 1


# --- Bodies -----------------------------------------------------------------------------------------------------------


class _Disclosure(NamedTuple):
    """Which meters are disclosed now, which ever were, and the names of their keys in the registry."""

    meters: frozenset[str]
    ever: frozenset[str]
    keys: frozenset[str]


def _disclosure(registrations: Iterable[Meter]) -> _Disclosure:
    now: dict[str, bool] = {}
    ever: set[str] = set()
    keys: set[str] = set()
    for meter in registrations:
        now[meter.path] = meter.disclosed
        if meter.disclosed:
            ever.add(meter.path)
            keys.update(f"key/{kid.hex()}" for kid in meter.kids)
    return _Disclosure(frozenset(path for path in now if now[path]), frozenset(ever), frozenset(keys))


def _write_bodies(read: Read, size: int, directory: Path, progress: Progress | None) -> int:
    registrations = [(row.idx, parse_meter(row.body)) for row in _meter_rows(read) if row.idx < size]
    disclosure = _disclosure(meter for _, meter in registrations)
    path = directory.joinpath(BODIES)
    first = _bodies_size(read, path, size)
    if _disclosure(meter for idx, meter in registrations if idx < first) != disclosure:
        first = 0  # what earlier entries disclose has changed
    temporary = path.with_name(f"{BODIES}.tmp")
    if first:
        shutil.copyfile(path, temporary)
    count = 0
    with temporary.open("ab" if first else "wb") as file:
        for line in _lines(read, first, size, disclosure, progress):
            file.write(line.dump())
            count += 1
    temporary.replace(path)
    return count


def _meter_rows(read: Read) -> Iterator[EntryRow]:
    after = -1
    while rows := read.entries_of_schema("meter-1", after):
        yield from rows
        after = rows[-1].idx


def _bodies_size(read: Read, path: Path, size: int) -> int:
    """Up to which entry the bodies were written before: their last line is a batch entry. 0: begin anew."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - MAX_LINE_BYTES, 0))
            lines = file.read(MAX_LINE_BYTES).splitlines()
    except FileNotFoundError:
        return 0
    try:
        last = parse_line(lines[-1])
    except (Refusal, IndexError):
        return 0
    rows = read.entries(last.idx, 1) if last.idx < size else []
    return last.idx + 1 if rows and rows[0].body == last.body else 0


def _lines(read: Read, first: int, size: int, disclosure: _Disclosure, progress: Progress | None) -> Iterator[BodyLine]:
    source = SaltSource(read.secrets())
    numbers = frozenset(
        row.meter_no
        for row in read.meters()
        if meter_path(row.site_id, row.iot_device_id, row.meter_id) in disclosure.meters
    )
    for chunk in range(first, size, _CHUNK):
        for row in read.entries(chunk, min(_CHUNK, size - chunk)):
            if not _is_shown(row, disclosure, numbers):
                continue
            if row.body:
                yield BodyLine(row.idx, row.entry_id, source.salts(row), Slots(row.start_slot, row.end_slot), row.body)
            else:
                yield BodyLine(row.idx, row.entry_id, None, None, None)
        if progress is not None:
            progress(min(chunk + _CHUNK, size), size)


def _is_shown(row: EntryRow, disclosure: _Disclosure, numbers: frozenset[int]) -> bool:
    if row.schema == RECORD:
        return row.meter_no in numbers
    if row.secret_no == NO_SECRET or row.schema in _ALWAYS_SHOWN:
        return True
    if row.schema == "meter-1":
        return registry_name(row).removeprefix("meter/") in disclosure.ever
    if row.schema == DISCONTINUITY:
        return parse_discontinuity(row.body).path in disclosure.meters
    return row.schema == "key-1" and registry_name(row) in disclosure.keys
