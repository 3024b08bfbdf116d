"""Which command runs what, and what is said when the server's packages are missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.conftest import Command
from wattseal import __version__
from wattseal.cli.main import main

COMMANDS = (
    *("anchor", "backup", "demo", "device", "export", "flush", "fsck", "import", "init", "serve", "simulate"),
    *("tariff", "tlog", "token", "verify"),
)
LATER = ("bill", "charge", "gateway", "meters", "ocmf", "pay", "witness")


def test_the_help_names_every_command(wattseal: Command) -> None:
    said = wattseal("--help")
    assert said.code == 0
    for name in COMMANDS:
        assert f" {name} " in said.out
    for name in LATER:
        assert f"│ {name} " not in said.out


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"verify", "tlog"}))
def test_each_command_explains_itself(wattseal: Command, name: str) -> None:
    said = wattseal(name, "--help")
    assert said.code == 0
    assert "Usage: wattseal" in said.out


@pytest.mark.parametrize("name", ["verify", "tlog"])
def test_the_verifier_explains_itself(wattseal: Command, name: str) -> None:
    with pytest.raises(SystemExit) as end:
        wattseal(name, "--help")
    assert end.value.code == 0


@pytest.mark.parametrize("name", LATER)
def test_what_does_not_exist_yet_is_not_offered(wattseal: Command, name: str) -> None:
    assert wattseal(name).code == 2


def test_the_version(wattseal: Command) -> None:
    assert wattseal("--version").out == f"wattseal {__version__}\n"


def test_without_the_servers_packages(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in sys.modules if name.startswith("wattseal.cli.app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)
    assert main([]) == 0
    assert "pip install 'wattseal[server]'" in capsys.readouterr().out
    assert main(["serve"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "typer is not installed" in err
    assert "pip install 'wattseal[server]'" in err


def test_the_verifier_loads_neither_typer_nor_the_server() -> None:
    program = (
        "import sys; from wattseal.cli.main import main\n"
        "try: main(['verify', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('typer', 'rich', 'httpx', 'pydantic')))\n"
        "print(sorted(name for name in sys.modules if name.startswith(('wattseal.log', 'wattseal.ingest'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-2:] == ["[]", "[]"]
