"""Each test of this folder runs once for each store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.stores import KINDS, URL_FILE, open_store
from wattseal.log.port import Store

SERVERS = {"postgres"}
"""Those kinds that need a real server."""


@pytest.fixture(
    params=[pytest.param(kind, marks=[pytest.mark.realserver] * (kind in SERVERS)) for kind in sorted(KINDS)]
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Where an empty store is kept."""
    if kind == "postgres":
        (tmp_path / URL_FILE).write_text(request.getfixturevalue("postgres").new_url())
    open_store(kind, tmp_path, create=True).close()
    return tmp_path


@pytest.fixture
def store(kind: str, folder: Path) -> Iterator[Store]:
    opened = open_store(kind, folder)
    yield opened
    opened.close()
