"""The command `wattseal`.

The verifier's commands start at once and need the bare package alone; the others load the server's packages.
"""

from __future__ import annotations

import sys
from typing import Final

_BARE_HELP: Final = """\
usage: wattseal COMMAND [options]

This is the verifier alone (the bare package). It offers:
  verify FILE…        check proof bundles; five answers
  tlog verify PROOF   check a transparency-log proof

Every other command belongs to the server. Install it with:
  pip install 'wattseal[server]'
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    match arguments[:1]:
        case ["verify"]:
            from wattseal.cli.verify import run

            return run(arguments[1:])
        case ["tlog"]:
            from wattseal.cli.tlog import run

            return run(arguments[1:])
        case ["--version"]:
            from wattseal import __version__

            print(f"wattseal {__version__}")
            return 0
    return _server_command(arguments)


def _server_command(arguments: list[str]) -> int:
    try:
        from wattseal.cli.app import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("wattseal"):
            raise
        asks_for_help = not arguments or arguments[0] in {"--help", "-h", "help"}
        if not asks_for_help:
            print(f"wattseal {arguments[0]}: the package {error.name} is not installed.\n", file=sys.stderr)
        print(_BARE_HELP, end="", file=sys.stdout if asks_for_help else sys.stderr)
        return 0 if asks_for_help else 2
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
