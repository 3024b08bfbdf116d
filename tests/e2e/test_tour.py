"""The README's tour, run as it is printed: whoever follows it sees what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADING = "## A tour of five minutes"


def blocks() -> list[str]:
    """The shell blocks of the tour, in order."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, tour = readme.partition(HEADING + "\n")
    tour = tour.partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```", tour, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each block of the tour prints; a block that fails, fails here."""
    folder = tmp_path_factory.mktemp("tour")
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
    for name in ("WATTSEAL_CONFIG", "WATTSEAL_SERVER", "WATTSEAL_TOKEN"):
        environment.pop(name, None)
    printed = []
    for block in blocks():
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=environment)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout)
    return printed


def test_there_are_five_sites(said: list[str]) -> None:
    assert "simulated" in said[0]
    names = {line.split("_")[0] for line in said[0].splitlines() if line.endswith(".wattseal.json")}
    assert names == {"factory", "datacentre", "microgrid", "ev-depot", "robot-fleet"}


def test_a_bundle_verifies_as_a_rehearsal(said: list[str]) -> None:
    assert "A rehearsal, and it adds up; 1 of the five answers cannot be told here" in said[1]
    words = [line.split()[:3] for line in said[1].splitlines() if re.match("  [^ ]", line)]
    assert words == [
        ["≈", "authentic", "yes"],
        ["≈", "included", "yes"],
        ["≈", "complete", "yes"],
        ["≈", "anchored", "yes"],
        ["?", "billed", "unknown"],
    ]


def test_one_changed_digit_is_named(said: list[str]) -> None:
    assert "Do not rely on this file" in said[2]
    assert re.search(r"✘ authentic +no", said[2])
    assert re.search(r"✘ included +no", said[2])
    assert "exit code 1" in said[2]


def test_the_exported_log_holds(said: list[str]) -> None:
    assert "Wrote public" in said[3]
    assert "Nothing differs." in said[3]


def test_the_proof_of_an_entry_holds(said: list[str]) -> None:
    assert said[4].splitlines()[-1].startswith("yes: entry 5000 of the log demo.invalid/wattseal")


def test_a_changed_row_is_named(said: list[str]) -> None:
    assert "The first entry that is affected: 5000." in said[5]
    assert "exit code 1" in said[5]
    assert len(said) == 6
