"""The bare package is the verifier: it needs cryptography and nothing else (docs/adr/0002)."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

from tests.house.repository import SRC, pyproject

# cryptography loads _cffi_backend and names a part of itself _openssl.
ALLOWED = {"wattseal", "cryptography", "_cffi_backend", "cffi", "_openssl"}

PROGRAM = """
import importlib, json, sys
before = set(sys.modules)
for module in sys.argv[1:]:
    importlib.import_module(module)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def third_parties(*names: str) -> set[str]:
    """The packages that importing these modules, in a process of its own, loads besides the permitted ones."""
    command = [sys.executable, "-c", PROGRAM, *names]
    loaded = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return set(loaded) - ALLOWED - sys.stdlib_module_names


def test_it_depends_on_cryptography_alone() -> None:
    dependencies = pyproject()["project"]["dependencies"]
    assert [dependency.partition(">=")[0] for dependency in dependencies] == ["cryptography"]


def test_core_and_the_command_import_cryptography_alone() -> None:
    names = [module.name for module in pkgutil.walk_packages([str(SRC / "core")], "wattseal.core.")]
    assert "wattseal.core.refusal" in names
    if (SRC / "cli" / "main.py").exists():
        names.append("wattseal.cli.main")
    assert third_parties(*names) == set()


def test_the_rule_finds_another_package() -> None:
    assert third_parties("json", "cbor2") == {"cbor2"}
