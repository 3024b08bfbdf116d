"""Runs every benchmark of this folder, or those that are named: `python -m bench p256`.

A benchmark is a module with a function `run()` that yields lines. Figures of different machines do not compare; their
ratios to the first benchmark's do.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; 2 if one does not exist."""
    known = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or known:
        print(f"{name}:")
        for line in importlib.import_module(f"bench.{name}").run():
            print(f"  {line}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
