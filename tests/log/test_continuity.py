"""A store and a guard that do not belong together are never signed for (docs/spec/log.md §4)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.log.damage import change, content
from tests.log.sample import ORIGIN, SIGNER, START, Desk, checked, opened, records
from wattseal.core.checkpoint import Checkpoint
from wattseal.core.note import Note
from wattseal.core.note_key import CosignatureV1Signer, Ed25519Signer
from wattseal.log.guard import read_guard
from wattseal.log.sequencer import Halted, Sequencer


def guard_file(folder: Path) -> Path:
    return folder / "apart" / "guard"


def grow(folder: Path, first: int, *, is_closed: bool = True) -> str | None:
    """Open the log, add records, close a batch."""
    with opened(folder) as desk:
        desk.set_up()
        desk.append(*records(first, 10))
        if is_closed:
            desk.close_batch()
        return desk.sequencer.checkpoint()


def assert_refused(folder: Path, message: str) -> None:
    """The log does not open, neither the guard nor the store is touched, and fsck says no too."""
    before = read_guard(guard_file(folder)), content(folder)
    with pytest.raises(Halted, match=message), opened(folder):
        pytest.fail("it was opened")
    assert (read_guard(guard_file(folder)), content(folder)) == before


def note_of(size: int, root: bytes, signer: Ed25519Signer = SIGNER) -> str:
    text = Checkpoint(ORIGIN, size, root).body()
    return bytes(Note(text, (signer.sign(text),))).decode()


def test_a_restored_backup(memory_path: Path) -> None:
    grow(memory_path, 0)
    shutil.copy(memory_path / "log.db", memory_path / "backup.db")
    grow(memory_path, 10)
    shutil.copy(memory_path / "backup.db", memory_path / "log.db")
    assert_refused(memory_path, "entry 39: the guard's checkpoint has 70 entries and the store 39.*restored backup")
    report = checked(memory_path)
    assert (report.ok, report.first_bad_index) == (False, 39)


def test_a_restored_backup_of_entries_that_no_checkpoint_covered(memory_path: Path) -> None:
    grow(memory_path, 0)
    grow(memory_path, 10, is_closed=False)
    shutil.copy(memory_path / "log.db", memory_path / "backup.db")
    grow(memory_path, 20)
    shutil.copy(memory_path / "backup.db", memory_path / "log.db")
    assert_refused(memory_path, "restored backup")


def test_a_restored_backup_of_the_moment_before_the_checkpoint_was_stored(memory_path: Path) -> None:
    """All that was signed is in it, so the log goes on from there, with the guard's checkpoint."""
    newest = grow(memory_path, 0)
    change(memory_path, "UPDATE batch SET checkpoint = NULL")
    with opened(memory_path) as desk:
        assert desk.sequencer.checkpoint() == newest
    assert checked(memory_path).ok


def test_a_log_that_went_on_from_a_backup_with_a_guard_of_its_own(memory_path: Path) -> None:
    """Two histories under one key: neither store opens with the other's guard."""
    grow(memory_path, 0)
    shutil.copytree(memory_path, memory_path.with_name("fork"))
    fork = memory_path.with_name("fork")
    try:
        grow(memory_path, 10)
        grow(fork, 20)
        shutil.copy(guard_file(memory_path), memory_path / "kept")
        shutil.copy(guard_file(fork), guard_file(memory_path))
        assert_refused(memory_path, "does not lead to the root that was signed at 70 entries")
        report = checked(memory_path)
        assert not report.ok
        shutil.copy(memory_path / "kept", guard_file(memory_path))
        grow(memory_path, 30)
    finally:
        shutil.rmtree(fork)


def test_a_lost_guard(memory_path: Path) -> None:
    grow(memory_path, 0)
    guard_file(memory_path).unlink()
    assert_refused(memory_path, "the guard is missing, although checkpoints were signed")
    assert "the guard is missing" in checked(memory_path).findings[0]


def test_a_guard_that_is_older_than_the_store(memory_path: Path) -> None:
    older = grow(memory_path, 0)
    grow(memory_path, 10)
    guard_file(memory_path).write_text(older or "")
    assert_refused(memory_path, "the guard is older than the store: 39 entries against 70")


@pytest.mark.parametrize("content", [b"", b"\xff", b"hello\n", b"hello\n\n\xe2\x80\x94 x AAAAAAAA\n"])
def test_a_guard_that_is_no_checkpoint(memory_path: Path, content: bytes) -> None:
    grow(memory_path, 0)
    guard_file(memory_path).write_bytes(content)
    with pytest.raises(Halted), opened(memory_path):
        pytest.fail("it was opened")
    assert guard_file(memory_path).read_bytes() == content


def test_a_guard_of_another_key(memory_path: Path) -> None:
    grow(memory_path, 0)
    with opened(memory_path) as desk:
        row = desk.close_batch()
    other = Ed25519Signer(ORIGIN, bytes([9]) * 32)
    guard_file(memory_path).write_text(note_of(row.last_idx + 1, row.root, other))
    assert_refused(memory_path, "none is by a trusted key")


