"""Readings that were deleted or edited, their chains, and the store's indexes: fsck names them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.log.damage import assert_found, blob_of, change
from tests.log.sample import INTERVAL, KEY, SIGNER, START, SUN, checked, reading
from tests.log.sample_readings import signed_reading
from wattseal.log import sqlite_places
from wattseal.log.bundle import build_bundle
from wattseal.log.fsck import check_store
from wattseal.log.guard import read_guard
from wattseal.log.report import Findings, Report
from wattseal.log.signature_check import CHUNK, SignatureCheck
from wattseal.log.sqlite import SqliteStore

CHAIN = "chain_no = 2 AND seq = 2"
"""The reading between the second and the third record of the producer, entries 12 and 15."""

EDITS: dict[str, tuple[str, int | None, str]] = {
    "all deleted": ("DELETE FROM reading", 8, "the signed reading at its start (epoch 1, seq 0) is missing"),
    "one deleted": (f"DELETE FROM reading WHERE {CHAIN}", 12, "the signed reading at its end (epoch 1, seq 2)"),
    "bytes": (f"UPDATE reading SET cose = zeroblob(200) WHERE {CHAIN}", None, "its bytes are no reading"),
    "digest": (f"UPDATE reading SET digest = zeroblob(32) WHERE {CHAIN}", 12, "the signed reading at its end"),
    "import": (
        f"UPDATE reading SET import_mwh = 7 WHERE {CHAIN}",
        None,
        "column import_mwh says 7, and what was signed 0",
    ),
    "export": (f"UPDATE reading SET export_mwh = 7 WHERE {CHAIN}", None, "column export_mwh says 7"),
    "time": (f"UPDATE reading SET time_s = 7 WHERE {CHAIN}", None, "column time_s says 7"),
    "place": (f"UPDATE reading SET seq = 7000 WHERE {CHAIN}", 12, "column seq says 7000"),
    "state": (f"UPDATE reading SET state = 'detail' WHERE {CHAIN}", 12, "the reading at its end is stored as detail"),
    "state aside": (f"UPDATE reading SET state = 'set-aside' WHERE {CHAIN}", 12, "and no entry set it aside"),
    "link": (f"UPDATE reading SET bridged = 0 WHERE {CHAIN}", None, "it does not follow the one stored before it"),
    "chain of another": (f"UPDATE reading SET chain_no = 1 WHERE {CHAIN}", 12, "its column chain_no says 1"),
    "chain none": (f"UPDATE reading SET chain_no = NULL WHERE {CHAIN}", 12, "the signed reading at its end"),
    "set aside deleted": ("DELETE FROM reading WHERE state = 'set-aside'", 45, "the reading that was set aside"),
    "chain kid": ("UPDATE chain SET kid = zeroblob(16) WHERE chain_no = 2", 9, "is not registered"),
    "chain meter": (
        "UPDATE chain SET meter_no = 1, kid = zeroblob(16) WHERE chain_no = 2",
        9,
        "there is no chain of the key",
    ),
    "secret's meter": ("UPDATE secret SET meter_no = 1 WHERE secret_no = 3", 9, "its secret belongs to meter number 1"),
    "meter without entry": ("INSERT INTO meter VALUES (4, 'a', 'b', 'c')", None, "no entry registers it"),
    "recent records": ("DELETE FROM record_recent", None, "does not lead to the record of entry 8"),
    "a moved record": (
        "UPDATE record_recent SET start_s = start_s + 86400 WHERE idx = 9",
        None,
        "does not lead to the record of entry 9",
    ),
    "a record too much": (
        "INSERT INTO record_recent SELECT run, meter_no, span, start_s + 1, idx FROM record_recent WHERE idx = 9",
        None,
        "names 355 records, and there are 354",
    ),
    "span": ("DELETE FROM record_span", None, "the spans wrong"),
    "run": ("UPDATE record_run SET first_idx = 100", None, "the runs wrong"),
    "block": ("UPDATE entry_block SET last_s = 5", None, "the blocks wrong"),
    "recent readings": ("DELETE FROM reading_recent", 8, "does not lead to the reading 1"),
    "order": ("INSERT INTO record_order VALUES (1, 3)", None, "names 1 sorted records, and there are 0"),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_was_edited_is_named(copy: Path, name: str) -> None:
    query, index, text = EDITS[name]
    change(copy, query)
    assert_found(checked(copy), index, text)


def test_a_signature_of_another_key(copy: Path) -> None:
    cose = blob_of(copy, f"SELECT cose FROM reading WHERE {CHAIN}")
    change(copy, f"UPDATE reading SET cose = ? WHERE {CHAIN}", cose[:-1] + bytes([cose[-1] ^ 1]))
    assert_found(checked(copy), None, "chain 2, epoch 1, seq 2: its signature is not by its registered key")
    report = quick(copy)
    assert report.ok
    assert "the signatures of readings were not checked" in report.notes


def quick(folder: Path) -> Report:
    store = SqliteStore.open(folder / "log.db", read_only=True)
    try:
        return check_store(store, read_guard(folder / "apart" / "guard"), SIGNER.verifier, signature_workers=None)
    finally:
        store.close()


def test_processes_find_the_same() -> None:
    cose = signed_reading(KEY.kid, reading(SUN, 3))
    bad = cose[:-1] + bytes([cose[-1] ^ 1])
    findings = Findings()
    check = SignatureCheck(findings, 2)
    for number in range(CHUNK + 3):
        check.add(bad if number in {5, CHUNK + 1} else cose, KEY.public_key, f"reading {number}")
    check.finish()
    report = findings.report()
    assert report.checked == {"signatures": CHUNK + 3}
    assert [text.partition(":")[0] for text in report.findings] == ["reading 5", f"reading {CHUNK + 1}"]


def test_sorted_places_are_checked(copy: Path) -> None:
    """As after many records: all is moved to the sorted tables."""
    with sqlite3.connect(copy / "log.db", isolation_level=None) as connection:
        sqlite_places._sort_records(connection.execute)
        connection.execute("INSERT INTO reading_place SELECT chain_no, epoch, seq, reading_no FROM reading_recent")
        connection.execute("DELETE FROM reading_recent")
    connection.close()
    assert checked(copy).ok
    change(copy, "UPDATE record_order SET idx = idx + 1 WHERE idx = 9")
    assert_found(checked(copy), None, "the order of the sorted records wrong")
    change(copy, "DELETE FROM record_place WHERE idx = 9")
    assert_found(checked(copy), None, "does not lead to the record of entry 9")


def test_a_reading_that_is_missing_is_said_in_words(copy: Path) -> None:
    change(copy, f"DELETE FROM reading WHERE {CHAIN}")
    store = SqliteStore.open(copy / "log.db", read_only=True)
    try:
        with store.read() as read, pytest.raises(LookupError, match="which is missing: run `wattseal fsck`"):
            build_bundle(read, path="PLANT-01/gw-01/MTR-SUN", from_s=START, to_s=START + 5 * INTERVAL)
    finally:
        store.close()
