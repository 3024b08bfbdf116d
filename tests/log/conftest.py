"""Logs that several of these tests look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.log.sample import Desk, fill, memory_folder, opened
from wattseal.log.static import export_log


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """Like tmp_path, in memory."""
    with memory_folder() as folder:
        yield folder


@pytest.fixture
def desk(memory_path: Path) -> Iterator[Desk]:
    """An empty log, open."""
    with opened(memory_path) as desk:
        yield desk


@pytest.fixture(scope="session")
def filled() -> Iterator[Path]:
    """A closed log of 369 entries of every kind, all under a checkpoint, and its export in `out`."""
    with memory_folder() as folder:
        with opened(folder) as desk:
            fill(desk)
            with desk.store.read() as read:
                export_log(read, folder / "out", with_bodies=True)
        yield folder


@pytest.fixture
def copy(filled: Path, memory_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(filled, memory_path, dirs_exist_ok=True)
    return memory_path
