"""A log of ours, exported as static files, read by tlog-scales: every entry, every proof, every checkpoint.

tests/interop/test_tlog_oracle.py does the same for the pure parts; here the files come from the sequencer, the store
and the export, batch after batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tiles import leaf_hash

from tests.log.sample import SIGNER, Desk, entry_of, memory_folder, opened, records, registry_drafts
from wattseal.log.static import export_log

COUNTS = [1, 20, 64, 1, 150, 3]
"""Grid slots of three records in each batch: sizes on both sides of full tiles."""


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


def batches(desk: Desk, out: Path) -> Iterator[list[bytes | None]]:
    """Close batch after batch and export; yield the entries so far, None for those that the log itself makes."""
    desk.set_up()
    entries: list[bytes | None] = [entry_of(draft) for draft in registry_drafts()]
    slot = 0
    for count in COUNTS:
        drafts = records(slot, count)
        slot += count
        desk.append(*drafts)
        desk.close_batch()
        entries += [*map(entry_of, drafts), None]
        with desk.store.read() as read:
            export_log(read, out)
        yield entries


def test_it_reads_what_we_export(folder: Path, *, long: bool) -> None:
    vkey = Vkey.from_string(SIGNER.verifier.vkey)
    seen: dict[int, bytes] = {}
    with opened(folder) as desk:
        for entries in batches(desk, folder / "out"):
            reader = TilesReader(LocalBackend(folder / "out"))
            checkpoint = reader.get_checkpoint()
            checkpoint.verify(vkey)
            assert (checkpoint.origin, checkpoint.size) == (SIGNER.verifier.name, len(entries))
            assert reader.calculate_root_hash() == checkpoint.root_hash
            for older, root in seen.items():
                reader.get_consistency_proof(older, checkpoint.size).check(root, checkpoint.root_hash)
            seen[checkpoint.size] = checkpoint.root_hash
            for index in range(0, checkpoint.size, 1 if long else 7):
                entry = reader.get_entry(index)
                assert len(entry) == 32
                assert entries[index] in {entry, None}
                proof = reader.get_inclusion_proof(index, checkpoint.size)
                proof.check(leaf_hash(entry), checkpoint.root_hash)
    assert list(seen) == [12, 73, 266, 270, 721, 731]


def test_a_reader_with_an_older_checkpoint_still_finds_its_way(folder: Path) -> None:
    """Partial tiles stay until the full one is there, and then that serves."""
    with opened(folder) as desk:
        readers = []
        for _ in batches(desk, folder / "out"):
            reader = TilesReader(LocalBackend(folder / "out"))
            readers.append((reader, reader.get_checkpoint()))
        for reader, checkpoint in readers:
            assert reader.calculate_root_hash() == checkpoint.root_hash
            reader.get_inclusion_proof(0, checkpoint.size).check(leaf_hash(reader.get_entry(0)), checkpoint.root_hash)
