from __future__ import annotations

import sqlite3
from pathlib import Path
from random import Random

import pytest

from tests.log.damage import assert_found, change, flip, flipped, value_of
from tests.log.sample import (
    FLAT,
    NAMES,
    ORIGIN,
    SIGNER,
    SUN,
    checked,
    digest,
    fill,
    memory_folder,
    opened,
    records,
)
from wattseal.core.checkpoint import Checkpoint
from wattseal.core.merkle import leaf_hash
from wattseal.core.note import Note
from wattseal.core.note_key import Ed25519Signer
from wattseal.log.fsck import check_export, check_store
from wattseal.log.guard import read_guard
from wattseal.log.report import Findings
from wattseal.log.sqlite import SqliteStore

SIZE = 369
VKEY = SIGNER.verifier.vkey


# --- A healthy log ----------------------------------------------------------------------------------------------------


def test_a_healthy_log(filled: Path) -> None:
    report = checked(filled)
    assert (report.ok, report.first_bad_index, report.findings) == (True, None, ())
    assert report.checked == {
        "entries": SIZE,
        "bodies": SIZE,
        "records": 354,
        "registrations": 8,
        "tiles": 5,
        "batches": 4,
        "batch rows": 4,
        "checkpoints": 4,
        "interruptions": 1,
        "readings": 328,
        "signatures": 328,
    }
    assert report.notes == (f"the records of PLANT-01/gw-01/{NAMES[FLAT]} stop and begin again 1 times",)


def test_an_empty_log_and_one_without_a_checkpoint(memory_path: Path) -> None:
    with opened(memory_path) as desk:
        assert check_store(desk.store, None, SIGNER.verifier).ok
        desk.set_up()
        report = check_store(desk.store, None, SIGNER.verifier)
    assert (report.ok, report.checked["entries"], report.notes) == (True, 8, ())


def test_it_may_run_beside_the_log(filled: Path, memory_path: Path) -> None:
    """Entries under no checkpoint yet, and a batch between its entry and its checkpoint."""
    with opened(memory_path) as desk:
        fill(desk)
        held = read_guard(memory_path / "apart" / "guard")
        desk.append(*records(108, 3))
        assert check_store(desk.store, held, SIGNER.verifier).ok
        desk.close_batch()
        # The guard was read before the batch was closed.
        assert check_store(desk.store, held, SIGNER.verifier).ok
        held = read_guard(memory_path / "apart" / "guard")
        with desk.store.write() as tx, pytest.raises(LookupError):
            tx.set_checkpoint(99, "")
        change(memory_path, "UPDATE batch SET checkpoint = NULL WHERE number = 4")
        report = check_store(desk.store, held, SIGNER.verifier)
    assert (report.ok, report.notes[0]) == (True, "batch 4 has no checkpoint yet; it gets one when the log is opened")


def test_progress_is_told(filled: Path) -> None:
    told: list[tuple[int, int]] = []
    store = SqliteStore.open(filled / "log.db", read_only=True)
    check_store(store, read_guard(filled / "apart" / "guard"), SIGNER.verifier, progress=lambda *at: told.append(at))
    store.close()
    assert told == [(SIZE, SIZE + 328), (SIZE + 328, SIZE + 328)]
    told.clear()
    check_export(filled / "out", VKEY, progress=lambda *at: told.append(at))
    assert told == [(256, SIZE), (SIZE, SIZE)]


# --- A store that was edited ------------------------------------------------------------------------------------------

RECORD = 9
"""The index of a record of the producer, in the first batch."""

