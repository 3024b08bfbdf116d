"""What an operator who holds the keys, the store and the guard can still not do unseen, as far as the log goes.

He is seen by whoever kept an earlier checkpoint (an auditor, a witness, the holder of a bundle) or reads the files that
he publishes. Nobody who kept nothing is helped by consistency: that is what witnesses are for.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.log.sample import (
    LOAD,
    SIGNER,
    SUN,
    Desk,
    all_checkpoints,
    checked,
    draft_of,
    entry_of,
    memory_folder,
    meter,
    opened,
    record,
    records,
)
from wattseal.core.checkpoint import Checkpoint, open_checkpoint
from wattseal.core.merkle import ProofMismatch, verify_consistency, verify_inclusion
from wattseal.core.refusal import Refusal
from wattseal.core.tiles import Tile, encode_bundle
from wattseal.log.fsck import check_export
from wattseal.log.guard import read_guard
from wattseal.log.reader import LogReader
from wattseal.log.sequencer import Draft, Halted
from wattseal.log.static import export_log

VKEY = SIGNER.verifier.vkey
VICTIM = 10
"""The place of the record, among those that are appended, that the operator would rather have otherwise."""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


class View(NamedTuple):
    """What the world has seen of a log: its checkpoints by size, and a way to ask it for proofs."""

    checkpoints: dict[int, Checkpoint]
    folder: Path

    def consistency_path(self, size1: int, size2: int) -> list[bytes]:
        with opened(self.folder) as desk, desk.store.read() as read:
            return LogReader(read).consistency_path(size1, size2)

    @property
    def newest(self) -> Checkpoint:
        return self.checkpoints[max(self.checkpoints)]


def history(folder: Path, drafts: list[Draft]) -> View:
    """A log with these entries after its registry, in batches of 20, signed with the operator's one key."""
    folder.mkdir()
    with opened(folder) as desk:
        desk.set_up()
        for first in range(0, len(drafts), 20):
            desk.append(*drafts[first : first + 20])
            desk.close_batch()
        with desk.store.read() as read:
            notes = all_checkpoints(read)
            export_log(read, folder / "out", with_bodies=True)
    opened_ = {size: open_checkpoint(note.encode(), SIGNER.verifier).checkpoint for size, note in notes.items()}
    return View(opened_, folder)


HONEST = records(0, 20)


def changed() -> list[Draft]:
    return [*HONEST[:VICTIM], record(SUN, 3, energy=1), *HONEST[VICTIM + 1 :]]


def left_out() -> list[Draft]:
    return HONEST[:VICTIM] + HONEST[VICTIM + 1 :]


def put_in() -> list[Draft]:
    return [*HONEST[:VICTIM], record(LOAD, 90), *HONEST[VICTIM:]]


def swapped() -> list[Draft]:
    return [*HONEST[:VICTIM], HONEST[VICTIM + 1], HONEST[VICTIM], *HONEST[VICTIM + 2 :]]


FORGERIES = [changed, left_out, put_in, swapped]


def is_continued(older: Checkpoint, log: View) -> bool:
    """What an auditor asks who kept a checkpoint: does this log's newest one continue it?"""
    newest = log.newest
    if older.size > newest.size:
        return False
    try:
        path = log.consistency_path(older.size, newest.size)
        verify_consistency(older.size, older.root, newest.size, newest.root, path)
    except ProofMismatch:
        return False
    return True


@pytest.mark.parametrize("forge", FORGERIES)
def test_another_history_is_seen_by_whoever_kept_a_checkpoint_that_covers_the_change(
    tmp_path: Path, forge: Callable[[], list[Draft]]
) -> None:
    honest = history(tmp_path / "honest", HONEST)
    forged = history(tmp_path / "forged", forge())
    # It is whole in itself: fsck, with the forger's guard, and the published files find nothing.
    assert checked(tmp_path / "forged").ok
    assert check_export(tmp_path / "forged" / "out", VKEY).ok
    assert len(honest.checkpoints) == 3
    for older in honest.checkpoints.values():
        assert is_continued(older, honest)
        assert not is_continued(older, forged)
    with pytest.raises(ProofMismatch):
        proof_of_victim(honest, forged)


