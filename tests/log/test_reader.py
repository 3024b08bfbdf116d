from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest

from tests.log.sample import SIGNER, Desk, all_checkpoints, checked, fill, memory_folder, opened, records
from wattseal.core.checkpoint import open_checkpoint
from wattseal.core.merkle import leaf_hash, tree_root, verify_consistency, verify_inclusion
from wattseal.core.refusal import Refusal
from wattseal.core.tiles import ENTRIES, WIDTH, Tile, decode_bundle, tiles_of
from wattseal.log.reader import LogReader
from wattseal.log.tail import Damaged


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A log of 369 entries, of which the checkpoint covers all but the last nine."""
    with memory_folder() as folder, opened(folder) as desk:
        fill(desk)
        desk.append(*records(108, 3))
        yield desk


@pytest.fixture
def log(desk: Desk) -> Iterator[LogReader]:
    with desk.store.read() as read:
        yield LogReader(read)


def test_it_shows_what_the_checkpoint_covers(desk: Desk, log: LogReader) -> None:
    assert desk.sequencer.next_idx == 378
    assert log.size == 369
    assert log.checkpoint == desk.sequencer.checkpoint()
    assert log.batch is not None
    assert log.root(369) == log.batch.root
    with pytest.raises(Refusal, match="369 entries under its checkpoint, and no entry 369"):
        log.entry(369)
    with pytest.raises(Refusal, match="no entry -1"):
        log.entry(-1)


def test_every_entry_is_in_every_checkpoint_that_covers_it(desk: Desk, log: LogReader) -> None:
    leaves = [log.leaf(idx) for idx in range(log.size)]
    assert leaves[7] == leaf_hash(log.entry(7))
    with desk.store.read() as read:
        notes = [row.checkpoint or "" for row in read.batches()]
    assert len(notes) == 4
    for note in notes:
        checkpoint = open_checkpoint(note.encode(), SIGNER.verifier).checkpoint
        assert log.root(checkpoint.size) == checkpoint.root == tree_root(leaves[: checkpoint.size])
        for idx in range(checkpoint.size):
            path = log.inclusion_path(idx, checkpoint.size)
            verify_inclusion(leaves[idx], idx, checkpoint.size, path, checkpoint.root)


def test_any_two_sizes_are_consistent(log: LogReader) -> None:
    sizes = [1, 2, 3, 24, 255, 256, 257, 300, 368, 369]
    roots = {size: log.root(size) for size in sizes}
    for older in sizes:
        for newer in sizes[sizes.index(older) :]:
            verify_consistency(older, roots[older], newer, roots[newer], log.consistency_path(older, newer))


@pytest.mark.parametrize("size", [-1, 370, 378])
def test_nothing_is_proved_beyond_the_checkpoint(log: LogReader, size: int) -> None:
    for call in (lambda: log.root(size), lambda: log.inclusion_path(0, size), lambda: log.consistency_path(1, size)):
        with pytest.raises(Refusal, match="covers 369 entries"):
            call()


def test_files_have_the_paths_and_contents_of_tlog_tiles(log: LogReader) -> None:
    assert log.file("checkpoint") == (log.checkpoint or "").encode()
    leaves = [log.leaf(idx) for idx in range(log.size)]
    assert log.file("tile/0/000") == b"".join(leaves[:256])
    assert log.file("tile/1/000.p/1") == tree_root(leaves[:256])
    entries = [log.entry(idx) for idx in range(log.size)]
    assert decode_bundle(log.file("tile/entries/001.p/113") or b"", 113) == entries[256:]
    assert decode_bundle(log.file("tile/entries/000") or b"", 256) == entries[:256]
    for width in range(1, 114):
        assert log.file(f"tile/0/001.p/{width}") == b"".join(leaves[256 : 256 + width])
        assert decode_bundle(log.file(f"tile/entries/001.p/{width}") or b"", width) == entries[256 : 256 + width]
    # A client with an older checkpoint may still ask for a part of what is full now.
    assert log.file("tile/0/000.p/39") == b"".join(leaves[:39])


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/001",  # not full
        "tile/0/001.p/114",  # stored already, but under no checkpoint
        "tile/entries/001.p/114",
        "tile/0/002",
        "tile/0/002.p/1",
        "tile/1/000",
        "tile/1/000.p/2",
        "tile/2/000.p/1",
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/0/0",
        "tile/00/000",
        "tile/-1/000",
        "tile/64/000",
        "tile/0/x999/999/999",
        "tile/0/000/",
        "tile/0/../0/000",
        "Checkpoint",
        "",
        "tile",
    ],
)
def test_what_is_not_there(log: LogReader, path: str) -> None:
    assert log.file(path) is None


def test_every_tile_of_the_size_is_there(log: LogReader) -> None:
    for tile in tiles_of(log.size):
        assert len(log.tile_bytes(tile) or b"") == tile.width * 32
    assert log.tile_bytes(Tile(ENTRIES, 0, WIDTH)) is not None


def test_a_log_without_a_checkpoint(tmp_path: Path) -> None:
    with opened(tmp_path) as desk:
        desk.set_up()
        with desk.store.read() as read:
            log = LogReader(read)
            assert (log.size, log.checkpoint, log.batch) == (0, None, None)
            assert log.file("checkpoint") is None
            assert log.file("tile/0/000.p/8") is None
            with pytest.raises(Refusal):
                log.inclusion_path(0, 8)


def test_while_a_batch_is_being_closed_the_checkpoint_before_is_shown(tmp_path: Path) -> None:
    with opened(tmp_path) as desk:
        desk.set_up()
        first = desk.close_batch()
        desk.append(*records(0, 1))
        second = desk.close_batch()
        with desk.store.write() as tx:
            log = LogReader(tx)
            assert log.batch == second
        with desk.store.read() as read:
            unsigned = [first, second._replace(checkpoint=None)]

            class Between:
                def __getattr__(self, name: str) -> object:
                    return getattr(read, name)

                def batches(self, **_: object) -> object:
                    return unsigned[::-1]

            assert LogReader(Between()).batch == first  # type: ignore[arg-type]


def test_a_tile_that_is_missing_is_said(tmp_path: Path) -> None:
    with opened(tmp_path) as desk:
        desk.set_up()
        desk.close_batch()
        with desk.store.write() as tx:
            tx.put_tiles([(0, 0, bytes(64))])
        with desk.store.read() as read, pytest.raises(Damaged, match=r"the store lacks a part of tile/0/000\.p/9"):
            LogReader(read).inclusion_path(0, 9)


def test_every_two_checkpoints_are_consistent(memory_path: Path, *, long: bool) -> None:
    with opened(memory_path) as desk:
        desk.set_up()
        counts = [1, 1, 2, 3, 60, 5, 21, 40, 1, 85] + [7] * (60 if long else 0)
        for first, count in zip(accumulate(counts, initial=0), counts, strict=False):
            desk.append(*records(first, count))
            desk.close_batch()
        with desk.store.read() as read:
            log = LogReader(read)
            notes = all_checkpoints(read)
            opened_ = [open_checkpoint(note.encode(), SIGNER.verifier).checkpoint for note in notes.values()]
            assert [one.size for one in opened_] == list(notes)
            assert len(opened_) == len(counts)
            for older in opened_:
                for newer in opened_:
                    if older.size <= newer.size:
                        path = log.consistency_path(older.size, newer.size)
                        verify_consistency(older.size, older.root, newer.size, newer.root, path)
    assert checked(memory_path).ok
