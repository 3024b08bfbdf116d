"""A site of one's own, and the command run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wattseal.cli.main import main


@dataclass(frozen=True)
class Site:
    """What `wattseal init` made."""

    folder: Path
    config: str
    guard: Path
    vkey: str
    token: str


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever was printed
        return json.loads(self.out)


Command = Callable[..., Said]


@pytest.fixture
def wattseal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs the command: wattseal("flush", "--json")."""
    for name in ("WATTSEAL_CONFIG", "WATTSEAL_SERVER", "WATTSEAL_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run


@pytest.fixture
def site(wattseal: Command, tmp_path: Path) -> Site:
    """A new site, without meters."""
    made = wattseal("init", tmp_path / "site", "--origin", "example.org/energy", "--json")
    assert made.code == 0, made.err
    said = made.json
    return Site(tmp_path / "site", said["settings"], Path(said["guard"]), said["vkey"], said["token"])
