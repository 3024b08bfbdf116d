"""One reading of a file: the row chain of docs/spec/log.md §1.2, the grid that a file suggests, portions."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.statement import Import
from wattseal.ingest import csv_import
from wattseal.ingest.csv_history import HistoryRecord
from wattseal.ingest.csv_import import HistoryReader, Summary, first_chain, row_interval
from wattseal.ingest.csv_mapping import Mapping, parse_mapping
from wattseal.ingest.csv_rows import CsvFile, file_sha256

MAPPING = """\
version = 1
[time]
start = "t"
format = "unix"
interval_s = 60
[[meter]]
meter_id = "a"
import = "x"
unit = "Wh"
[[meter]]
meter_id = "b"
import = "y"
unit = "register-Wh"
"""
START = 1_600_000_200  # on the grid of 300 s
CHAINS = {"a": bytes([1]) * 32, "b": bytes([2]) * 32}


def read(path: Path, rows: list[str], mapping: Mapping | None = None) -> tuple[Summary, dict[str, list[HistoryRecord]]]:
    path.write_text("t,x,y\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    mapping = mapping or parse_mapping(MAPPING)
    found: dict[str, list[HistoryRecord]] = {"a": [], "b": []}
    reader = HistoryReader(CsvFile(path, mapping), mapping, {"a": 300, "b": 300}, CHAINS)
    return reader.read(lambda meter_id, records: found[meter_id].extend(records)), found


def digests(rows: list[str], first: bytes) -> list[bytes]:
    """c₀, c₁, … as the specification has it, computed apart from the product."""
    found = [first]
    for row in rows:
        found.append(hashlib.sha256(found[-1] + hashlib.sha256(row.encode()).digest()).digest())
    return found


def test_where_the_row_chain_begins() -> None:
    mapping = parse_mapping(MAPPING)
    claim = Import(bytes(32), mapping.json(), 1, ("s/d/a",), START, START + 60, "operator")
    expected = hashlib.sha256(b"wattseal/import/1\n" + bytes(32) + claim.mapping_sha256 + b"s/d/a").digest()
    assert first_chain(bytes(32), mapping.sha256(), "s/d/a") == expected


def test_the_row_chain(tmp_path: Path) -> None:
    rows = [f"{START + 60 * place},5,{place}" for place in range(15)]
    _, found = read(tmp_path / "x.csv", rows)
    of_a, of_b = digests(rows, CHAINS["a"]), digests(rows, CHAINS["b"])
    assert [(record.chain_before, record.chain_after) for record in found["a"]] == [
        (of_a[0], of_a[5]),
        (of_a[5], of_a[10]),
        (of_a[10], of_a[15]),
    ]
    # A register's first row is the state before its first record.
    assert [(record.chain_before, record.chain_after) for record in found["b"]][:2] == [
        (of_b[1], of_b[5]),
        (of_b[5], of_b[10]),
    ]


@given(spoilt=st.sets(st.integers(0, 29)), blank=st.sets(st.integers(0, 29)))
def test_whatever_is_refused_the_records_link(
    tmp_path_factory: pytest.TempPathFactory, spoilt: set[int], blank: set[int]
) -> None:
    rows = [
        "" if place in blank else f"{START + 60 * place},{'?' if place in spoilt else 5},{place}" for place in range(30)
    ]
    summary, found = read(tmp_path_factory.mktemp("rows") / "x.csv", rows)
    assert (summary.rows, summary.blank, summary.refusals) == (30, len(blank), len(spoilt - blank))
    chain = set(digests(rows, CHAINS["a"]))
    for before, after in pairwise(found["a"]):
        assert {before.chain_before, before.chain_after, after.chain_before, after.chain_after} <= chain
        if before.end_s == after.start_s:
            assert before.chain_after == after.chain_before
    assert sum(record.energy_mwh for record in found["a"]) == 5_000 * (30 - len(spoilt | blank))


def test_records_come_in_portions_and_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_import, "BATCH_RECORDS", 2)
    monkeypatch.setattr(csv_import, "_PROGRESS_ROWS", 10)
    path, mapping = tmp_path / "x.csv", parse_mapping(MAPPING)
    path.write_text("t,x,y\n" + "".join(f"{START + 60 * place},5,{place}\n" for place in range(25)), encoding="utf-8")
    portions: list[tuple[str, int]] = []
    told: list[int] = []
    reader = HistoryReader(CsvFile(path, mapping), mapping, {"a": 300, "b": 300}, CHAINS)
    summary = reader.read(lambda meter_id, records: portions.append((meter_id, len(records))), told.append)
    assert portions == [("a", 2), ("b", 2), ("a", 2), ("b", 2), ("a", 1), ("b", 1)]
    assert told == [10, 20, 25]
    assert [(meter.meter_id, meter.records) for meter in summary.meters] == [("a", 5), ("b", 5)]


@pytest.mark.parametrize(
    ("time", "rows", "interval_s"),
    [
        ('start = "t"\ninterval_s = 60', ["0,1,1"], 60),
        ('start = "t"\ninterval_s = 10', ["0,1,1"], 300),
        ('start = "t"\nend = "x"', ["nonsense,1,1", "0,900,1"], 900),
        ('start = "t"\nend = "x"', ["0,900000,1"], 300),
        ('end = "t"\ninterval_s = 900', ["900,1,1"], 900),
    ],
)
def test_the_grid_that_a_file_suggests(tmp_path: Path, time: str, rows: list[str], interval_s: int) -> None:
    mapping = parse_mapping(
        f'version = 1\n[time]\n{time}\nformat = "unix"\n[[meter]]\nmeter_id = "a"\nimport = "y"\nunit = "Wh"\n'
    )
    (tmp_path / "x.csv").write_text("t,x,y\n" + "\n".join(rows), encoding="utf-8")
    assert row_interval(CsvFile(tmp_path / "x.csv", mapping), mapping) == interval_s


def test_the_files_digest_is_what_sha256sum_says(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"t,x,y\n")
    assert file_sha256(tmp_path / "x.csv").hex() == hashlib.sha256(b"t,x,y\n").hexdigest()
