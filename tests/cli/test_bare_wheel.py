"""The wheel, installed bare into a fresh environment with cryptography alone, verifies a bundle."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from tests.core.world import World, to_file

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, expect: int = 0) -> str:
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, cwd="/")
    assert done.returncode == expect, done.stderr
    return done.stdout + done.stderr


def copy_package(name: str, site: Path) -> None:
    """Put an installed package into another environment, as its own record lists it: no network is needed."""
    for file in distribution(name).files or ():
        if ".." not in file.parts:
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), target)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of the fresh environment."""
    folder = tmp_path_factory.mktemp("bare")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", ROOT)
    (wheel,) = (folder / "dist").iterdir()
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    for name in ("cryptography", "cffi", "pycparser", "typing_extensions"):
        try:
            copy_package(name, site)
        except PackageNotFoundError:
            assert name != "cryptography"
    run(*pip, "--python", folder / "venv" / "bin" / "python", "install", "--quiet", "--no-deps", wheel)
    return folder / "venv" / "bin"


@pytest.mark.realserver  # no server, but half a minute
def test_the_bare_wheel_verifies(bare: Path, tmp_path: Path) -> None:
    world = World()
    bundle, trust = tmp_path / "day.wattseal.json", tmp_path / "trust.toml"
    bundle.write_bytes(to_file(world.bundle()))
    trust.write_text(world.trust_text(), encoding="utf-8")
    required = ("--require", "authentic,included,complete,anchored", "--allow-simulated")
    said = run(bare / "wattseal", "verify", bundle, "--trust", trust, *required)
    assert "A rehearsal, and it adds up" in said
    bundle.write_bytes(bundle.read_bytes().replace(b'energy_kwh\\":0.1', b'energy_kwh\\":0.2', 1))
    assert "Do not rely on this file" in run(bare / "wattseal", "verify", bundle, "--trust", trust, expect=1)


@pytest.mark.realserver
def test_the_bare_wheel_says_what_it_lacks(bare: Path) -> None:
    assert "wattseal[server]" in run(bare / "wattseal", "--help")
    assert "wattseal[server]" in run(bare / "wattseal", "serve", expect=2)
    assert "wattseal " in run(bare / "wattseal", "--version")
