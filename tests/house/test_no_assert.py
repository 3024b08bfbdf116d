"""`python -O` deletes assert statements, so none of them may stand between bad input and the log."""

from __future__ import annotations

import ast

import pytest

from tests.house.repository import modules, name


def asserts(source: str) -> list[int]:
    """The lines on which an assert statement begins."""
    return [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]


def test_no_assert_in_the_source() -> None:
    found = [f"{name(path)}:{line}" for path in modules() for line in asserts(path.read_text(encoding="utf-8"))]
    assert not found, "raise Refusal or a RuntimeError instead of assert: " + ", ".join(found)


@pytest.mark.parametrize(("source", "lines"), [("assert x", [1]), ("def f():\n    assert x, 'y'", [2]), ("x = 1", [])])
def test_the_rule(source: str, lines: list[int]) -> None:
    assert asserts(source) == lines
