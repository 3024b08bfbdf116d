"""What a disk holds after a loss of power: made from what tests/fault/unsynced.c wrote down of a killed process.

Only what the process waited for is durable: the content of a file up to the last fsync or fdatasync of it that ended
well, a name (made, removed, changed) up to the last fsync of its folder. That is stricter than any file system: SQLite
keeps to it, since it syncs the folder with the first sync of a new WAL, and removes a WAL only when all of it is in the
database, so that an old one that comes back does no harm.

A disk may have written more than it was asked to. `torn` images hold any of the 512-byte sectors that were not synced,
and the first of the changes of names that were not: journals of file systems keep the order of those.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tests.fault.missing import missing

SECTOR: Final = 512
_HEAD: Final = struct.Struct("<cbHIQQ")
BEFORE: Final = -1
"""The place in the log of what an earlier process did."""
SOURCE: Final = Path(__file__).with_name("unsynced.c")


def compiled(folder: Path) -> Path:
    """The library that takes notes."""
    compiler = shutil.which("cc")
    if compiler is None:
        missing("there is no C compiler `cc`")
    library = folder / "unsynced.so"
    warnings = ["-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", *warnings, "-o", library, SOURCE, "-lpthread"], check=True)
    return library


class Change(NamedTuple):
    """Of a file's content: bytes written at an offset, or (data None) a new length. `place`: in the log."""

    place: int
    offset: int
    data: bytes | None


@dataclass(eq=False)
class File:
    """What is durable of a file, and what is not."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def sync(self, before: int) -> None:
        """All that was done before that place in the log is durable."""
        for change in self.pending:
            if change.place < before:
                _apply(self.durable, change)
        self.pending = [change for change in self.pending if change.place >= before]

    def torn(self, chance: random.Random, share: float) -> bytearray:
        """The durable content, and about that share of the sectors and lengths that are not."""
        content = bytearray(self.durable)
        for change in self.pending:
            for part in _sectors(change):
                if chance.random() < share:
                    _apply(content, part)
        return content


class Folder:
    """A folder; its names are in the disk's tables."""


Node = File | Folder


class Renaming(NamedTuple):
    """A change of names that is not durable yet: what stands where afterwards."""

    place: int
    names: tuple[tuple[str, Node | None], ...]


def _apply(content: bytearray, change: Change) -> None:
    if change.data is None:
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
        return
    content.extend(bytes(max(change.offset - len(content), 0)))
    content[change.offset : change.offset + len(change.data)] = change.data


def _sectors(change: Change) -> Iterator[Change]:
    if change.data is None:
        yield change
        return
    at, end = change.offset, change.offset + len(change.data)
    while at < end:
        stop = min(at // SECTOR * SECTOR + SECTOR, end)
        yield Change(change.place, at, change.data[at - change.offset : stop - change.offset])
        at = stop


class Disk:
    """What is durable below `root`, from what was there when a process began and from the log of what it did."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names: dict[str, Node] = {str(root): Folder()}
        self._nodes: dict[int, Node] = {root.stat().st_ino: self.names[str(root)]}
        for path in root.rglob("*"):
            node = Folder() if path.is_dir() else File(bytearray(path.read_bytes()))
            self.names[str(path)] = self._nodes[path.stat().st_ino] = node
        self.durable = dict(self.names)
        self._renamings: list[Renaming] = []

    def follow(self, log: Path) -> None:
        """Do what a log says."""
        data = log.read_bytes() if log.exists() else b""
        place = 0
        while place + _HEAD.size <= len(data):
            call, created, path_bytes, data_bytes, inode, offset = _HEAD.unpack_from(data, place)
            begin = place + _HEAD.size
            end = begin + path_bytes + data_bytes
            if end > len(data):
                break  # killed while it noted what it had not begun to do
            path = os.path.normpath(data[begin : begin + path_bytes].decode()) if path_bytes else ""
            content = data[begin + path_bytes : end]
            self._call(place, call.decode(), path, content, inode, offset, created=bool(created))
            place = end
        self._renamings = [renaming._replace(place=BEFORE) for renaming in self._renamings]
        for node in self._nodes.values():
            if isinstance(node, File):
                node.pending = [change._replace(place=BEFORE) for change in node.pending]

    def _call(self, place: int, call: str, path: str, data: bytes, inode: int, offset: int, *, created: bool) -> None:
        match call:
            case "o":
                if created:
                    self._nodes[inode] = File()
                    self._name(place, (path, self._nodes[inode]))
                else:
                    self._nodes[inode] = self.names[path]
            case "w":
                self._file(inode).pending.append(Change(place, offset, data))
            case "t":
                self._file(inode).pending.append(Change(place, offset, None))
            case "s":
                self._file(inode).sync(offset)
            case "f":
                if isinstance(node := self._nodes[inode], File):
                    node.pending = [change for change in node.pending if change.place >= offset]
            case "d":
                self._sync_folder(next(path for path, node in self.names.items() if node is self._nodes[inode]), offset)
            case "u" | "x":
                self._name(place, (path, None))
            case "r":
                self._name(place, (path, None), (os.path.normpath(data.decode()), self.names[path]))
            case "m":
                self._name(place, (path, Folder()))
            case _:
                raise ValueError(f"the log says {call!r}")

    def _file(self, inode: int) -> File:
        node = self._nodes[inode]
        if not isinstance(node, File):
            raise TypeError("a folder has no content")
        return node

    def _name(self, place: int, *names: tuple[str, Node | None]) -> None:
        _rename(self.names, *names)
        self._renamings.append(Renaming(place, names))

    def _sync_folder(self, folder: str, before: int) -> None:
        kept = []
        for renaming in self._renamings:
            is_durable = renaming.place < before and str(Path(renaming.names[0][0]).parent) == folder
            if is_durable:
                _rename(self.durable, *renaming.names)
            else:
                kept.append(renaming)
        self._renamings = kept

    def cut(self, torn: random.Random | None = None) -> None:
        """Replace what is below the root by what is durable of it; `torn`: and by some of what is not."""
        share = 0.0
        if torn is not None:
            share = torn.choice([0.02, 0.5, 0.98, 1])
            for renaming in self._renamings[: torn.randint(0, len(self._renamings))]:
                _rename(self.durable, *renaming.names)
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, node in sorted(self.durable.items(), key=lambda item: item[0]):
            path = Path(name)
            if path == self.root or not path.parent.is_dir():
                continue  # its folder's own name was lost
            if isinstance(node, Folder):
                path.mkdir()
            else:
                path.write_bytes(node.durable if torn is None else node.torn(torn, share))
                path.chmod(0o600)


def _rename(table: dict[str, Node], *names: tuple[str, Node | None]) -> None:
    for name, node in names:
        if node is None:
            table.pop(name, None)
        else:
            table[name] = node
