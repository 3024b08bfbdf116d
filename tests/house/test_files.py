"""One noun per file, and the file says which: no long files, no drawers, no re-exports."""

from __future__ import annotations

import ast
from pathlib import PurePosixPath

import pytest

from tests.house.repository import files, modules, name

LIMIT = 400
CODE = {".py", ".ts", ".tsx", ".js", ".sol"}
DRAWERS = {"util", "utils", "helper", "helpers", "manager", "managers", "misc", "common"}

# Path: why it holds one thing all the same. Nothing else may be longer than LIMIT lines.
LONG: dict[str, str] = {}


def drawer(path: str) -> str | None:
    """The part of a path that names a drawer instead of a noun: utils.py, http_helpers.py, StoreManager.ts."""
    for part in PurePosixPath(path).parts:
        stem = part.partition(".")[0]
        words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in stem).replace("-", "_")
        if DRAWERS & set(words.split("_")):
            return part
    return None


def too_long(lines: dict[str, int], allowed: dict[str, str]) -> list[str]:
    """Files over the limit without a reason, reasons without such a file, and empty reasons."""
    found = [f"{path} has {count} lines" for path, count in lines.items() if count > LIMIT and path not in allowed]
    found += [f"{path} is listed but not longer than {LIMIT}" for path in allowed if lines.get(path, 0) <= LIMIT]
    return found + [f"{path} is listed without a reason" for path, reason in allowed.items() if not reason.strip()]


def exports(source: str) -> list[int]:
    """Lines of an __init__.py that hold more than its docstring, the version and the __future__ import."""
    found = []
    for node in ast.parse(source).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        is_version = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
        if not (is_docstring or is_future or is_version):
            found.append(node.lineno)
    return found


def test_no_file_is_too_long() -> None:
    lines = {name(path): len(path.read_bytes().splitlines()) for path in files() if path.suffix in CODE}
    assert not (found := too_long(lines, LONG)), "\n".join(found)


def test_no_file_is_a_drawer() -> None:
    found = [name(path) for path in files() if drawer(name(path))]
    assert not found, f"name the noun that each of these holds: {found}"


def test_packages_export_nothing() -> None:
    inits = [path for path in modules() if path.name == "__init__.py"]
    assert len(inits) > 1
    found = [f"{name(path)}:{line}" for path in inits for line in exports(path.read_text(encoding="utf-8"))]
    assert not found, f"import from the module that defines it: {found}"


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("src/wattseal/core/utils.py", "utils.py"),
        ("src/wattseal/helpers/time.py", "helpers"),
        ("web/src/StoreManager.ts", "StoreManager.ts"),
        ("tests/http_helpers.py", "http_helpers.py"),
        ("src/wattseal/core/merkle.py", None),
        ("docs/operate/managed-keys.md", None),
    ],
)
def test_the_rule_about_drawers(path: str, part: str | None) -> None:
    assert drawer(path) == part


def test_the_rule_about_long_files() -> None:
    assert too_long({"a.py": 400, "b.py": 401}, {}) == ["b.py has 401 lines"]
    assert too_long({"b.py": 401}, {"b.py": "one table of status codes"}) == []
    assert too_long({"b.py": 400}, {"b.py": "one table"}) == ["b.py is listed but not longer than 400"]
    assert too_long({}, {"gone.py": "one table"}) == ["gone.py is listed but not longer than 400"]
    assert too_long({"b.py": 401}, {"b.py": " "}) == ["b.py is listed without a reason"]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('"""Doc."""', []),
        ('"""Doc."""\nfrom __future__ import annotations\n__version__ = "0.1.0"', []),
        ('"""Doc."""\nfrom wattseal.core.merkle import root', [2]),
        ("__all__ = ['root']", [1]),
    ],
)
def test_the_rule_about_packages(source: str, lines: list[int]) -> None:
    assert exports(source) == lines
