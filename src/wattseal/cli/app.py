"""All commands of the full package under one name, and what is said when one fails."""

from __future__ import annotations

import sys

import typer

from wattseal.cli import (
    anchor,
    backup,
    demo,
    device,
    export,
    flush,
    fsck,
    import_,
    init,
    migrate,
    quarantine,
    serve,
    simulate,
    tariff,
    token,
)
from wattseal.cli.failure import Failure
from wattseal.cli.terminal import clean, tolerate
from wattseal.core.refusal import Refusal

_HELP = """\
Turns an electricity meter's reading into a fact that a stranger can check.

Start with `wattseal demo`, or with `wattseal init` for a site of your own. Whoever only checks files needs
`wattseal verify` and `wattseal tlog verify`, which do not need the server's packages.
"""
_EXIT_FAILED, _EXIT_USAGE, _EXIT_INTERRUPTED = 1, 2, 130


def build() -> typer.Typer:
    """The command with all of its subcommands, in the order in which they are needed."""
    app = typer.Typer(
        name="wattseal",
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.command("demo", rich_help_panel="Begin")(demo.demo)
    app.command("init", rich_help_panel="Begin")(init.init)
    app.command("serve", rich_help_panel="Begin")(serve.serve)
    app.add_typer(device.app, name="device", rich_help_panel="Operate")
    app.add_typer(tariff.app, name="tariff", rich_help_panel="Operate")
    app.add_typer(quarantine.app, name="quarantine", rich_help_panel="Operate")
    app.add_typer(token.app, name="token", rich_help_panel="Operate")
    app.add_typer(import_.app, name="import", rich_help_panel="Operate")
    app.command("flush", rich_help_panel="Operate")(flush.flush)
    app.add_typer(anchor.app, name="anchor", rich_help_panel="Operate")
    app.command("simulate", rich_help_panel="Operate")(simulate.simulate)
    app.command("export", rich_help_panel="Prove")(export.export)
    app.command("verify", rich_help_panel="Prove", add_help_option=False)(_verify)
    app.command("tlog", rich_help_panel="Prove", add_help_option=False)(_tlog)
    app.command("fsck", rich_help_panel="Keep")(fsck.fsck)
    app.command("backup", rich_help_panel="Keep")(backup.backup)
    app.command("migrate", rich_help_panel="Keep")(migrate.migrate)
    return app


def _verify() -> None:
    """Check proof bundles: five answers, offline."""


def _tlog() -> None:
    """Check a transparency-log proof: `wattseal tlog verify`."""


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code: 0 done, 1 failed or refused, 2 wrong usage."""
    tolerate(sys.stdout)
    tolerate(sys.stderr)
    try:
        build()(arguments, prog_name="wattseal")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else _EXIT_FAILED
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except Failure as failure:
        return _say(str(failure), failure.next_step)
    except Refusal as refusal:
        return _say(str(refusal))
    except (OSError, LookupError) as error:
        return _say(str(error))
    except RuntimeError as error:
        # Those of our own name what happened and what to do; any other one is a fault, and its traceback helps.
        if not type(error).__module__.startswith("wattseal."):
            raise
        return _say(str(error), _next_step(error))
    return 0


def _say(message: str, next_step: str | None = None) -> int:
    print(f"wattseal: {clean(message)}", file=sys.stderr)
    if next_step:
        print(f"  {clean(next_step)}", file=sys.stderr)
    return _EXIT_FAILED


def _next_step(error: RuntimeError) -> str | None:
    if type(error).__name__ in {"GuardBusy", "StoreBusy"}:
        return (
            "If a server runs on this site, let it do this: add --server and its address, like http://127.0.0.1:8000, "
            "and put an operator's token into WATTSEAL_TOKEN. A command without --server needs the server stopped."
        )
    return None
