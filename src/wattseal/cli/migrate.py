"""`wattseal migrate`: a store of an older version brought to this one, or a log moved to PostgreSQL."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattseal.cli.failure import Failure
from wattseal.cli.options import Config, Json

if TYPE_CHECKING:
    from wattseal.log.database_url import DatabaseUrl


def migrate(
    *,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Move the log to a schema of PostgreSQL: postgresql://user@host/database?schema=wattseal. "
            "Better without a password: libpq takes PGPASSWORD, or a passfile.",
            show_default=False,
        ),
    ] = None,
    switch: Annotated[
        bool, typer.Option("--switch", help="After a move, write the new database into wattseal.toml.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Bring the store to this version of Wattseal; or with `--to`, move the log to PostgreSQL. Stop the server first.

    A move copies every row into an empty schema, in one transaction; then it reads all of them again, compares them and
    recomputes the log; and only then the old store is marked as moved, so that no server goes on from it. Guard and
    keys stay. A move that was cut off can be run again.

    Examples: `wattseal migrate`, `wattseal migrate --to postgresql://wattseal@localhost/energy --switch`
    """
    from wattseal.cli.table import progress
    from wattseal.config import database_line, load_settings, settings_file
    from wattseal.log.database_url import DatabaseUrl
    from wattseal.log.guard import read_guard
    from wattseal.log.key_file import read_key_file
    from wattseal.log.move import move_store
    from wattseal.serve import stores_to_move, upgrade_store

    settings = load_settings(config)
    if to is None:
        if switch:
            raise Failure("--switch says nothing without --to.", "wattseal migrate --to URL --switch")
        upgrade_store(settings)
        print(json.dumps({"store": str(settings.store_place)}) if as_json else f"Up to date: {settings.store_place}")
        return
    place = DatabaseUrl.parse(to)
    file = settings_file(config)
    if switch and file is None:
        raise Failure("There is no settings file to switch.", "Name it: --config FILE")
    verifier = read_key_file(settings.log_key_path).verifier
    with stores_to_move(settings, place) as (source, target), progress("rows", shown=not as_json) as bar:
        guard = read_guard(settings.guard_path)
        moved = move_store(source, target, str(place), guard, verifier, progress=bar)
    if switch and file is not None:
        _switch(file, place)
    if as_json:
        said = {
            "moved_to": str(place),
            "rows": moved.rows,
            "size": moved.size,
            "root": moved.root.hex(),
            "checkpoint": moved.checkpoint,
            "copied_now": moved.is_new,
            "switched": switch,
        }
        print(json.dumps(said, ensure_ascii=False))
        return
    print(f"""\
Moved {moved.rows:,} rows to {place}
  {moved.size:,} entries, root {moved.root.hex()}: read again there and recomputed; the last checkpoint is the same.
  The old store stays as it is and starts no server any more. Keep it until the new one has a backup.""")
    if switch:
        print(f"  {file} now says: {database_line(place, hidden=True)}")
    else:
        print(f"Next: write this line into {file or 'wattseal.toml'}, then start the server:")
        print(f"  {database_line(place, hidden=True)}")
    if "WATTSEAL_DATABASE" in os.environ:
        print("WATTSEAL_DATABASE is set in the environment, and it beats the file: change it, too.")


def _switch(file: Path, place: DatabaseUrl) -> None:
    from wattseal.config import with_database, write_settings

    write_settings(file, with_database(file.read_text(encoding="utf-8"), place))
