"""Rows come as they stand in the file, whatever its line ends, and a damaged file is refused in words."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from wattseal.core.refusal import Refusal
from wattseal.ingest.csv_mapping import parse_mapping
from wattseal.ingest.csv_rows import MAX_LINE_BYTES, CsvFile, file_sha256

MAPPING = parse_mapping(
    'version = 1\n[time]\nstart = "t"\ninterval_s = 60\n[[meter]]\nmeter_id = "m"\nimport = "v"\nunit = "Wh"\n'
)


def written(folder: Path, data: bytes) -> CsvFile:
    path = folder / "history.csv"
    path.write_bytes(data)
    return CsvFile(path, MAPPING)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_are_no_part_of_a_row(tmp_path: Path, end: bytes, *, last: bool) -> None:
    file = written(tmp_path, b"\xef\xbb\xbft,v" + end + b"1,2" + end + b"3,4" + (end if last else b""))
    assert [(row.line, row.raw, row.fields) for row in file.rows()] == [
        (2, b"1,2", ["1", "2"]),
        (3, b"3,4", ["3", "4"]),
    ]


def test_quotes(tmp_path: Path) -> None:
    file = written(tmp_path, b't,v\n"1,5","say ""so"""\n"open,2\n')
    assert [row.fields for row in file.rows()] == [["1,5", 'say "so"'], None]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    assert [row.fields for row in written(tmp_path, b"t,v\n\xff,1\n").rows()] == [None]


def test_gzip_is_read_and_digested_as_it_lies_there(tmp_path: Path) -> None:
    packed = gzip.compress(b"t,v\n1,2\n")
    file = written(tmp_path, packed)
    assert [row.raw for row in file.rows()] == [b"1,2"]
    assert file_sha256(file.path) == hashlib.sha256(packed).digest()


@pytest.mark.parametrize("cut", [12, -4])
def test_a_damaged_gzip_is_refused(tmp_path: Path, cut: int) -> None:
    packed = gzip.compress(b"t,v\n" + b"".join(b"%d,2\n" % number for number in range(10_000)))
    with pytest.raises(Refusal, match="damaged"):
        list(written(tmp_path, packed[:cut]).rows())


def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="longer"):
        list(written(tmp_path, b"t,v\n" + b"1" * (MAX_LINE_BYTES + 1)).rows())


@pytest.mark.parametrize("header", [b"a,v\n", b"t,t,v\n", b""])
def test_a_column_must_be_named_once(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(Refusal, match=r"column 't' \d times"):
        written(tmp_path, header).place("t")
