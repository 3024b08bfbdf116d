"""`wattseal fsck`: recompute everything and compare."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattseal.cli.options import Config, Json
from wattseal.cli.terminal import clean

if TYPE_CHECKING:
    from wattseal.config import Settings
    from wattseal.core.note_key import Verifier
    from wattseal.log.report import Report


def fsck(
    *,
    export: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Check exported files instead of the store.", show_default=False),
    ] = None,
    rebuild_tiles: Annotated[
        bool,
        typer.Option("--rebuild-tiles", help="First write damaged tiles anew from the rows; needs the server stopped."),
    ] = False,
    rebuild_rollups: Annotated[
        bool,
        typer.Option("--rebuild-rollups", help="First make the energy rollups anew; needs the server stopped."),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out the signatures of readings, which take most of the time.")
    ] = False,
    vkey: Annotated[
        str | None,
        typer.Option(help="The log's public key; by default that of this site.", show_default=False),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Recompute every entry, leaf, tile, root, total, registry map and signature from what is stored, and compare.

    It looks at every stored reading and anchor, too, and at the indexes by which the store finds them.

    Exit code 0: nothing differs. 1: something does; the first index that is affected is named. Without
    `--rebuild-…` it only reads, and may run beside the server. What to do: docs/operate/recovery.md.

    Examples: `wattseal fsck`, `wattseal fsck --export public/ --vkey example.org/energy+1a2b3c4d+AQ…`
    """
    from wattseal.cli.table import progress
    from wattseal.core.note_key import Verifier
    from wattseal.log.fsck import check_export, check_store

    if export is not None:
        key = vkey or _own_key(config).vkey
        with progress("entries", shown=not as_json) as bar:
            report = check_export(export, key, progress=bar)
    else:
        from wattseal.config import load_settings
        from wattseal.log.guard import read_guard
        from wattseal.serve import read_store

        settings = load_settings(config)
        verifier = Verifier.from_vkey(vkey) if vkey else _own_key(config)
        if rebuild_tiles:
            _rebuild(settings, verifier, quiet=as_json)
        if rebuild_rollups:
            _rebuild_rollups(settings, quiet=as_json)
        with read_store(settings) as store, progress("entries and readings", shown=not as_json) as bar:
            guard, workers = read_guard(settings.guard_path), None if quick else os.cpu_count() or 1
            report = check_store(store, guard, verifier, progress=bar, signature_workers=workers)
    print(json.dumps(asdict(report), ensure_ascii=False) if as_json else _text(report))
    raise typer.Exit(0 if report.ok else 1)


def _rebuild(settings: Settings, verifier: Verifier, *, quiet: bool) -> None:
    from wattseal.cli.table import progress
    from wattseal.log.guard import read_guard
    from wattseal.log.repair import rebuild_tiles
    from wattseal.serve import write_store

    with write_store(settings) as store, progress("entries", shown=not quiet) as bar:
        count = rebuild_tiles(store, read_guard(settings.guard_path), verifier, progress=bar)
    if not quiet:
        print(f"Tiles written anew: {count}")


def _rebuild_rollups(settings: Settings, *, quiet: bool) -> None:
    from wattseal.cli.table import progress
    from wattseal.log.rollup_check import rebuild_rollups
    from wattseal.serve import write_store

    with write_store(settings) as store, progress("entries", shown=not quiet) as bar:
        count = rebuild_rollups(store, progress=bar)
    if not quiet:
        print(f"Rollups made anew from {count} entries")


def _own_key(config: Path | None) -> Verifier:
    from wattseal.config import load_settings
    from wattseal.log.key_file import read_key_file

    return read_key_file(load_settings(config).log_key_path).verifier


def _text(report: Report) -> str:
    checked = ", ".join(f"{count} {name}" for name, count in report.checked.items())
    lines = [f"Checked: {checked}"]
    lines += [f"Differs: {clean(finding)}" for finding in report.findings]
    lines += [f"Note: {clean(note)}" for note in report.notes]
    if report.ok:
        lines.append("Nothing differs.")
    else:
        where = (
            "" if report.first_bad_index is None else f" The first entry that is affected: {report.first_bad_index}."
        )
        lines.append(f"This log is damaged.{where} What to do: docs/operate/recovery.md")
    return "\n".join(lines)