def test_a_guard_with_another_root(memory_path: Path) -> None:
    grow(memory_path, 0)
    guard_file(memory_path).write_text(note_of(39, bytes(32)))
    assert_refused(memory_path, "does not lead to the root that was signed at 39 entries")
    assert not checked(memory_path).ok


def test_a_guard_that_closes_no_batch(memory_path: Path) -> None:
    grow(memory_path, 0)
    grow(memory_path, 10, is_closed=False)
    with opened(memory_path) as desk:
        root = desk.sequencer._edge.root()
    guard_file(memory_path).write_text(note_of(69, root))
    assert_refused(memory_path, "closes no batch of the store")


def test_a_guard_and_no_checkpoint_at_all(memory_path: Path) -> None:
    """A new store under an old guard: somebody began anew under a name that has a history."""
    grow(memory_path, 0)
    (memory_path / "log.db").unlink()
    with pytest.raises(Halted, match="39 entries and the store 0"), opened(memory_path):
        pytest.fail("it was opened")


def test_a_recorded_root_that_is_not_the_guards(memory_path: Path) -> None:
    grow(memory_path, 0)
    change(memory_path, "UPDATE batch SET checkpoint = NULL, root = zeroblob(32)")
    assert_refused(memory_path, "closes no batch of the store")
    guard_file(memory_path).unlink()
    assert_refused(memory_path, "batch 0 was recorded with another root than its tiles have")


def test_two_batches_without_a_checkpoint(memory_path: Path) -> None:
    grow(memory_path, 0)
    grow(memory_path, 10)
    change(memory_path, "UPDATE batch SET checkpoint = NULL WHERE number = 0")
    assert_refused(memory_path, "batch 0 has no checkpoint, and a later one has")
    change(memory_path, "UPDATE batch SET checkpoint = NULL")
    assert_refused(memory_path, "batch 0 has no checkpoint")


def test_a_stored_checkpoint_of_another_key(memory_path: Path) -> None:
    grow(memory_path, 0)
    other = Ed25519Signer(ORIGIN, bytes([9]) * 32)
    change(memory_path, "UPDATE batch SET checkpoint = ?", note_of(39, bytes(32), other))
    assert_refused(memory_path, "none is by a trusted key")


def test_cosignatures_on_the_stored_checkpoint_do_not_matter(memory_path: Path) -> None:
    note = Note.parse((grow(memory_path, 0) or "").encode())
    witness = CosignatureV1Signer("witness.example", bytes([8]) * 32)
    cosigned = bytes(Note(note.text, (*note.signatures, witness.sign(note.text, START)))).decode()
    change(memory_path, "UPDATE batch SET checkpoint = ?", cosigned)
    grow(memory_path, 10)
    assert checked(memory_path).ok


Meddle = Callable[[Desk, Path], None]


def other_guard(desk: Desk, folder: Path) -> None:
    guard_file(folder).write_text(note_of(39, bytes(32)))


def no_guard(desk: Desk, folder: Path) -> None:
    guard_file(folder).unlink()


@pytest.mark.parametrize("meddle", [other_guard, no_guard])
def test_a_guard_that_changes_under_a_running_log(memory_path: Path, meddle: Meddle) -> None:
    grow(memory_path, 0)
    with opened(memory_path) as desk:
        desk.append(*records(10, 1))
        meddle(desk, memory_path)
        with pytest.raises(Halted, match="the guard does not hold the last checkpoint"):
            desk.close_batch()


def test_a_guard_that_changes_between_the_proof_and_the_signature(memory_path: Path) -> None:
    grow(memory_path, 0)
    with opened(memory_path) as desk:
        desk.append(*records(10, 1))
        signer = desk.sequencer._signer

        class Slow(Ed25519Signer):
            def sign(self, text: bytes) -> object:  # type: ignore[override]
                other_guard(desk, memory_path)
                return signer.sign(text)

        desk.sequencer._signer = Slow(ORIGIN, bytes([1]) * 32)
        with pytest.raises(Halted, match="does not hold the checkpoint that was compared with"):
            desk.close_batch()
    assert read_guard(guard_file(memory_path)) == note_of(39, bytes(32))


def test_a_signature_that_does_not_verify_is_not_given_out(memory_path: Path) -> None:
    held = grow(memory_path, 0)
    with opened(memory_path) as desk:
        desk.append(*records(10, 1))
        signer = desk.sequencer._signer

        class Broken(Ed25519Signer):
            def sign(self, text: bytes) -> object:  # type: ignore[override]
                return signer.sign(text + b"x\n")

        desk.sequencer._signer = Broken(ORIGIN, bytes([1]) * 32)
        with pytest.raises(Halted, match="does not fit the text"):
            desk.close_batch()
        assert desk.guard.read() == held


def test_a_second_sequencer_over_one_store_is_found_out_before_it_writes(memory_path: Path) -> None:
    with opened(memory_path) as desk:
        desk.set_up()
        desk.close_batch()
        again = Sequencer.open(desk.store, origin=ORIGIN, signer=SIGNER, guard=desk.guard, now=START)
        with again.write() as tx:
            again.append(tx, records(0, 1))
        with pytest.raises(Halted, match="the store holds 12 entries, and the tree has 9"):
            desk.append(*records(1, 1))
