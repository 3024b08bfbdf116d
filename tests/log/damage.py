"""Ways to damage a log behind its back, and to see that it is found."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.log.sample import Desk
from wattseal.log.report import Report
from wattseal.log.sequencer import Halted


def change(folder: Path, query: str, *values: object) -> None:
    """Run a statement on the database of the log in a folder; it must change something."""
    with sqlite3.connect(folder / "log.db", isolation_level=None) as connection:
        assert connection.execute(query, values).rowcount > 0
    connection.close()


def value_of(folder: Path, query: str) -> object:
    """The one value that a query gives."""
    with sqlite3.connect(folder / "log.db") as connection:
        (value,) = connection.execute(query).fetchone()
    connection.close()
    return value


def blob_of(folder: Path, query: str) -> bytes:
    """As value_of, of bytes."""
    value = value_of(folder, query)
    assert isinstance(value, bytes)
    return value


def content(folder: Path) -> list[list[object]]:
    """All that the log rests on."""
    with sqlite3.connect(folder / "log.db") as connection:
        tables = ("tile", "entry", "batch", "secret", "raw")
        rows = [connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables]
    connection.close()
    return rows


def flipped(data: bytes, bit: int) -> bytes:
    """Data with one bit changed."""
    result = bytearray(data)
    result[bit // 8] ^= 1 << bit % 8
    return bytes(result)


def flip(folder: Path, table: str, column: str, where: str, bit: int = 43) -> None:
    """Change one bit of a value."""
    data = blob_of(folder, f"SELECT {column} FROM {table} WHERE {where}")
    change(folder, f"UPDATE {table} SET {column} = ? WHERE {where}", flipped(data, bit))


def assert_found(report: Report, index: int | None, text: str) -> None:
    """The report says so, and names that entry as the first."""
    assert not report.ok
    assert report.first_bad_index == index
    assert any(text in finding for finding in report.findings), report.findings


def assert_halted(desk: Desk) -> None:
    """Nothing more is written or signed."""
    assert desk.sequencer.halted
    with pytest.raises(Halted), desk.sequencer.write():
        pytest.fail("a halted log gave a transaction")
    with pytest.raises(Halted):
        desk.close_batch()
