"""`wattseal init`: a new site with its keys, settings, database and guard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wattseal.cli.options import Json


def init(
    folder: Annotated[Path, typer.Argument(help="The data directory to make.")] = Path("wattseal-data"),
    *,
    origin: Annotated[
        str, typer.Option(help="The log's name for ever: a domain of yours and a path.", show_default=False)
    ],
    guard: Annotated[
        Path | None,
        typer.Option(
            help="Where the last signed checkpoint is kept, outside of the data directory and of every backup; "
            "by default under ~/.local/state/wattseal.",
            show_default=False,
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Keep the log in PostgreSQL: postgresql://user@host/database?schema=wattseal; by default in a file.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int | None, typer.Option(help="The port to serve on later.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Make a site: three keys (mode 0600), `wattseal.toml`, the database and the guard.

    It prints the first operator's token, once. Nothing that exists is overwritten.

    Example: `wattseal init /srv/wattseal --origin example.org/energy`
    """
    from wattseal.config import FILE_NAME, load_settings, new_settings
    from wattseal.serve import make_site, open_site

    given = {"data_dir": folder.absolute(), "origin": origin, "port": port, "database": database}
    # The guard's place is written down: it must be the same one whoever starts the server, from wherever.
    place = new_settings(**given).guard_path if guard is None else guard.absolute()
    settings = new_settings(**given, guard=place)
    token = make_site(settings)
    file = settings.folder / FILE_NAME
    # Opening it registers its own keys; the first batch makes the guard, which must never be missing later.
    with open_site(load_settings(file)) as opened:
        opened.run(opened.site.ingest.flush)
        vkey = opened.site.sequencer.verifier.vkey
    if as_json:
        said = {
            "settings": str(file),
            "guard": str(settings.guard_path),
            "origin": origin,
            "vkey": vkey,
            "token": token,
        }
        print(json.dumps(said, ensure_ascii=False))
        return
    print(f"""\
The site is in {settings.folder}
  settings  {file}
  guard     {settings.guard_path}   (the last signed checkpoint; never into a backup)
  vkey      {vkey}

The first operator's token, shown this once; whoever has it may do everything:
  {token}

Next: put the key files into a safe place, too, and start the server:
  wattseal serve --config {file}""")
