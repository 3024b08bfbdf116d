"""`wattseal export`: bundles, proofs, trust files, and the log as static files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattseal.cli.failure import Failure
from wattseal.cli.options import Config, Json, instant, parts
from wattseal.core.refusal import Refusal

if TYPE_CHECKING:
    from wattseal.config import Settings
    from wattseal.core.anchor_check import ChainTrust
    from wattseal.core.note_key import Verifier
    from wattseal.log.port import EntryRow, Read


def export(  # noqa: PLR0913 - a command's options
    *,
    bundle: Annotated[
        str | None,
        typer.Option(
            metavar="METER", help="A proof bundle of SITE/DEVICE/METER, with --from and --to.", show_default=False
        ),
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="First instant, or a date in the meter's zone.", show_default=False)
    ] = None,
    to: Annotated[str | None, typer.Option(help="The instant, or date, after the last.", show_default=False)] = None,
    since: Annotated[
        int | None, typer.Option(help="Prove that the log continues a checkpoint of this size.", show_default=False)
    ] = None,
    proof: Annotated[
        str | None,
        typer.Option(metavar="ENTRY", help="A tlog-proof of an entry: its index or log id.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the bundle or proof goes.", show_default=False)
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The log as static files: checkpoint and tiles.", show_default=False),
    ] = None,
    bodies: Annotated[bool, typer.Option("--bodies", help="With --log: also what is disclosed.")] = False,
    trust: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A trust file for those who verify.", show_default=False)
    ] = None,
    last_seen: Annotated[
        bool, typer.Option("--last-seen", help="With --trust: hold the log to its checkpoint of now.")
    ] = False,
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A C2SP tlog-policy with this log.", show_default=False)
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Write files for others to check. It only reads, and may run beside the server.

    - `wattseal export --bundle plant-1/esp32-01/main --from 2026-01-15 --to 2026-01-16 --out day.wattseal.json`
    - `wattseal export --trust trust.toml` (give it away by another road than the bundles)
    - `wattseal export --proof 42 --out 42.tlog-proof` (beside it: 42.entry)
    - `wattseal export --log public/ --bodies`
    """
    from wattseal.config import load_settings
    from wattseal.serve import read_store

    if not (bundle or proof or log or trust or policy):
        raise Failure("Nothing to export.", "Say --bundle, --proof, --log, --trust or --policy; see --help.")
    settings = load_settings(config)
    written: list[Path] = []
    with read_store(settings) as store, store.read() as read:
        if bundle is not None:
            data = _bundle(read, bundle, from_, to, since)
            written.append(_write(out or Path(bundle.replace("/", "_") + ".wattseal.json"), data))
        if proof is not None:
            written += _proof(read, proof, out)
        if trust is not None:
            written.append(_write(trust, trust_of(read, settings, last_seen=last_seen).encode()))
        if policy is not None:
            written.append(_write(policy, f"log {_log_key(settings).vkey}\nquorum none\n".encode()))
        if log is not None:
            written.append(_log(read, log, with_bodies=bodies, quiet=as_json))
    if as_json:
        print(json.dumps({"written": [str(path) for path in written]}, ensure_ascii=False))
        return
    for path in written:
        print(f"Wrote {path}")


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _bundle(read: Read, path: str, from_: str | None, to: str | None, since: int | None) -> bytes:
    from wattseal.ingest.registry import Registry
    from wattseal.log.bundle import build_bundle

    parts(path, ("SITE", "DEVICE", "METER"))
    if from_ is None or to is None:
        raise Refusal("--bundle", "needs --from and --to")
    meter = Registry.load(read).meters.get(path)
    zone = "UTC" if meter is None else meter.zone
    from_s, to_s = instant(from_, "--from", zone), instant(to, "--to", zone)
    if from_s >= to_s:
        raise Refusal("--to", "must lie after --from; it is the instant after the last")
    return build_bundle(read, path=path, from_s=from_s, to_s=to_s, since=since)


def _proof(read: Read, wanted: str, out: Path | None) -> list[Path]:
    from wattseal.log.bundle import tlog_proof
    from wattseal.log.salts import SaltSource

    row = _entry(read, wanted)
    path = out or Path(f"{row.idx}.tlog-proof")
    entry = SaltSource(read.secrets()).entry(row)
    return [_write(path, tlog_proof(read, row)), _write(path.with_suffix(".entry"), entry)]


def _entry(read: Read, wanted: str) -> EntryRow:
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 16:
        rows = read.entries(int(wanted), 1)
        row = rows[0] if rows else None
    else:
        try:
            row = read.entry_by_id(bytes.fromhex(wanted))
        except ValueError:
            row = None
    if row is None:
        raise Refusal("--proof", f"{wanted!r} is neither the index nor the log id of an entry")
    return row


def _log_key(settings: Settings) -> Verifier:
    from wattseal.log.key_file import read_key_file

    return read_key_file(settings.log_key_path).verifier


def trust_of(read: Read, settings: Settings, *, last_seen: bool = False) -> str:
    """The text of a trust file for this site's log; `last_seen`: with its newest checkpoint."""
    from wattseal.log.reader import LogReader
    from wattseal.log.trust_file import trust_text

    checkpoint = LogReader(read).checkpoint if last_seen else None
    return trust_text(_log_key(settings), _chains(read), last_seen=checkpoint, simulated=settings.demo)


def _chains(read: Read) -> list[ChainTrust]:
    """The simulated chain's blocks, if there are any: no stranger can know them otherwise."""
    from wattseal.core.anchor_check import ChainTrust
    from wattseal.core.bitcoin.header import HEADER_BYTES, parse_header

    blocks = {height: parse_header(block[:HEADER_BYTES]).hash() for height, block in enumerate(read.blocks())}
    return [ChainTrust("simulated", simulated=True, known_blocks=blocks)] if blocks else []


def _log(read: Read, folder: Path, *, with_bodies: bool, quiet: bool) -> Path:
    from wattseal.cli.table import progress
    from wattseal.log.static import export_log

    with progress("entries", shown=not quiet) as bar:
        export_log(read, folder, with_bodies=with_bodies, progress=bar)
    return folder
