"""One server for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.live import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("api"), workers=1) as running:
        yield running
        assert running.as_nobody.get("/health").json()["status"] == "ok"
