"""`wattseal serve`: the server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from wattseal.cli.options import Config

if TYPE_CHECKING:
    from wattseal.serve import Site


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="The address to listen on.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 takes a free one.", show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that check signatures.", show_default=False)] = None,
    config: Config = None,
) -> None:
    """Run the server until Ctrl-C or SIGTERM. It speaks plain HTTP: put TLS in front of it.

    It refuses to start, with exit code 1, where the log may not go on: then nothing is signed.

    Example: `wattseal serve --config /srv/wattseal/wattseal.toml --port 8080`
    """
    from wattseal.config import load_settings
    from wattseal.server import serve as run

    run(load_settings(config, host=host, port=port, workers=workers), _say)


def _say(site: Site, url: str) -> None:
    print(
        f"Wattseal serves the log {site.settings.origin} on {url}\n"
        f"  what it is doing   {url}/\n"
        f"  the API            {url}/docs\n"
        f"  is it well?        {url}/health\n"
        "Stop it with Ctrl-C.",
        file=sys.stderr,
        flush=True,
    )
