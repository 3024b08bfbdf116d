"""Energy is integer mWh and money integer msat: where they flow, nothing may make a float unseen."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.repository import modules, name

PACKAGES = ("core", "ingest", "log", "settle", "pay", "anchor")
EXCUSE = re.compile(r"# not energy or money: \S")
FLOAT_METHODS = {"timestamp", "total_seconds"}
FLOAT_CLOCKS = {"time", "monotonic", "perf_counter", "process_time"}


class _Floats(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found: list[tuple[ast.expr | ast.stmt, str]] = []

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, float | complex):
            self.found.append((node, "a float literal"))

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in {"float", "complex"}:
            self.found.append((node, f"the type {node.id}"))

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func)
        method = called.rpartition(".")[2]
        keywords = {keyword.arg for keyword in node.keywords}
        if called in {"isinstance", "issubclass"} and len(node.args) > 1:
            self.visit(node.args[0])  # the type may be float: that is how one is refused
            return
        if called in {"json.loads", "json.load"} and "parse_float" not in keywords:
            self.found.append((node, f"{called} without parse_float"))
        elif called.startswith("orjson.loads"):
            self.found.append((node, "orjson.loads"))
        elif "." in called and (method in FLOAT_METHODS or called in {f"time.{clock}" for clock in FLOAT_CLOCKS}):
            self.found.append((node, f"{called}(), which returns a float"))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Div) and not _joins_path(node):
            self.found.append((node, "true division (use //, or joinpath for a path)"))
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.op, ast.Div) and not _is_text(node.value):
            self.found.append((node, "true division (use //=)"))
        self.generic_visit(node)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _joins_path(node: ast.expr) -> bool:
    """Whether `/` has a text on one side, which no number would bear."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)):
        return False
    return _is_text(node.left) or _is_text(node.right) or _joins_path(node.left)


def float_uses(source: str) -> list[tuple[int, str]]:
    """Line and kind of each place that makes or names a float and carries no excuse on its first or last line."""
    visitor = _Floats()
    visitor.visit(ast.parse(source))
    lines = source.splitlines()
    return [
        (node.lineno, what)
        for node, what in visitor.found
        if not any(EXCUSE.search(lines[line - 1]) for line in (node.lineno, node.end_lineno or node.lineno))
    ]


def test_no_floats_where_energy_and_money_flow() -> None:
    found = [
        f"{name(path)}:{line}: {what}"
        for path in modules(*PACKAGES)
        for line, what in float_uses(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join([*found, "Use integers, or end the line with `# not energy or money: <reason>`."])


@pytest.mark.parametrize(
    "bad",
    [
        "price = 0.3",
        "x = 1e3",
        "kwh = float(text)",
        "def f(energy: float) -> int: ...",
        "def f() -> float | None: ...",
        "rows: list[float] = []",
        "each = total / count",
        "total /= count",
        "f(float, 1)",
        "isinstance(total / 2, int)",
        "seconds = (end - start).total_seconds()",
        "now = time.time()",
        "record = json.loads(body)",
        "record = orjson.loads(body)",
        "each = total / count  # not energy or money:",
        "share = a / b / 'x'.count('x')",
    ],
)
def test_the_rule_finds(bad: str) -> None:
    assert float_uses(bad)


@pytest.mark.parametrize(
    "good",
    [
        "each = total // count",
        "path = folder / 'tile' / level",
        "path = folder / f'{batch}.ots'",
        "path /= 'tile'",
        "if isinstance(value, float): raise Refusal('energy_kwh', 'is a float')",
        "record = json.loads(body, parse_float=Decimal)",
        "now = time.time_ns()",
        "await asyncio.sleep(0.5)  # not energy or money: how long to wait",
        "'''A float is 0.5, a / b.'''",
    ],
)
def test_the_rule_allows(good: str) -> None:
    assert float_uses(good) == []
