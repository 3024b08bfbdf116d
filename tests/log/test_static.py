from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.log.sample import (
    FLAT,
    KEY,
    LOAD,
    NAMES,
    SIGNER,
    Desk,
    draft_of,
    fill,
    meter,
    opened,
    record,
    records,
)
from wattseal.core.entry import Salts, Slots, entry_hash
from wattseal.core.refusal import Refusal
from wattseal.log.body_line import parse_line
from wattseal.log.fsck import check_export
from wattseal.log.reader import LogReader
from wattseal.log.static import Exported, export_log


def export(desk: Desk, folder: Path, *, with_bodies: bool = True) -> Exported:
    with desk.store.read() as read:
        return export_log(read, folder, with_bodies=with_bodies)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_the_files_that_the_reader_shows(desk: Desk, memory_path: Path) -> None:
    fill(desk)
    out = memory_path / "out"
    assert export(desk, out, with_bodies=False) == Exported(369, 5, 0)
    assert set(files(out)) == {
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/113",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/113",
    }
    with desk.store.read() as read:
        log = LogReader(read)
        assert {path: log.file(path) for path in files(out)} == files(out)


def test_bodies_are_those_of_disclosed_meters_and_public_entries(desk: Desk, memory_path: Path) -> None:
    fill(desk)
    assert export(desk, memory_path / "out").bodies == 246
    lines = [json.loads(line) for line in (memory_path / "out" / "bodies.jsonl").read_bytes().splitlines()]
    assert [list(line) for line in lines] == [["index", "id", "salts", "slots", "body"]] * 246
    with desk.store.read() as read:
        log = LogReader(read)
        for line in lines:
            salts, slots = (tuple(map(bytes.fromhex, line[name])) for name in ("salts", "slots"))
            assert entry_hash(Salts(*salts), line["body"].encode(), Slots(*slots)) == log.entry(line["index"])
        shown = {line["index"] for line in lines}
        hidden = [row for row in read.entries(0, 1_000) if row.idx not in shown]
    schemas = [json.loads(line["body"])["schema_version"] for line in lines]
    assert {name: schemas.count(name) for name in set(schemas)} == {
        "emlog-1.1": 236,
        "batch-1": 4,
        "signer-1": 3,
        "meter-1": 2,
        "key-1": 1,
    }
    assert {(row.schema, row.meter_no) for row in hidden} == {
        ("emlog-1.1", FLAT),
        ("quarantine-1", LOAD),
        ("meter-1", None),
        ("tariff-1", None),
        ("import-1", None),
        ("decision-1", None),
    }


def test_again_it_writes_what_is_new(desk: Desk, memory_path: Path) -> None:
    """Step by step as in one go, but for partial tiles of earlier checkpoints."""
    out, whole = memory_path / "out", memory_path / "whole"
    desk.set_up()
    counts = []
    for first in (0, 10, 70, 85):
        desk.append(*records(first, 10))
        desk.close_batch()
        exported = export(desk, out)
        counts.append((exported.size, exported.tiles, exported.bodies))
        assert check_export(out, SIGNER.verifier.vkey).ok
    assert counts == [(39, 2, 27), (70, 2, 21), (101, 2, 21), (132, 2, 21)]
    assert export(desk, out) == Exported(132, 0, 0)
    export(desk, whole)
    assert files(whole).items() <= files(out).items()
    assert set(files(out)) - set(files(whole)) == {
        f"tile/{level}/000.p/{width}" for level in ("0", "entries") for width in (39, 70, 101)
    }
    desk.append(*records(100, 50))
    desk.close_batch()
    export(desk, out)
    # Partial tiles are gone once the full one is there.
    assert set(files(out)) == {
        "checkpoint",
        "bodies.jsonl",
        "tile/0/000",
        "tile/0/001.p/27",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/27",
    }
    assert check_export(out, SIGNER.verifier.vkey).ok


def test_bodies_are_written_anew_when_a_meter_becomes_disclosed(desk: Desk, memory_path: Path) -> None:
    out = memory_path / "out"
    desk.set_up()
    desk.append(*records(0, 5))
    desk.close_batch()
    assert export(desk, out).bodies == 8 - 2 + 10 + 1
    desk.append(draft_of("shown", "meter-1", meter(FLAT, disclosed=True).body()))
    desk.append(*records(5, 5))
    desk.close_batch()
    assert export(desk, out).bodies == 8 - 1 + 15 + 1 + 1 + 15 + 1
    assert check_export(out, SIGNER.verifier.vkey).ok
    desk.append(draft_of("hidden", "meter-1", meter(LOAD, disclosed=False).body()))
    desk.append(record(LOAD, 10))
    desk.close_batch()
    export(desk, out)
    lines = (out / "bodies.jsonl").read_bytes().splitlines()
    assert not [line for line in lines if NAMES[LOAD].encode() in line and b"emlog" in line]
    report = check_export(out, SIGNER.verifier.vkey)
    assert report.ok, report.findings
    # What a batch said of a meter that is hidden now cannot be checked any more, and that is said.
    assert report.checked["totals that cannot be checked"] == 2


