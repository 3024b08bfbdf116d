"""What every test may ask for: `long`, `fixtures_dir`, `postgres`, `@pytest.mark.anyio`; and hypothesis' settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parents[1]
CI = os.environ.get("CI") == "true"

# No deadline and no too_slow: how long an example takes depends on what else the machine does.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
# CI repeats the same examples, so that it fails for a change and not for a throw of the dice; everyone else explores.
settings.register_profile("short", UNHURRIED, max_examples=60, derandomize=CI)
settings.register_profile("long", UNHURRIED, max_examples=2_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="many more cases: minutes instead of seconds")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("long" if config.getoption("--long") else "short")


@pytest.hookimpl(tryfirst=True)  # before pytest's own hook selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "house"):
            item.add_marker("house")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the run was asked for many more cases (`pytest --long`)."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What `@pytest.mark.anyio` runs asynchronous tests on."""
    return "asyncio"


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """The folder of real data that is shared by several projects and never copied into this one."""
    folder = Path(os.environ.get("WATTSEAL_FIXTURES", ROOT.parent / "shared" / "fixtures"))
    if not folder.is_dir():
        reason = f"no fixtures at {folder}: set WATTSEAL_FIXTURES"
        if CI:
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole run; each test makes schemas of its own. Mark the test `realserver`."""
    from tests.postgres_server import PostgresServer, programs

    if programs() is None:
        reason = "no PostgreSQL server: install the package postgresql"
        if CI:
            pytest.fail(reason)
        pytest.skip(reason)
    server = PostgresServer.make()
    yield server
    server.remove()
