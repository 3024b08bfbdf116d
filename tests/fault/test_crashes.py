"""Cut off at any step, the log goes on as if nothing had been: same entries, same tree, same signature.

A step is each call to the store's transactions, each commit, each look at the guard and each change of it. It fails
before it was done, or is done and reported as failed; then the log is opened again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from tests.fault.scenario import resume, run
from tests.log.faulty import AFTER, BEFORE, Plan
from tests.log.sample import SIGNER, all_checkpoints, checked, memory_folder, opened, records
from wattseal.core.checkpoint import Checkpoint, open_checkpoint
from wattseal.core.merkle import verify_consistency
from wattseal.log.guard import read_guard
from wattseal.log.port import StoreConflict
from wattseal.log.reader import LogReader
from wattseal.log.sequencer import Halted

MODES = (BEFORE, AFTER)
WRITES = {
    "commit",
    "guard.replace",
    "add_entries",
    "put_tiles",
    "add_batch",
    "set_checkpoint",
    "add_secret",
    "add_meter",
}


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def whole() -> tuple[tuple[str, ...], str]:
    """The names of all steps of an undisturbed run, and the checkpoint that it ends in."""
    plan = Plan()
    with memory_folder() as folder:
        run(folder, plan)
        last = read_guard(folder / "apart" / "guard")
    assert last is not None
    assert WRITES | {"read", "tile", "guard.read"} <= set(plan.names)
    assert len(set(plan.seen)) == 4
    return tuple(plan.names), last


def taken_up(folder: Path, seen: list[str], expected: str) -> None:
    """Open the log again, let it go on to its end, and look at all that was ever to be seen of it."""
    held = read_guard(folder / "apart" / "guard")
    seen = seen + ([] if held is None else [held])
    with opened(folder) as desk:
        first = desk.sequencer.checkpoint()
        if held is not None:
            assert first is not None
            assert size(first) >= size(held)
        resume(desk)
        assert desk.sequencer.checkpoint() == expected
        with desk.store.read() as read:
            log = LogReader(read)
            seen += all_checkpoints(read).values()
            newest = open_checkpoint(expected.encode(), SIGNER.verifier).checkpoint
            for note in set(seen):
                older = open_checkpoint(note.encode(), SIGNER.verifier).checkpoint
                verify_consistency(
                    older.size, older.root, newest.size, newest.root, log.consistency_path(older.size, newest.size)
                )
    report = checked(folder)
    assert report.ok, report.findings


@cache
def size(note: str) -> int:
    checkpoint: Checkpoint = open_checkpoint(note.encode(), SIGNER.verifier).checkpoint
    return checkpoint.size


@pytest.mark.parametrize("mode", MODES)
def test_every_step_that_fails_halts_and_is_made_good(
    tmp_path: Path, whole: tuple[tuple[str, ...], str], mode: str, *, long: bool
) -> None:
    names, expected = whole
    failed = set()
    for step, name in enumerate(names):
        is_repeated = name not in WRITES and names[step - 1 : step] == (name,)
        if (mode == AFTER and name not in WRITES) or (is_repeated and not long):
            continue  # to read and then to fail is to fail; and of many reads on end the first stands for all
        folder = tmp_path / str(step)
        folder.mkdir()
        plan = Plan(step, mode)
        with pytest.raises(Halted):
            run(folder, plan)
        # Nothing that it was asked for after the failure reached the disk.
        assert not {"commit", "guard.replace"} & set(plan.names[step + 1 :])
        taken_up(folder, plan.seen, expected)
        failed.add(step)
        shutil.rmtree(folder)
    assert failed >= {step for step, name in enumerate(names) if name in WRITES}


def test_every_second_crash_while_the_first_is_being_made_good(
    tmp_path: Path, whole: tuple[tuple[str, ...], str], *, long: bool
) -> None:
    names, expected = whole
    crashes = [step for step, name in enumerate(names) if name in {"commit", "guard.replace"}]
    for first in crashes if long else crashes[2:6:2]:
        for second in range(0, 40, 1 if long else 4):
            folder = tmp_path / f"{first} {second}"
            folder.mkdir()
            plans = Plan(first, AFTER), Plan(second, BEFORE)
            with pytest.raises(Halted):
                run(folder, plans[0])
            with suppress(Halted):  # where less was left to do than that
                run(folder, plans[1])
            taken_up(folder, plans[0].seen + plans[1].seen, expected)
            shutil.rmtree(folder)


def test_a_killed_process(tmp_path: Path, whole: tuple[tuple[str, ...], str], *, long: bool) -> None:
    """The real thing: SIGKILL in a process of its own, where no finally runs and no lock is let go by hand."""
    names, expected = whole
    writes = [step for step, name in enumerate(names) if name in WRITES]
    for step in writes if long else [names.index("commit"), *last_close(names)]:
        folder = tmp_path / str(step)
        folder.mkdir()
        command = [sys.executable, "-m", "tests.fault.scenario", str(folder), str(step), MODES[step % 2]]
        ended = subprocess.run(command, check=False, capture_output=True, cwd=Path(__file__).parents[2])
        assert ended.returncode == -9, ended.stderr.decode()
        taken_up(folder, [], expected)


def last_close(names: tuple[str, ...]) -> list[int]:
    """The durable steps of closing the last batch: its entry, the guard, the checkpoint."""
    steps = [step for step, name in enumerate(names) if name in {"commit", "guard.replace"}]
    return steps[-3:]


def test_an_entry_that_was_not_acknowledged_may_be_there_and_is_not_doubled(tmp_path: Path) -> None:
    plan = Plan()
    run(tmp_path, plan)
    with opened(tmp_path) as desk:
        drafts = records(200, 1)
        desk.append(*drafts)
        with pytest.raises(StoreConflict):
            desk.append(*drafts)  # the same ids: the store knows them, and nothing is written twice
        assert desk.sequencer.next_idx == 8 + 3 * 88 + 4 + 3
        desk.close_batch()
    assert checked(tmp_path).ok
