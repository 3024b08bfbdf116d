"""What tests/conftest.py offers does what it says: a missing folder of fixtures is a skip here and a failure in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.repository import ROOT

PROBE = """
def test_fixtures(fixtures_dir):
    assert (fixtures_dir / "SOURCES.md").is_file()

def test_long(long):
    assert long
"""


def outcome(folder: Path, fixtures: Path, *, ci: bool, options: tuple[str, ...] = ()) -> str:
    """The closing line of a pytest run of the probe."""
    (folder / "test_probe.py").write_text(PROBE, encoding="utf-8")
    environment = {**os.environ, "WATTSEAL_FIXTURES": str(fixtures), "CI": "true" if ci else ""}
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += ["-p", "tests.conftest", *options, str(folder / "test_probe.py")]
    run = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    return run.stdout.splitlines()[-1].rpartition(" in ")[0]


@pytest.mark.parametrize(
    ("ci", "options", "expected"),
    [
        (False, (), "1 failed, 1 skipped"),
        (True, ("--long",), "1 passed, 1 error"),
    ],
)
def test_without_fixtures(tmp_path: Path, expected: str, options: tuple[str, ...], *, ci: bool) -> None:
    assert outcome(tmp_path, tmp_path / "nothing", ci=ci, options=options) == expected


def test_with_fixtures(tmp_path: Path) -> None:
    fixtures = tmp_path / "fixtures"
    fixtures.mkdir()
    (fixtures / "SOURCES.md").write_text("Made for this test.\n", encoding="utf-8")
    assert outcome(tmp_path, fixtures, ci=True, options=("--long",)) == "2 passed"
