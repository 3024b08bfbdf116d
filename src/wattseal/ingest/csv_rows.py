"""The rows of a CSV file, as they stand there and in order: the row chain is made of them (docs/spec/log.md §1.2)."""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

from wattseal.core.refusal import Refusal
from wattseal.ingest.csv_mapping import Column, Mapping

MAX_LINE_BYTES: Final = 65_536
MAX_ROWS: Final = 100_000_000
_CHUNK: Final = 2**20
_GZIP: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """One line after the header: its number in the file (from 1), its bytes without the line end, its fields.

    `fields` is None where the line cannot be divided into fields.
    """

    line: int
    raw: bytes
    fields: list[str] | None


def file_sha256(path: Path) -> bytes:
    """SHA-256 of the file as it lies there, compressed or not: what `sha256sum` says."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.digest()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        is_gzip = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if not is_gzip:
            yield file
            return
        with gzip.open(file) as unpacked:
            yield cast("BinaryIO", unpacked)


class CsvFile:
    """A CSV file, gzipped or not, read by a mapping."""

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self.path = path
        self._mapping = mapping
        self.header = self._read_header() if mapping.header else []

    def place(self, column: Column) -> int:
        """The place of a column in a row, from 0; Refusal where the header does not name it exactly once."""
        if isinstance(column, int):
            return column - 1
        if self.header.count(column) != 1:
            found, times = ", ".join(self.header[:20]), self.header.count(column)
            raise Refusal("mapping", f"the header names the column {column!r} {times} times; it has: {found}")
        return self.header.index(column)

    def rows(self) -> Iterator[Row]:
        """The rows in the file's order. Refusal for a file that is no text of lines, or too long."""
        first = 2 if self._mapping.header else 1
        delimiter = self._mapping.delimiter
        with _opened(self.path) as file:
            if self._mapping.header:
                _line(file, 1)
            line = first
            while raw := _line(file, line):
                bare = _without_end(raw)
                yield Row(line, bare, _fields(bare, delimiter))
                line += 1
                if line > MAX_ROWS:
                    raise Refusal(self.path.name, f"has more than {MAX_ROWS} rows")

    def _read_header(self) -> list[str]:
        with _opened(self.path) as file:
            fields = _fields(_without_end(_line(file, 1)).removeprefix(_BOM), self._mapping.delimiter)
        if fields is None:
            raise Refusal(self.path.name, "has a header that is not UTF-8")
        return [name.strip() for name in fields]


def _line(file: BinaryIO, number: int) -> bytes:
    try:
        raw = file.readline(MAX_LINE_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Refusal("file", f"is damaged after line {number - 1}: {error}") from None
    if len(raw) > MAX_LINE_BYTES:
        raise Refusal("file", f"line {number} is longer than {MAX_LINE_BYTES} bytes")
    return raw


def _without_end(raw: bytes) -> bytes:
    if raw.endswith(b"\r\n"):
        return raw[:-2]
    return raw[:-1] if raw.endswith(b"\n") else raw


def _fields(raw: bytes, delimiter: str) -> list[str] | None:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error:
        return None