EDITS: dict[str, tuple[str, int | None, str]] = {
    "slot": (f"UPDATE entry SET start_slot = zeroblob(32) WHERE idx = {RECORD}", RECORD, "its row was changed"),
    "body": (
        f"UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), 'ok', 'no') AS BLOB) WHERE idx = {RECORD}",
        RECORD,
        "its row was changed",
    ),
    "id": (f"UPDATE entry SET entry_id = zeroblob(16) WHERE idx = {RECORD}", RECORD, "its row was changed"),
    "secret number": (f"UPDATE entry SET secret_no = 1 WHERE idx = {RECORD}", RECORD, "its row was changed"),
    "row": (f"DELETE FROM entry WHERE idx = {RECORD}", RECORD, "its row is missing"),
    "last row": ("DELETE FROM entry WHERE idx = 368", 368, "the store is older than what was signed"),
    "energy": (
        f"UPDATE entry SET energy_mwh = 5 WHERE idx = {RECORD}",
        RECORD,
        "its column energy_mwh says 5, and its body 0",
    ),
    "export": (f"UPDATE entry SET export_mwh = 5 WHERE idx = {RECORD}", RECORD, "column export_mwh says 5"),
    "start": (f"UPDATE entry SET start_s = 5 WHERE idx = {RECORD}", RECORD, "column start_s"),
    "end": (f"UPDATE entry SET end_s = 5 WHERE idx = {RECORD}", RECORD, "column end_s"),
    "price": (f"UPDATE entry SET price_msat = 5 WHERE idx = {RECORD}", RECORD, "column price_msat"),
    "amount": (f"UPDATE entry SET amount_msat = NULL WHERE idx = {RECORD}", RECORD, "column amount_msat says None"),
    "status": (f"UPDATE entry SET status = 'gap' WHERE idx = {RECORD}", RECORD, "column status says gap"),
    "kind": (f"UPDATE entry SET kind = 'reported' WHERE idx = {RECORD}", RECORD, "column kind says reported"),
    "meter": (
        f"UPDATE entry SET meter_no = 1 WHERE idx = {RECORD}",
        RECORD,
        f"and its body PLANT-01/gw-01/{NAMES[SUN]}",
    ),
    "schema": (f"UPDATE entry SET schema = 'x-1' WHERE idx = {RECORD}", RECORD, "its body is no x-1"),
    "a column of no record": (
        "UPDATE entry SET energy_mwh = 5 WHERE idx = 2",
        2,
        "column energy_mwh says 5, and its body None",
    ),
    "erased body": (f"UPDATE entry SET body = x'' WHERE idx = {RECORD}", RECORD, "no tombstone says why"),
    "secret": ("UPDATE secret SET secret = zeroblob(32) WHERE secret_no = 3", RECORD, "its row was changed"),
    "erased secret": ("UPDATE secret SET secret = x'' WHERE secret_no = 3", RECORD, "its salts cannot be made"),
    "meter name": ("UPDATE meter SET meter_id = 'MTR-X' WHERE meter_no = 2", RECORD, "column meter_no"),
    "statement's note": ("UPDATE raw SET note = note || ' ' WHERE idx = 24", 24, "its signed note was changed"),
    "statement's note gone": ("DELETE FROM raw WHERE idx = 24", 24, "its signed note is missing"),
    "reported bytes": ("UPDATE raw SET data = x'00' WHERE idx = 350", 350, "the bytes that were reported"),
    "reported note": ("UPDATE raw SET note = '' WHERE idx = 350", 350, "the gateway's note"),
    "reported bytes gone": ("DELETE FROM raw WHERE idx = 350", 350, "reported for it are missing"),
    "entry tile gone": ("DELETE FROM tile WHERE level = -1 AND n = 0", 0, "missing from its entry tile"),
    "tile gone": ("DELETE FROM tile WHERE level = 0 AND n = 1", 256, "tile/0/001.p/113 is missing or too short"),
    "tile above gone": ("DELETE FROM tile WHERE level = 1", 0, "tile/1/000.p/1 differs"),
    "tile too long": (
        "UPDATE tile SET data = CAST(data || data AS BLOB) WHERE level = 0 AND n = 1",
        None,
        "holds more",
    ),
    "entry tile too long": (
        "UPDATE tile SET data = CAST(data || data AS BLOB) WHERE level = -1 AND n = 1",
        SIZE,
        "hold more",
    ),
    "batch row gone": ("DELETE FROM batch WHERE number = 2", 359, "batch 3 does not follow batch 1"),
    "last batch row gone": ("DELETE FROM batch WHERE number = 3", None, "number of batch entries is not that"),
    "batch first": ("UPDATE batch SET first_idx = 30 WHERE number = 1", 30, "batch 1 does not follow batch 0"),
    "batch last": ("UPDATE batch SET last_idx = 22 WHERE number = 0", 22, "it is not the batch entry of batch 0"),
    "batch beyond": ("UPDATE batch SET last_idx = 500 WHERE number = 3", SIZE, "ends at entry 500, which is missing"),
    "batch time": (
        "UPDATE batch SET closed_s = 5 WHERE number = 1",
        47,
        "the stored batch 1 differs from its batch entry",
    ),
    "batch root": (
        "UPDATE batch SET root = zeroblob(32) WHERE number = 1",
        24,
        "batch 1 was recorded with another root",
    ),
    "checkpoint": (
        "UPDATE batch SET checkpoint = checkpoint || 'x' WHERE number = 1",
        None,
        "no checkpoint that this log",
    ),
    "checkpoint of another batch": (
        "UPDATE batch SET checkpoint = (SELECT checkpoint FROM batch WHERE number = 0) WHERE number = 1",
        47,
        "the checkpoint of batch 1 is of 24 entries",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_was_edited_is_named(copy: Path, name: str) -> None:
    query, index, text = EDITS[name]
    change(copy, query)
    assert_found(checked(copy), index, text)


def test_one_edited_row_is_one_finding(copy: Path) -> None:
    """The tree goes on with what its tiles agree on, so that nothing after the row seems to differ."""
    flip(copy, "entry", "entry_id", "idx = 306")
    assert checked(copy).findings == ("entry 306: its row was changed, or its entry tile",)


COLUMNS = {
    "entry": ["entry_id", "start_slot", "end_slot", "body"],
    "tile": ["data"],
    "batch": ["root", "checkpoint"],
    "secret": ["secret"],
    "raw": ["data", "note"],
}


def test_any_flipped_bit_is_found(copy: Path, *, long: bool) -> None:
    random = Random(1)
    places = []
    with sqlite3.connect(copy / "log.db") as connection:
        for table, columns in COLUMNS.items():
            for column in columns:
                rows = connection.execute(f"SELECT rowid, {column} FROM {table} WHERE length({column}) > 0").fetchall()
                places += [(table, column, rowid, value) for rowid, value in rows]
    connection.close()
    for table, column, rowid, value in random.sample(places, 400 if long else 40):
        if (
            table == "entry"
            and column == "entry_id"
            and value_of(copy, f"SELECT secret_no FROM entry WHERE rowid = {rowid}") == 0
        ):
            continue  # the id of a public entry goes into no hash
        data = value.encode() if isinstance(value, str) else value
        bad = flipped(data, random.randrange(8 * len(data)))
        stored = bad.decode("latin-1") if isinstance(value, str) else bad
        change(copy, f"UPDATE {table} SET {column} = ? WHERE rowid = ?", stored, rowid)
        report = checked(copy)
        assert not report.ok, (table, column, rowid)
        if table == "entry":
            assert report.first_bad_index == rowid
        change(copy, f"UPDATE {table} SET {column} = ? WHERE rowid = ?", value, rowid)
    assert checked(copy).ok


def test_every_flipped_hash_is_named_by_its_entry(copy: Path, *, long: bool) -> None:
    for level, n, index in [(-1, 0, 7), (-1, 1, 300), (0, 0, 0), (0, 0, 255), (0, 1, 256), (0, 1, 368), (1, 0, 0)]:
        data = value_of(copy, f"SELECT data FROM tile WHERE level = {level} AND n = {n}")
        assert isinstance(data, bytes)
        place = (index - n * 256) if level < 1 else 0
        for bit in range(0, 256, 16 if long else 100):
            bad = flipped(data, place * 256 + bit)
            change(copy, f"UPDATE tile SET data = ? WHERE level = {level} AND n = {n}", bad)
            report = checked(copy)
            assert not report.ok
            assert report.first_bad_index == index, report.findings
        change(copy, f"UPDATE tile SET data = ? WHERE level = {level} AND n = {n}", data)
    assert checked(copy).ok


def test_a_row_and_its_tiles_changed_alike_differ_from_what_was_signed(copy: Path) -> None:
    """The first batch whose root differs is named, since no single entry can be."""
    forged = digest("forged")
    for level, data in ((-1, forged), (0, leaf_hash(forged))):
        tile = value_of(copy, f"SELECT data FROM tile WHERE level = {level} AND n = 1")
        assert isinstance(tile, bytes)
        bad = tile[: 32 * 50] + data + tile[32 * 51 :]
        change(copy, f"UPDATE tile SET data = ? WHERE level = {level} AND n = 1", bad)
    change(copy, "UPDATE entry SET body = x'' WHERE idx = 306")
    report = checked(copy)
    assert not report.ok
    assert "batch 2 was recorded with another root than the entries have" in report.findings


def test_a_checkpoint_that_the_log_signed_over_another_tree(copy: Path) -> None:
    body = Checkpoint(ORIGIN, 48, bytes(32)).body()
    note = bytes(Note(body, (SIGNER.sign(body),))).decode()
    change(copy, "UPDATE batch SET checkpoint = ? WHERE number = 1", note)
    assert_found(checked(copy), 24, "the checkpoint of batch 1 has another root than the entries")


def test_the_number_of_findings_is_bounded(copy: Path) -> None:
    change(copy, "UPDATE secret SET secret = zeroblob(32)")
    report = checked(copy)
    assert report.first_bad_index == 0
    assert len(report.findings) == 201
    assert report.findings[-1].startswith("and ")


def test_the_guard_is_compared(copy: Path) -> None:
    guard = copy / "apart" / "guard"
    note = guard.read_text()
    guard.unlink()
    assert_found(checked(copy), None, "the guard is missing or cannot be read")
    guard.write_text(note.replace(ORIGIN, "example.org/other"))
    assert_found(checked(copy), None, "the guard is no checkpoint that this log signed")
    with memory_folder() as other, opened(other) as desk:
        desk.set_up()
        desk.append(*records(50, 105))
        desk.close_batch()
        guard.write_text(desk.sequencer.checkpoint() or "")
    assert_found(checked(copy), 0, "the guard's checkpoint has another root than the entries")


def test_a_store_of_another_key(filled: Path) -> None:
    other = Ed25519Signer(ORIGIN, bytes([9]) * 32).verifier
    store = SqliteStore.open(filled / "log.db", read_only=True)
    report = check_store(store, read_guard(filled / "apart" / "guard"), other)
    store.close()
    assert len([one for one in report.findings if "no checkpoint that this log signed" in one]) == 5


# --- The report -------------------------------------------------------------------------------------------------------


def test_a_range_gives_way_to_what_is_more_exact() -> None:
    findings = Findings()
    findings.bad_range("a batch", 10, 20)
    assert findings.report().first_bad_index == 10
    findings.bad("a row", 15)
    findings.bad("no index")
    assert findings.report().first_bad_index == 15
    findings.bad_range("an earlier one", 5, 9)
    report = findings.report()
    assert (report.first_bad_index, report.ok) == (5, False)
    assert report.findings == ("a batch", "entry 15: a row", "no index", "an earlier one")
