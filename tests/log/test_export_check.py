from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.log.damage import assert_found, flipped
from tests.log.sample import (
    ORIGIN,
    SIGNER,
)
from wattseal.core.note_key import Ed25519Signer
from wattseal.log.fsck import check_export

SIZE = 369
VKEY = SIGNER.verifier.vkey


# --- Exported files ---------------------------------------------------------------------------------------------------


def test_a_healthy_export(filled: Path) -> None:
    report = check_export(filled / "out", VKEY)
    assert (report.ok, report.notes) == (True, ())
    assert report.checked == {
        "entries": SIZE,
        "bodies": 246,
        "records": 236,
        "registrations": 6,
        "tiles": 5,
        "batches": 4,
        "checkpoints": 1,
    }


FILES = ["tile/entries/000", "tile/entries/001.p/113", "tile/0/000", "tile/0/001.p/113", "tile/1/000.p/1"]


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_bit_of_a_file_is_named_by_its_entry(copy: Path, name: str, *, long: bool) -> None:
    file = copy / "out" / name
    data, random = file.read_bytes(), Random(2)
    for bit in random.sample(range(8 * len(data)), min(200 if long else 12, 8 * len(data))):
        file.write_bytes(flipped(data, bit))
        report = check_export(copy / "out", VKEY)
        assert not report.ok
        start = 256 if "001" in name else 0
        if "entries" in name:
            place = start + bit // 8 // 34
            if name == "tile/entries/000" and bit // 8 % 34 > 1:
                # The tiles above agree with the leaf that is held, so nothing else is said to differ.
                assert report.findings == (f"entry {place}: its leaf in the tree is not that of the entry",)
            # A broken length leaves the rest of the bundle without a place.
            assert report.first_bad_index in {place, start}
        else:
            assert report.first_bad_index == start + (bit // 8 // 32 if "tile/0" in name else 0)


def test_any_flipped_bit_of_a_body_is_named_by_its_line(copy: Path, *, long: bool) -> None:
    file = copy / "out" / "bodies.jsonl"
    lines, random = file.read_bytes().splitlines(keepends=True), Random(3)
    for number in random.sample(range(len(lines)), 100 if long else 12):
        line = lines[number]
        bad = flipped(line, random.randrange(8 * (len(line) - 1)))
        file.write_bytes(b"".join([*lines[:number], bad, *lines[number + 1 :]]))
        report = check_export(copy / "out", VKEY)
        # Only the id goes into no hash: who discloses the salts has no need of it.
        is_id = bad[bad.index(b'"id"') :][:40] != line[line.index(b'"id"') :][:40] if b'"id"' in bad else False
        assert not report.ok or is_id, bad


def test_a_checkpoint_that_does_not_verify(copy: Path) -> None:
    checkpoint = copy / "out" / "checkpoint"
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data.replace(b"369", b"368"))
    assert_found(check_export(copy / "out", VKEY), None, "the checkpoint is not signed by this log")
    checkpoint.write_bytes(data)
    other = Ed25519Signer(ORIGIN, bytes([9]) * 32).verifier.vkey
    assert_found(check_export(copy / "out", other), None, "the checkpoint is not signed by this log")
    checkpoint.unlink()
    assert_found(check_export(copy / "out", VKEY), None, "there is no checkpoint")


@pytest.mark.parametrize(("name", "index"), [(name, 256 if "001" in name else 0) for name in FILES])
def test_a_file_that_is_missing_cut_short_or_too_long(copy: Path, name: str, index: int) -> None:
    file = copy / "out" / name
    data = file.read_bytes()
    for bad in (data[:-1], data + b"x" * 300_000 * 60, None):
        if bad is None:
            file.unlink()
        else:
            file.write_bytes(bad)
        report = check_export(copy / "out", VKEY)
        assert not report.ok
        assert report.first_bad_index is not None
        assert index <= report.first_bad_index < index + 256


def test_a_bundle_and_its_tile_missing_stop_the_check(copy: Path) -> None:
    for name in FILES[:1] + FILES[2:3]:
        (copy / "out" / name).unlink()
    assert_found(check_export(copy / "out", VKEY), 0, "stopped here")


def test_lines_left_out_of_the_bodies_show_in_the_totals(copy: Path) -> None:
    file = copy / "out" / "bodies.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if b"emlog-1.1" in line and b'"index":8,' in line]
    file.write_bytes(b"".join(line for number, line in enumerate(lines) if number not in places))
    assert_found(check_export(copy / "out", VKEY), 23, "says consumption_kwh 5.00001, and the log says 4.00001")


def test_lines_out_of_order(copy: Path) -> None:
    file = copy / "out" / "bodies.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[1], lines[0], *lines[2:]]))
    assert_found(check_export(copy / "out", VKEY), 0, "line 2 of bodies.jsonl is not in order")