def proof_of_victim(honest: View, forged: View) -> None:
    """The holder of the record asks the forged log for a proof of its place."""
    with opened(forged.folder) as desk, desk.store.read() as read:
        log = LogReader(read)
        index = 8 + VICTIM
        with opened(honest.folder) as other, other.store.read() as true:
            leaf = LogReader(true).leaf(index)
        verify_inclusion(leaf, index, log.size, log.inclusion_path(index, log.size), log.root(log.size))


def test_a_change_after_a_kept_checkpoint_is_not_seen_by_its_holder(tmp_path: Path) -> None:
    """So much, and no more, does one checkpoint hold down."""
    honest = history(tmp_path / "honest", HONEST)
    forged = history(tmp_path / "forged", [*HONEST[:25], record(SUN, 80), *HONEST[26:]])
    first, *later = [honest.checkpoints[size] for size in sorted(honest.checkpoints)]
    assert is_continued(first, forged)
    assert not any(is_continued(one, forged) for one in later)


def test_no_path_at_all_leads_from_a_kept_checkpoint_to_a_forged_one(tmp_path: Path) -> None:
    """The operator may send any hashes that he has: those of both logs, in each other's place."""
    honest = history(tmp_path / "honest", HONEST)
    forged = history(tmp_path / "forged", changed())
    older, newer = honest.checkpoints[min(honest.checkpoints)], forged.newest
    true, false = (log.consistency_path(older.size, newer.size) for log in (honest, forged))
    assert true != false
    for choice in range(2 ** len(true)):
        path = [pair[choice >> place & 1] for place, pair in enumerate(zip(true, false, strict=True))]
        with pytest.raises(ProofMismatch):
            verify_consistency(older.size, older.root, newer.size, newer.root, path)


def test_two_checkpoints_of_one_size(tmp_path: Path) -> None:
    """Both signed: whoever sees the two has the operator's own word against him."""
    honest = history(tmp_path / "honest", HONEST)
    forged = history(tmp_path / "forged", changed())
    one, other = honest.newest, forged.newest
    assert (one.size, one.origin) == (other.size, other.origin)
    with pytest.raises(ProofMismatch, match="two different roots for the same"):
        verify_consistency(one.size, one.root, other.size, other.root, [])


def test_a_log_that_shrinks(tmp_path: Path) -> None:
    honest = history(tmp_path / "honest", HONEST)
    shorter = history(tmp_path / "shorter", HONEST[:20])
    assert not is_continued(honest.newest, shorter)
    with pytest.raises(Refusal, match="there is no consistency proof"):
        verify_consistency(honest.newest.size, honest.newest.root, shorter.newest.size, shorter.newest.root, [])


def test_the_guard_stops_accidents_and_the_kept_checkpoint_stops_lies(tmp_path: Path) -> None:
    """With a backup restored, the guard has to be forged by hand; then the log runs, and its past gives it away."""
    honest = history(tmp_path / "log", HONEST[:20])
    folder = tmp_path / "log"
    shutil.copytree(folder, tmp_path / "backup")
    with opened(folder) as desk:
        desk.append(*HONEST[20:40])
        desk.close_batch()
        kept = open_checkpoint((desk.sequencer.checkpoint() or "").encode(), SIGNER.verifier).checkpoint
    shutil.copy(tmp_path / "backup" / "log.db", folder / "log.db")
    with pytest.raises(Halted, match="restored backup"), opened(folder):
        pytest.fail("it was opened")
    shutil.copy(tmp_path / "backup" / "apart" / "guard", folder / "apart" / "guard")
    with opened(folder) as desk:
        desk.append(*HONEST[40:60])
        desk.close_batch()
        assert desk.sequencer.halted is None
        with desk.store.read() as read:
            notes = all_checkpoints(read)
    forked = View(
        {size: open_checkpoint(note.encode(), SIGNER.verifier).checkpoint for size, note in notes.items()}, folder
    )
    assert is_continued(honest.newest, forked)
    assert not is_continued(kept, forked)
    assert checked(folder).ok  # nothing in the store itself tells


