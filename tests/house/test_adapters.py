"""Only serve.py names adapters: everyone else knows the port, so that another store or wallet is one line's change."""

from __future__ import annotations

import ast

import pytest

from tests.house.repository import SRC, imports, modules, name

ADAPTERS = (
    "wattseal.anchor.bitcoin",
    "wattseal.anchor.evm",
    "wattseal.anchor.opentimestamps",
    "wattseal.anchor.simulated",
    "wattseal.log.postgres",
    "wattseal.log.sqlite",
    "wattseal.pay.electrum",
    "wattseal.pay.lnbits",
    "wattseal.pay.lnd",
    "wattseal.pay.sandbox",
)


def _adapter(module: str) -> str | None:
    """The adapter that a full name belongs to; sqlite_schema belongs to sqlite."""
    return next((a for a in ADAPTERS if module == a or module.startswith((f"{a}.", f"{a}_"))), None)


def adapters_named(source: str, module: str) -> list[tuple[int, str]]:
    """Line and name of each adapter that `module` (its full name) imports without being serve or part of it."""
    if module == "wattseal.serve":
        return []
    found = [(line, _adapter(imported)) for line, imported in imports(ast.parse(source))]
    return [(line, adapter) for line, adapter in found if adapter and adapter != _adapter(module)]


def test_only_serve_names_adapters() -> None:
    found = []
    for path in modules():
        module = ".".join(["wattseal", *path.relative_to(SRC).with_suffix("").parts])
        found += [
            f"{name(path)}:{line}: {what}" for line, what in adapters_named(path.read_text(encoding="utf-8"), module)
        ]
    assert not found, "\n".join([*found, "Take the port as an argument; serve.py says which adapter it is."])


@pytest.mark.parametrize(
    ("source", "module", "count"),
    [
        ("import wattseal.log.sqlite", "wattseal.api.logs", 1),
        ("from wattseal.log import sqlite", "wattseal.cli.fsck", 1),
        ("from wattseal.log.sqlite import Store", "wattseal.ingest.gate", 1),
        ("def f():\n    from wattseal.log.postgres_copy import copy", "wattseal.log.sqlite", 1),
        ("from wattseal.log.sqlite_schema import TABLES", "wattseal.log.sqlite", 0),
        ("from wattseal.log.sqlite import Store", "wattseal.serve", 0),
        ("from wattseal.log.store import Store", "wattseal.api.logs", 0),
    ],
)
def test_the_rule(source: str, module: str, count: int) -> None:
    assert len(adapters_named(source, module)) == count