def test_bodies_may_begin_later_than_tiles(desk: Desk, memory_path: Path) -> None:
    out = memory_path / "out"
    desk.set_up()
    desk.close_batch()
    export(desk, out, with_bodies=False)
    report = check_export(out, SIGNER.verifier.vkey)
    assert report.notes == ("there is no bodies.jsonl: entries were checked, and no bodies",)
    desk.append(*records(0, 5))
    desk.close_batch()
    assert export(desk, out).bodies == 8 - 2 + 1 + 10 + 1
    (out / "bodies.jsonl").write_bytes(b"not ours\n")
    assert export(desk, out).bodies == 8 - 2 + 1 + 10 + 1
    assert check_export(out, SIGNER.verifier.vkey).ok


def test_an_export_that_is_cut_off_leaves_the_earlier_one_whole(
    desk: Desk, memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = memory_path / "out"
    desk.set_up()
    desk.append(*records(0, 50))
    desk.close_batch()
    export(desk, out)
    desk.append(*records(50, 80))
    desk.close_batch()
    replace = Path.replace
    for failing in range(7):
        renamed: list[Path] = []

        def cut_off(path: Path, target: Path, limit: int = failing, renamed: list[Path] = renamed) -> Path:
            if len(renamed) == limit:
                raise OSError(28, "no space left")
            renamed.append(target)
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", cut_off)
        with pytest.raises(OSError, match="no space"):
            export(desk, out)
        monkeypatch.undo()
        report = check_export(out, SIGNER.verifier.vkey)
        assert (report.ok, report.checked["entries"]) == (True, 159)
        # Only bodies may stand there already that no checkpoint covers yet.
        goes_on = "bodies.jsonl goes on at entry 159, which the checkpoint does not cover: not checked"
        assert report.notes == ((goes_on,) if failing else ())
    export(desk, out)
    report = check_export(out, SIGNER.verifier.vkey)
    assert (report.ok, report.checked["entries"]) == (True, 400)


def test_the_checkpoint_is_written_after_all_else_is_on_the_disk(
    desk: Desk, memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.set_up()
    desk.close_batch()
    done: list[str] = []
    replace = Path.replace

    def noted(path: Path, target: Path) -> Path:
        done.append(target.name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", noted)
    monkeypatch.setattr(os, "sync", lambda: done.append("sync"))
    monkeypatch.setattr(os, "fsync", lambda fd: done.append("fsync"))
    export(desk, memory_path / "out")
    assert done == ["bodies.jsonl", "9", "9", "sync", "fsync", "checkpoint"]


def test_what_is_not_exported(desk: Desk, memory_path: Path) -> None:
    desk.set_up()
    with pytest.raises(Refusal, match="nothing was signed yet"):
        export(desk, memory_path / "out")
    assert not (memory_path / "out").exists()


def test_a_folder_of_another_log_or_of_a_later_state(desk: Desk, memory_path: Path) -> None:
    desk.set_up()
    desk.append(*records(0, 5))
    desk.close_batch()
    (memory_path / "other").mkdir()
    with opened(memory_path / "other") as other:
        other.set_up()
        other.append(*records(90, 1))
        other.close_batch()
        export(other, memory_path / "out")
        before = files(memory_path / "out")
        with pytest.raises(Refusal, match="files of another log"):
            export(desk, memory_path / "out")
        assert files(memory_path / "out") == before
    desk.append(*records(5, 1))
    with desk.store.read() as read:
        log = LogReader(read)
        desk.close_batch()
        export(desk, memory_path / "mine")
        assert log.size == 24
        with pytest.raises(Refusal, match="or of a later state"):
            export_log(read, memory_path / "mine")


# --- Lines ------------------------------------------------------------------------------------------------------------


def line(**changes: object) -> bytes:
    members = {"index": 5, "id": "00" * 16, "salts": ["11" * 32] * 3, "slots": ["22" * 32] * 2, "body": '{"a":"é\\n"}'}
    return json.dumps({**members, **changes}).encode()


def test_a_line_is_read_as_it_was_written() -> None:
    read = parse_line(line())
    assert parse_line(read.dump()) == read
    assert read.dump().count(b"\n") == 1
    erased = parse_line(line(salts=None, slots=None, body=None))
    assert (erased.entry(), parse_line(erased.dump())) == (None, erased)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        line(index=-1),
        line(index=2**53),
        line(id="00" * 15),
        line(salts=["11" * 32] * 2),
        line(salts=["11" * 31] * 3),
        line(salts=None),
        line(slots=["22" * 32, 5]),
        line(body=None),
        line(body="x" * 70_000),
        line(more=1),
        b'{"index":1,"index":1}',
    ],
)
def test_a_line_that_is_none(data: bytes) -> None:
    with pytest.raises(Refusal):
        parse_line(data)


def test_the_key_of_a_disclosed_meter_is_disclosed(desk: Desk, memory_path: Path) -> None:
    desk.set_up()
    desk.close_batch()
    export(desk, memory_path / "out")
    assert KEY.kid.hex().encode() in (memory_path / "out" / "bodies.jsonl").read_bytes()