# --- Published files --------------------------------------------------------------------------------------------------


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return history(tmp_path / "honest", HONEST).folder / "out"


def test_an_entry_in_a_bundle_that_is_not_the_one_in_the_tree(out: Path) -> None:
    """Yeti 2022: all roots and proofs stay right, and the entries are other ones."""
    index, bundle = 8 + VICTIM, out / "tile" / "entries" / "000.p" / "71"
    data = bundle.read_bytes()
    place = index * 34 + 2
    bundle.write_bytes(data[:place] + entry_of(record(SUN, 3, energy=1)) + data[place + 32 :])
    report = check_export(out, VKEY)
    assert (report.ok, report.first_bad_index) == (False, index)


def test_files_of_two_histories_mixed(tmp_path: Path, out: Path) -> None:
    """Every file for itself is one that the operator signed over, or might have."""
    forged = history(tmp_path / "forged", changed()).folder / "out"
    names = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(forged) for path in forged.rglob("*") if path.is_file())
    assert check_export(forged, VKEY).ok
    different = [name for name in names if (out / name).read_bytes() != (forged / name).read_bytes()]
    assert {name.name for name in different} == {"checkpoint", "bodies.jsonl", "71"}
    for name in different:
        true = (out / name).read_bytes()
        (out / name).write_bytes((forged / name).read_bytes())
        report = check_export(out, VKEY)
        assert not report.ok, name
        (out / name).write_bytes(true)
    assert check_export(out, VKEY).ok


def test_an_entry_without_a_length_of_its_own(out: Path) -> None:
    """Bundles may hold entries of any length; this log's have 32 bytes, and another one is no leaf of it."""
    bundle = out / "tile" / "entries" / "000.p" / "71"
    entries = [b"\0" * 31] * 71
    bundle.write_bytes(encode_bundle(entries))
    report = check_export(out, VKEY)
    assert (report.ok, report.first_bad_index) == (False, 0)
    assert Tile.parse("tile/entries/000.p/71").width == 71


# --- Entries that lie -------------------------------------------------------------------------------------------------


def wrong_key(desk: Desk) -> None:
    """A key is put in force that the batch's registry root does not show to others."""
    commitment = desk.commitment()
    desk.append(draft_of("another", "meter-1", meter(LOAD, disclosed=False).body()))
    desk.sequencer.close_batch(5, commitment)


def hidden_production(desk: Desk) -> None:
    desk.append(record(SUN, 30, energy=5_000_000))
    desk.sequencer.close_batch(5, desk.commitment()._replace(disclosed=frozenset({LOAD})))


@pytest.mark.parametrize(
    ("lie", "text"),
    [(wrong_key, "says registry.root"), (hidden_production, "says production_kwh 0, and the log says 10")],
)
def test_a_batch_entry_that_lies_is_found_by_whoever_sees_the_bodies(
    tmp_path: Path, lie: Callable[[Desk], None], text: str
) -> None:
    with opened(tmp_path) as desk:
        desk.set_up()
        desk.append(*records(0, 5))
        lie(desk)
        with desk.store.read() as read:
            export_log(read, tmp_path / "out", with_bodies=True)
    report = checked(tmp_path)
    assert not report.ok
    assert any(text in finding for finding in report.findings)
    if lie is hidden_production:
        assert not check_export(tmp_path / "out", VKEY).ok


def test_the_guard_is_public(tmp_path: Path) -> None:
    """It holds nothing but the checkpoint that everybody may have."""
    log = history(tmp_path / "honest", HONEST)
    assert read_guard(log.folder / "apart" / "guard") == (log.folder / "out" / "checkpoint").read_text()
