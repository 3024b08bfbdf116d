"""Without file descriptors a batch waits for its signature; the log does not halt, and goes on when there are some."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.log.sample import START, Desk, checked, opened, records
from wattseal.log.guard import read_guard
from wattseal.log.sequencer import Starved


@contextmanager
def no_descriptors(left: int = 0) -> Iterator[None]:
    """All but `left` of what this process may open is open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            take(taken)
        for number in taken[:left]:
            os.close(number)
        taken = taken[left:]
        yield
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def take(taken: list[int]) -> None:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_batch_waits_for_a_descriptor(memory_path: Path, left: int) -> None:
    with opened(memory_path) as desk:
        desk.set_up()
        before = desk.close_batch()
        desk.append(*records(0, 2))
        registry = desk.commitment()
        with hold_readers(desk), no_descriptors(left):
            with pytest.raises(Starved, match="sign batch 1"):
                desk.sequencer.close_batch(START, registry)
            assert (desk.sequencer.is_starved, desk.sequencer.halted) == (True, None)
            with pytest.raises(Starved):
                desk.append(*records(2, 1))
            with pytest.raises(Starved):
                desk.sequencer.close_batch(START, registry)
        assert read_guard(memory_path / "apart" / "guard") == before.checkpoint
        # The next thing that is written signs it first.
        assert desk.append(*records(2, 1)) == before.last_idx + 8
        assert not desk.sequencer.is_starved
        assert desk.sequencer.checkpoint() == read_guard(memory_path / "apart" / "guard") != before.checkpoint
        assert desk.close_batch().number == 2
    assert checked(memory_path).ok


@contextmanager
def hold_readers(desk: Desk) -> Iterator[None]:
    """Another thread's read has the connection that the store keeps open, so that a new one is needed."""
    with desk.store.read():
        yield


def test_a_process_that_ends_meanwhile_signs_at_its_next_start(memory_path: Path) -> None:
    with opened(memory_path) as desk:
        desk.set_up()
        registry = desk.commitment()
        with no_descriptors(), pytest.raises(Starved):
            desk.sequencer.close_batch(START, registry)
    with opened(memory_path) as desk:
        assert desk.sequencer.checkpoint() is not None
    assert checked(memory_path).ok
