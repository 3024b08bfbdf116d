from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.log.damage import assert_halted, change, flip
from tests.log.sample import (
    Desk,
    checked,
    digest,
    entry_of,
    opened,
    records,
)
from wattseal.log.sequencer import Halted

# --- What is read again before a signature ----------------------------------------------------------------------------


Edit = Callable[[Path], None]


def flips(table: str, column: str, where: str, byte: int = 5) -> Edit:
    return lambda folder: flip(folder, table, column, where, 8 * byte)


def runs(query: str) -> Edit:
    return lambda folder: change(folder, query)


forget = runs("DELETE FROM entry WHERE idx = (SELECT max(idx) FROM entry)")


ROW_EDITS: dict[str, tuple[Edit, str]] = {
    "a body": (flips("entry", "body", "idx = 300", 40), "entry 300: its row was changed"),
    "a slot": (flips("entry", "end_slot", "idx = 299"), "entry 299: its row was changed"),
    "an id": (flips("entry", "entry_id", "idx = 299"), "entry 299: its row was changed"),
    "a secret": (flips("secret", "secret", "secret_no = 2"), "its row was changed"),
    "an erased secret": (
        runs("UPDATE secret SET secret = x'' WHERE secret_no = 2"),
        "row was changed",
    ),
    "a row gone": (runs("DELETE FROM entry WHERE idx = 299"), "entry 299: its row is missing"),
    "a full tile under the edge": (flips("tile", "data", "level = 0 AND n = 0"), "entry 0: a hash of level 1"),
    "a full tile gone": (
        runs("DELETE FROM tile WHERE level = 0 AND n = 0"),
        "entry 0: the store lacks",
    ),
}
TILE_EDITS: dict[str, tuple[Edit, str]] = {
    "the unfinished entry tile": (flips("tile", "data", "level = -1 AND n = 1", 3), "entry 256: its row was changed"),
    "the unfinished tile": (flips("tile", "data", "level = 0 AND n = 1", 32 * 3), "at 309 entries"),
    "the tile above": (flips("tile", "data", "level = 1 AND n = 0"), "at 309 entries"),
    "a tile too short": (
        runs("UPDATE tile SET data = substr(data, 1, 64) WHERE level = 0 AND n = 1"),
        "the store lacks a part of tile/0/001",
    ),
    "a tile too long": (
        runs("UPDATE tile SET data = CAST(data || x'00' AS BLOB) WHERE level = 1 AND n = 0"),
        "entry 256: tile 0 of level 1 has 33 bytes",
    ),
    "a tile gone": (
        runs("DELETE FROM tile WHERE level = 1"),
        "entry 0: the store lacks a part of tile/1/000",
    ),
}


def open_batch(desk: Desk) -> None:
    """308 entries, the last of which are under no checkpoint."""
    desk.set_up()
    desk.append(*records(0, 20))
    desk.close_batch()
    desk.append(*records(20, 79), *records(99, 1)[:2])
    assert desk.sequencer.next_idx == 308


@pytest.mark.parametrize("name", ROW_EDITS)
def test_an_edit_at_the_right_edge_halts_the_next_batch(memory_path: Path, name: str) -> None:
    edit, message = ROW_EDITS[name]
    with opened(memory_path) as desk:
        open_batch(desk)
        held = desk.guard.read()
        edit(memory_path)
        with pytest.raises(Halted) as halted:
            desk.close_batch()
        assert message in str(halted.value)
        assert_halted(desk)
        assert desk.guard.read() == held
    with pytest.raises(Halted), opened(memory_path):
        pytest.fail("a damaged log was opened")
    assert not checked(memory_path).ok


def test_a_last_row_that_is_gone_halts_the_next_entry(memory_path: Path) -> None:
    with opened(memory_path) as desk:
        open_batch(desk)
        forget(memory_path)
        with pytest.raises(Halted, match="the store holds 307 entries, and the tree has 308"):
            desk.append(*records(200, 1))


@pytest.mark.parametrize("name", TILE_EDITS)
def test_unfinished_tiles_are_written_anew_by_a_running_log_and_compared_by_one_that_opens(
    memory_path: Path, name: str
) -> None:
    edit, message = TILE_EDITS[name]
    with opened(memory_path) as desk:
        open_batch(desk)
        edit(memory_path)
        desk.close_batch()
    assert checked(memory_path).ok
    edit(memory_path)
    report = checked(memory_path)
    assert not report.ok
    with pytest.raises(Halted) as halted, opened(memory_path):
        pytest.fail("a damaged log was opened")
    assert message in str(halted.value)


def test_an_edit_before_the_right_edge_is_for_fsck(memory_path: Path) -> None:
    with opened(memory_path) as desk:
        desk.set_up()
        desk.append(*records(0, 100))
        desk.close_batch()
        flips("entry", "body", "idx = 100", 40)(memory_path)
        desk.append(*records(100, 1))
        desk.close_batch()
    report = checked(memory_path)
    assert (report.ok, report.first_bad_index) == (False, 100)


def test_what_is_not_signed_yet_is_read_row_by_row_when_the_log_is_opened(memory_path: Path) -> None:
    with opened(memory_path) as desk:
        desk.set_up()
        desk.close_batch()
        desk.append(*records(0, 200))
    flips("entry", "body", "idx = 100", 40)(memory_path)
    with pytest.raises(Halted, match="entry 100: its row was changed"), opened(memory_path):
        pytest.fail("an edited entry would have been signed")


def test_an_unfinished_tile_that_no_checkpoint_covers_is_compared_with_its_entries(memory_path: Path) -> None:
    with opened(memory_path) as desk:
        open_batch(desk)
    flip(memory_path, "tile", "data", "level = 0 AND n = 1", 8 * 32 * 3)
    with pytest.raises(Halted, match="entry 259: its entry tile and its leaf in the tree differ"), opened(memory_path):
        pytest.fail("another leaf than the entry's would have been signed")


def test_an_edit_at_the_edge_of_the_last_checkpoint_breaks_the_proof_from_there(memory_path: Path) -> None:
    """The tile is full by now and far from the right edge, but the proof of consistency goes through it."""
    with opened(memory_path) as desk:
        desk.set_up()
        desk.append(*records(0, 90))
        before = desk.close_batch()
        desk.append(*records(90, 200))
        flip(memory_path, "tile", "data", "level = 0 AND n = 1", 8 * 32 * 3)
        with pytest.raises(Halted, match=f"does not lead to the root of the {before.last_idx + 1} leaves"):
            desk.close_batch()
        assert desk.guard.read() == before.checkpoint


def test_an_acknowledged_entry_that_vanished_is_missed(memory_path: Path) -> None:
    with opened(memory_path) as desk:
        desk.set_up()
        desk.close_batch()
        desk.append(*records(0, 2))
    forget(memory_path)
    with pytest.raises(Halted, match="entry 14: tile 0 of level -1 has 480 bytes"), opened(memory_path):
        pytest.fail("an entry was lost, and nobody noticed")


def test_an_erased_body_does_not_stop_the_log(memory_path: Path) -> None:
    with opened(memory_path) as desk:
        desk.set_up()
        desk.append(*records(0, 2))
        change(memory_path, "UPDATE entry SET body = x'' WHERE idx = 10")
        desk.close_batch()
    with opened(memory_path):
        pass


def test_the_sample_is_the_same_each_time() -> None:
    assert entry_of(records(0, 1)[0]) == entry_of(records(0, 1)[0])
    assert digest("x") != digest("y")
