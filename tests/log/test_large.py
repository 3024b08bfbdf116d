"""What only shows in a log of many tiles: borders of chunks and levels, and that memory does not grow with it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from tests.log.damage import assert_found, flip
from tests.log.sample import SIGNER, Desk, checked, draft_of, memory_folder, opened
from wattseal.core.merkle import verify_consistency, verify_inclusion
from wattseal.log.fsck import check_export
from wattseal.log.guard import read_guard
from wattseal.log.reader import LogReader
from wattseal.log.sequencer import Draft, Halted
from wattseal.log.static import export_log

BODY = b'{"schema_version":"x-1"}'


def drafts(first: int, count: int) -> list[Draft]:
    return [draft_of(f"large {number}", "x-1", BODY) for number in range(first, first + count)]


def fill_to(desk: Desk, size: int) -> None:
    """Append until the log has that many entries, in transactions of at most 5,000."""
    while (left := size - desk.sequencer.next_idx) > 0:
        desk.append(*drafts(desk.sequencer.next_idx, min(left, 5_000)))


@pytest.mark.parametrize("sizes", [[255, 257, 512, 4_095, 4_097, 4_500], [254, 256, 513, 4_094, 4_096, 4_098, 8_192]])
def test_batches_that_end_at_the_borders_of_tiles_and_chunks(
    memory_path: Path, sizes: list[int], *, long: bool
) -> None:
    if long:
        sizes = [*sizes, 65_535, 65_537] if sizes[0] == 255 else [*sizes, 65_536, 70_000]
    out = memory_path / "out"
    roots: dict[int, bytes] = {}
    with opened(memory_path) as desk:
        desk.set_up()
        for size in sizes:
            fill_to(desk, size - 1)
            row = desk.close_batch()
            roots[row.last_idx + 1] = row.root
            with desk.store.read() as read:
                export_log(read, out, with_bodies=True)
                log = LogReader(read)
                for index in (0, size // 2, size - 2, size - 1):
                    verify_inclusion(log.leaf(index), index, size, log.inclusion_path(index, size), row.root)
                for older, root in roots.items():
                    verify_consistency(older, root, size, row.root, log.consistency_path(older, size))
    assert list(roots) == sizes
    report = checked(memory_path)
    assert (report.ok, report.checked["entries"], report.checked["checkpoints"]) == (True, sizes[-1], len(sizes))
    report = check_export(out, SIGNER.verifier.vkey)
    assert (report.ok, report.checked["entries"]) == (True, sizes[-1])
    for index in (0, 255, 256, 4_095, 4_096, sizes[-1] - 2):
        if index not in {size - 1 for size in sizes}:
            flip(memory_path, "entry", "body", f"idx = {index}")
            assert_found(checked(memory_path), index, "its row was changed")
            flip(memory_path, "entry", "body", f"idx = {index}")
        at = index * 34 % (256 * 34) + 9
        bundle = next(path for path in out.glob(f"tile/entries/{index // 256:03d}*") if path.is_file() or path.is_dir())
        file = bundle if bundle.is_file() else max(bundle.iterdir(), key=lambda path: int(path.name))
        data = file.read_bytes()
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert_found(check_export(out, SIGNER.verifier.vkey), index, "its leaf in the tree is not that of the entry")
        file.write_bytes(data)


@pytest.mark.parametrize("index", [8, 4_095, 4_096, 5_500])
def test_a_long_tail_under_no_checkpoint_is_compared_whole(memory_path: Path, index: int) -> None:
    with opened(memory_path) as desk:
        desk.set_up()
        fill_to(desk, 6_000)
    with opened(memory_path):
        pass
    flip(memory_path, "entry", "body", f"idx = {index}")
    with pytest.raises(Halted, match=f"entry {index}: its row was changed"), opened(memory_path):
        pytest.fail("an edited entry would have been signed")


def test_every_hash_above_a_long_tail_is_compared(memory_path: Path) -> None:
    with opened(memory_path) as desk:
        desk.set_up()
        fill_to(desk, 6_000)
    flip(memory_path, "tile", "data", "level = 1 AND n = 0", 8 * 32 * 3)
    with pytest.raises(Halted, match="entry 768: a hash of level 1 is not the root"), opened(memory_path):
        pytest.fail("another tree than that of the entries would have been signed")


def test_memory_does_not_grow_with_the_log(*, long: bool) -> None:
    """Opening, closing a batch, fsck of the store and of the export: as much for four times the entries."""
    peaks = []
    for size in (10_000, 40_000) if long else (4_200, 12_600):
        with memory_folder() as folder:
            with opened(folder) as desk:
                desk.set_up()
                fill_to(desk, size // 2)
                desk.close_batch()
                fill_to(desk, size)
                desk.close_batch()
                with desk.store.read() as read:
                    export_log(read, folder / "out", with_bodies=True)
            assert read_guard(folder / "apart" / "guard")
            tracemalloc.start()
            with opened(folder):
                pass
            assert checked(folder).ok
            assert check_export(folder / "out", SIGNER.verifier.vkey).ok
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2 + 500_000, peaks
