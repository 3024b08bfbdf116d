"""`wattseal import`: history out of files (docs/spec/emlog.md §7)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from wattseal.cli.options import Config, Json
from wattseal.core.refusal import Refusal
from wattseal.core.units import identifier, kwh_text, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

    from wattseal.config import Settings
    from wattseal.ingest.csv_entries import HistoryEntries
    from wattseal.ingest.csv_history import HistoryRecord
    from wattseal.ingest.csv_import import Summary
    from wattseal.ingest.csv_mapping import Mapping
    from wattseal.serve import OpenSite

app = typer.Typer(no_args_is_help=True, help="Import history from files: you vouch for it, and every proof says so.")

_SHOWN: Final = 20

File = Annotated[
    Path, typer.Argument(help="The file, gzipped or not.", exists=True, dir_okay=False, show_default=False)
]
SiteId = Annotated[str, typer.Option("--site", help="The site's id.", show_default=False)]
DeviceId = Annotated[str, typer.Option("--device", help="The device's id.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be imported, and write nothing.")]


@app.command("csv")
def import_csv(
    file: File,
    *,
    site: SiteId,
    device: DeviceId,
    mapping: Annotated[
        Path,
        typer.Option(
            "--map",
            help="Which column is what: docs/tutorial/import.md.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ],
    zone: Annotated[
        str | None, typer.Option(help="IANA zone of times that carry none; beats the mapping's.", show_default=False)
    ] = None,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Import a CSV file by a mapping. It runs while no server does; running it again changes nothing.

    Rows that are not there are told and never filled; rows that cannot be read are refused with their line numbers.

    Example: `wattseal import csv house.csv.gz --site home --device fusebox --map house.toml --zone Europe/Paris`
    """
    from wattseal.ingest.csv_mapping import parse_mapping

    try:
        parsed = parse_mapping(mapping.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise Refusal("--map", "is not UTF-8") from None
    _import(file, site, device, parsed if zone is None else parsed.in_zone(zone), dry_run, config, as_json)


@app.command("oed")
def import_oed(
    file: File,
    *,
    site: SiteId,
    device: DeviceId,
    meter: Annotated[str, typer.Option(help="The meter's id.", show_default=False)],
    zone: Annotated[str, typer.Option(help="IANA zone of the file's times.")] = "UTC",
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Import a meter's readings of Open Energy Dashboard: reading (kWh), start time, end time.

    Example: `wattseal import oed readings.csv --site campus --device oed --meter library --zone America/Chicago`
    """
    from wattseal.ingest.csv_mapping import open_energy_dashboard

    _import(file, site, device, open_energy_dashboard(meter).in_zone(zone), dry_run, config, as_json)


def _import(
    file: Path,
    site: str,
    device: str,
    mapping: Mapping,
    dry_run: bool,  # noqa: FBT001 - the command's option
    config: Path | None,
    as_json: bool,  # noqa: FBT001 - the command's option
) -> None:
    from wattseal.config import load_settings
    from wattseal.ingest.csv_entries import HistoryEntries, HistoryFile
    from wattseal.ingest.csv_rows import file_sha256
    from wattseal.serve import open_site

    settings: Settings = load_settings(config)
    history = HistoryFile(file_sha256(file), mapping, identifier(site, "--site"), identifier(device, "--device"))
    with open_site(settings) as opened:
        here = opened.site
        entries = HistoryEntries(here.sequencer, here.ingest.enrolment, here.operator, history)
        job = _Job(opened, entries, file, mapping, shown=not as_json)
        summary, missing = job.look()
        written = 0 if dry_run or not missing else job.write(summary)
    result = {"written": written, "found": sum(meter.records for meter in summary.meters) - missing}
    if as_json:
        print(json.dumps(result | _json(summary), ensure_ascii=False))
    else:
        _show(history.paths, summary, result, dry_run=dry_run)


class _Job:
    """The two readings of the file: one to see what it gives, one to write it."""

    def __init__(self, opened: OpenSite, entries: HistoryEntries, file: Path, mapping: Mapping, *, shown: bool) -> None:
        from wattseal.ingest.csv_import import row_interval
        from wattseal.ingest.csv_rows import CsvFile

        self._opened, self._entries, self._shown = opened, entries, shown
        self._file, self._mapping = CsvFile(file, mapping), mapping
        self._intervals = entries.intervals(row_interval(self._file, mapping))

    def look(self) -> tuple[Summary, int]:
        """What the file gives, and how many of its records the log lacks. Refusal where energy would count twice."""
        missing = 0
        with self._opened.site.store.read() as read:
            self._entries.look_up(read)

            def count(meter_id: str, records: list[HistoryRecord]) -> None:
                nonlocal missing
                missing += len(self._entries.missing(read, meter_id, records))

            return self._read("reading", count, None), missing

    def write(self, seen: Summary) -> int:
        """Write what is missing; returns how many records."""
        self._opened.commit(lambda tx, now: self._entries.begin(tx, now, seen, self._intervals))
        written = 0

        def add(meter_id: str, records: list[HistoryRecord]) -> None:
            nonlocal written
            written += self._opened.commit(lambda tx, now: self._entries.add(tx, now, meter_id, records))

        self._read("writing", add, seen.rows)
        return written

    def _read(self, what: str, take: Callable[[str, list[HistoryRecord]], None], total: int | None) -> Summary:
        from wattseal.cli.table import progress
        from wattseal.ingest.csv_import import HistoryReader

        reader = HistoryReader(self._file, self._mapping, self._intervals, self._entries.chains)
        with progress(f"{what} rows", shown=self._shown) as bar:
            return reader.read(take, lambda done: bar(done, total))


def _json(summary: Summary) -> dict[str, Any]:
    return {
        "rows": summary.rows,
        "refusals": summary.refusals,
        "refused": [row._asdict() for row in summary.refused],
        "decided": dict(summary.decided),
        "meters": [
            {
                "meter_id": meter.meter_id,
                "records": meter.records,
                "bridged": meter.bridged,
                "missing_values": meter.missing,
                "first": None if meter.first_s is None else rfc3339(meter.first_s),
                "last": None if meter.last_s is None else rfc3339(meter.last_s),
                "energy_kwh": kwh_text(meter.energy_mwh),
                "export_kwh": kwh_text(meter.export_mwh),
                "holes": [[rfc3339(start_s), rfc3339(end_s)] for start_s, end_s in meter.holes],
            }
            for meter in summary.meters
        ],
    }


def _show(paths: tuple[str, ...], summary: Summary, result: dict[str, int], *, dry_run: bool) -> None:
    from wattseal.cli.table import show_table

    rows = [
        (
            path,
            meter.records,
            "" if meter.first_s is None else rfc3339(meter.first_s),
            "" if meter.last_s is None else rfc3339(meter.last_s),
            kwh_text(meter.energy_mwh),
            kwh_text(meter.export_mwh),
            len(meter.holes),
            meter.bridged,
            meter.missing,
        )
        for path, meter in zip(paths, summary.meters, strict=True)
    ]
    heads = ("meter", ">records", "from", "to", ">kWh in", ">kWh out", ">holes", ">bridged", ">no value")
    show_table(heads, rows, "The mapping names no meter.")
    print(f"\n{summary.rows:,} rows, {summary.refusals:,} refused")
    for what, count in summary.decided:
        print(f"  {count:,} rows: {what}")
    for row in summary.refused[:_SHOWN]:
        print(f"  line {row.line}{'' if row.meter_id is None else f' ({row.meter_id})'}: {row.reason}")
    if summary.refusals > _SHOWN:
        print(f"  and {summary.refusals - _SHOWN:,} more; --json shows the first {len(summary.refused):,}")
    for path, meter in zip(paths, summary.meters, strict=True):
        for start_s, end_s in meter.holes[:_SHOWN]:
            print(f"  hole of {path}: {rfc3339(start_s)} to {rfc3339(end_s)}")
        if len(meter.holes) > _SHOWN:
            print(f"  and {len(meter.holes) - _SHOWN:,} more holes of {path}; --json shows them")
    print(_last_word(result, dry_run=dry_run))


def _last_word(result: dict[str, int], *, dry_run: bool) -> str:
    if dry_run:
        return f"Nothing was written; {result['found']:,} of these records are in the log already."
    if not result["written"]:
        return "Everything of this file is in the log already; nothing was written."
    return (
        f"{result['written']:,} records were written, under one statement that the operator signed.\n"
        "Next: wattseal flush, then wattseal export --bundle SITE/DEVICE/METER --from DATE --to DATE"
    )
