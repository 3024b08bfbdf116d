"""How long `wattseal verify FILE` takes from the shell's point of view: a new process for a day of 5-minute records."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.core.world import World, to_file

ROUNDS = 15


def _seconds(command: Sequence[str]) -> list[float]:
    taken = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return taken[1:]  # the first one writes bytecode


def run() -> Iterator[str]:
    """Measure three processes: Python alone, the command's help, and a verification."""
    verify = [sys.executable, "-c", "import sys; from wattseal.cli.main import main; sys.exit(main())", "verify"]
    with tempfile.TemporaryDirectory() as folder:
        world = World(records=288)
        bundle, trust = Path(folder, "day.wattseal.json"), Path(folder, "trust.toml")
        bundle.write_bytes(to_file(world.bundle()))
        trust.write_text(world.trust_text(), encoding="utf-8")
        for name, command in (
            ("python alone", [sys.executable, "-c", "pass"]),
            ("wattseal verify --help", [*verify, "--help"]),
            ("wattseal verify, 288 records", [*verify, str(bundle), "--trust", str(trust)]),
        ):
            taken = _seconds(command)
            yield f"{name}: {min(taken) * 1000:.0f} ms at best, median {statistics.median(taken) * 1000:.0f} ms"
