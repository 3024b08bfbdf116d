from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.log.damage import change, content
from tests.log.sample import SIGNER, checked, fill, memory_folder, opened, records
from wattseal.core.refusal import Refusal
from wattseal.log.guard import read_guard
from wattseal.log.repair import rebuild_tiles
from wattseal.log.sqlite import SqliteStore

SIZE = 378


@pytest.fixture(scope="module")
def filled() -> Iterator[Path]:
    """A log of 369 signed entries and nine that no checkpoint covers."""
    with memory_folder() as folder:
        with opened(folder) as desk:
            fill(desk)
            desk.append(*records(108, 3))
            assert desk.sequencer.next_idx == SIZE
        yield folder


@pytest.fixture
def copy(filled: Path) -> Iterator[Path]:
    with memory_folder() as folder:
        shutil.copytree(filled, folder, dirs_exist_ok=True)
        yield folder


def rebuild(folder: Path) -> int:
    store = SqliteStore.open(folder / "log.db")
    try:
        return rebuild_tiles(store, read_guard(folder / "apart" / "guard"), SIGNER.verifier)
    finally:
        store.close()


def test_a_healthy_log_is_left_as_it_is(copy: Path, filled: Path) -> None:
    assert rebuild(copy) == 0
    assert content(copy) == content(filled)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("UPDATE tile SET data = zeroblob(length(data)) WHERE level = -1 AND n = 0", 1),
        ("UPDATE tile SET data = zeroblob(length(data)) WHERE level = 0 AND n = 1", 1),
        ("UPDATE tile SET data = substr(data, 1, 32) WHERE level = 0", 2),
        ("DELETE FROM tile WHERE level = 1", 1),
        ("DELETE FROM tile WHERE level >= 0", 3),
        ("DELETE FROM tile WHERE level = -1", 2),
    ],
)
def test_damaged_tiles_are_made_again(copy: Path, filled: Path, query: str, count: int) -> None:
    change(copy, query)
    assert not checked(copy).ok
    assert rebuild(copy) == count
    assert content(copy) == content(filled)
    assert checked(copy).ok
    with opened(copy) as desk:
        desk.close_batch()


ROW = "UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), 'ok', 'no') AS BLOB) WHERE idx = "


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ([ROW + "100"], "do not lead to the root that was signed"),
        ([ROW + "375"], None),
        ([ROW + "375", "DELETE FROM tile WHERE level = 0 AND n = 1"], "entry 375 was changed"),
        (["DELETE FROM entry WHERE idx = 100"], "the row of entry 100 is missing"),
        (["DELETE FROM entry WHERE idx = 377"], "rows are missing from entry 377 on"),
        (["UPDATE secret SET secret = x'' WHERE secret_no = 2"], "secret 2 is not in the store"),
        (
            ["UPDATE entry SET body = x'' WHERE idx = 300", "DELETE FROM tile WHERE level = -1 AND n = 1"],
            "entry 300 is erased, and its tile is lost",
        ),
    ],
)
def test_nothing_is_written_where_rows_are_damaged(copy: Path, queries: list[str], message: str | None) -> None:
    for query in queries:
        change(copy, query)
    before = content(copy)
    with pytest.raises(Refusal, match=message or "entry 375 was changed, and no signature says what it was"):
        rebuild(copy)
    assert content(copy) == before


def test_the_guard_must_be_there_and_not_ahead(copy: Path) -> None:
    change(copy, "DELETE FROM entry WHERE idx > 300")
    change(copy, "UPDATE tile SET data = substr(data, 1, 32 * 45) WHERE n = 1")
    with pytest.raises(Refusal, match="the store has 301 entries, and 369 were signed"):
        rebuild(copy)
    (copy / "apart" / "guard").unlink()
    with pytest.raises(Refusal, match="without it nothing says which tree is the right one"):
        rebuild(copy)


def test_an_erased_body_keeps_its_entry(copy: Path) -> None:
    change(copy, "UPDATE entry SET body = x'' WHERE idx = 300")
    change(copy, "DELETE FROM tile WHERE level >= 0")
    assert rebuild(copy) == 3


def test_progress_is_told(copy: Path) -> None:
    told: list[tuple[int, int]] = []
    store = SqliteStore.open(copy / "log.db")
    rebuild_tiles(store, read_guard(copy / "apart" / "guard"), SIGNER.verifier, progress=lambda *at: told.append(at))
    store.close()
    assert told == [(256, SIZE), (SIZE, SIZE)]
