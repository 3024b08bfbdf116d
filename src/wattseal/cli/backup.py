"""`wattseal backup`: a copy of the database while the server runs."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import typer

from wattseal.cli.failure import Failure
from wattseal.cli.options import Config, Json

_PAGES: Final = 4_096
_MODE: Final = 0o600


def backup(
    file: Annotated[Path, typer.Argument(help="The copy to write; it must not exist.", show_default=False)],
    *,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Copy the database as it is at one moment, consistent and whole, also while the server runs.

    The copy holds secrets and load curves: keep it as safe as the original. Two things must **not** be in a backup: the
    guard, which must survive a restore so that an old copy cannot go on as if nothing had happened; and, unless
    encrypted and apart, the key files.

    Example: `wattseal backup /backups/wattseal-2026-01-31.db`
    """
    from wattseal.cli.table import progress
    from wattseal.config import load_settings
    from wattseal.log.database_url import DatabaseUrl
    from wattseal.serve import read_store

    settings = load_settings(config)
    if isinstance(settings.store_place, DatabaseUrl):
        raise Failure(
            f"The store is on a PostgreSQL server: {settings.store_place}",
            "Use the server's own backup, as docs/operate/postgres.md says: pg_dump --format=custom "
            f"--schema={settings.store_place.schema} --file={file} {settings.store_place.shown_conninfo!r}",
        )
    if file.exists():
        raise Failure(f"{file} exists.", "Choose another name: a backup never overwrites one.")
    if settings.guard_path.parent == file.absolute().parent:
        raise Failure(
            f"{file.parent} is the folder of the guard.",
            "Write backups elsewhere: who saves and restores that folder would bring an old guard back.",
        )
    with read_store(settings):  # says in words if there is no store, or one of another version
        pass
    temporary = file.with_name(file.name + ".part")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE))
    try:
        with progress("pages", shown=not as_json) as bar:
            _copy(settings.database_path, temporary, lambda left, total: bar(total - left, total))
        with temporary.open("rb") as copied:
            os.fsync(copied.fileno())
        temporary.rename(file)
    finally:
        temporary.unlink(missing_ok=True)
    if as_json:
        print(json.dumps({"written": str(file), "bytes": file.stat().st_size}, ensure_ascii=False))
        return
    print(f"""\
Wrote {file}, {file.stat().st_size:,} bytes.
Not in it, on purpose: the guard {settings.guard_path}
  Leave it where it is when you restore. If a restored copy is older than the guard, the server halts instead of
  signing a second history: docs/operate/recovery.md
Not in it either: the keys in {settings.folder}
  Keep them apart, encrypted.""")


def _copy(source: Path, target: Path, tell: Callable[[int, int], None]) -> None:
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as original,
        closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy, pages=_PAGES, progress=lambda _, left, total: tell(left, total))
        # One file: the copy must not need a -wal beside it.
        copy.execute("PRAGMA journal_mode=DELETE")
        (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise Failure(f"The copy is damaged: {said}", "Check the original: wattseal fsck")
