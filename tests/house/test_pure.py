"""core and meters are pure: what they answer depends on their arguments alone.

Imports of clocks, files and sockets are refused by the contract "pure" in pyproject.toml; calls that need no import, or
that a permitted module offers, are refused here.
"""

from __future__ import annotations

import ast

import pytest

from tests.house.repository import SRC, imports, modules, name, pyproject

PURE = ("core", "meters")
BUILTINS = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}
CLOCKS = {"now", "utcnow", "today"}
MODULES = ("urllib.request", "urllib.error", "importlib", "uuid.uuid1", "uuid.uuid4", "io.open", "io.FileIO")


def impurities(source: str) -> list[tuple[int, str]]:
    """Line and name of each call or import whose answer depends on more than its arguments."""
    tree = ast.parse(source)
    found = [
        (line, module) for line, module in imports(tree) if f"{module}.".startswith(tuple(f"{m}." for m in MODULES))
    ]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        is_builtin = isinstance(node.func, ast.Name) and node.func.id in BUILTINS
        is_clock = isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS
        # datetime.fromtimestamp without a zone asks for that of the machine.
        is_local = (
            isinstance(node.func, ast.Attribute)
            and node.func.attr == "fromtimestamp"
            and len(node.args) + len(node.keywords) < 2
        )
        if is_builtin or is_clock or is_local or ast.unparse(node.func) in {"uuid.uuid1", "uuid.uuid4", "io.open"}:
            found.append((node.lineno, ast.unparse(node.func)))
    return found


def test_pure_packages_are_pure() -> None:
    found = [
        f"{name(path)}:{line}: {what}"
        for path in modules(*PURE)
        for line, what in impurities(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join([*found, "Make it an argument: `now`, the bytes, the random value."])


def test_the_contract_covers_every_pure_package() -> None:
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    covered = next(contract["source_modules"] for contract in contracts if contract["id"] == "pure")
    there = [f"wattseal.{package}" for package in PURE if (SRC / package).is_dir()]
    assert "wattseal.core" in there
    assert covered == there


@pytest.mark.parametrize(
    "bad",
    [
        "datetime.now(tz=UTC)",
        "datetime.datetime.utcnow()",
        "date.today()",
        "datetime.fromtimestamp(5)",
        "open('trust.toml')",
        "print(1)",
        "from urllib import request",
        "import urllib.request",
        "from uuid import uuid4",
        "uuid.uuid4()",
    ],
)
def test_the_rule_finds(bad: str) -> None:
    assert impurities(bad)


@pytest.mark.parametrize(
    "good", ["now + 1", "datetime.fromtimestamp(now, tz=UTC)", "from urllib.parse import urlsplit"]
)
def test_the_rule_allows(good: str) -> None:
    assert impurities(good) == []
