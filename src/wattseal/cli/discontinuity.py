"""`wattseal device swap`, `rollover` and `reset`: declare that a meter's register did not run on."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from wattseal.cli.client import client
from wattseal.cli.options import Config, Json, Server, parts
from wattseal.core.discontinuity import RESET, ROLLOVER, SWAP, WORDS
from wattseal.core.refusal import Refusal

MeterPath = Annotated[str, typer.Argument(metavar="SITE/DEVICE/METER", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why, and by what protocol; it is logged for good.", show_default=False)]
After = Annotated[str, typer.Option(metavar="KWH", help="Where the new register began.")]
ExportBefore = Annotated[
    str | None,
    typer.Option(metavar="KWH", help="The export register's end, where it has counted.", show_default=False),
]
ExportAfter = Annotated[
    str | None, typer.Option(metavar="KWH", help="Where the export register began.", show_default=False)
]


def swap(  # noqa: PLR0913 - a command's options
    path: MeterPath,
    *,
    before: Annotated[str, typer.Option(metavar="KWH", help="What the old meter showed last.", show_default=False)],
    after: After,
    reason: Reason,
    export_before: ExportBefore = None,
    export_after: ExportAfter = None,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Declare that the meter was swapped since its last admitted reading. What was set aside is judged again.

    Example: `wattseal device swap plant-1/esp32-01/main --before 1014.2 --after 0.5 --reason "protocol 2026-114"`
    """
    said = _said(SWAP, before, after, reason, export_before, export_after)
    _declare(path, said, server, config, as_json=as_json)


def rollover(
    path: MeterPath,
    *,
    before: Annotated[
        str, typer.Option(metavar="KWH", help="Where the register begins anew, like 1000000.", show_default=False)
    ],
    reason: Reason,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Declare that the import register ran over its last digit and went on from 0.

    Example: `wattseal device rollover plant-1/esp32-01/main --before 1000000 --reason "six digits"`
    """
    _declare(path, _said(ROLLOVER, before, "0", reason, None, None), server, config, as_json=as_json)


def reset(  # noqa: PLR0913 - a command's options
    path: MeterPath,
    *,
    before: Annotated[
        str | None,
        typer.Option(metavar="KWH", help="What it showed before; left out: nobody read it, a gap.", show_default=False),
    ] = None,
    after: After = "0",
    reason: Reason,
    export_before: ExportBefore = None,
    export_after: ExportAfter = None,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Declare that the register was set back. Energy that nobody read is not invented: the record says `gap`.

    Example: `wattseal device reset plant-1/esp32-01/main --reason "the meter lost its memory in a thunderstorm"`
    """
    said = _said(RESET, before, after, reason, export_before, export_after)
    _declare(path, said, server, config, as_json=as_json)


def _said(
    kind: str, before: str | None, after: str, reason: str, export_before: str | None, export_after: str | None
) -> dict[str, Any]:
    return {
        "kind": kind,
        "import_before_kwh": _kwh(before, "--before"),
        "import_after_kwh": _kwh(after, "--after"),
        "export_before_kwh": _kwh(export_before, "--export-before"),
        "export_after_kwh": _kwh(export_after, "--export-after"),
        "reason": reason,
    }


def _kwh(text: str | None, option: str) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        raise Refusal(option, f"{text!r} is no number of kWh") from None


def _declare(path: str, said: dict[str, Any], server: str | None, config: Config, *, as_json: bool) -> None:
    site, device, meter = parts(path, ("SITE", "DEVICE", "METER"))
    with client(server, config) as api:
        made = api.post(f"/api/v1/meters/{site}/{device}/{meter}/discontinuities", said)
    if as_json:
        print(json.dumps(made, ensure_ascii=False))
        return
    print(f"{WORDS[said['kind']].capitalize()} of {path} is entry {made['index']} of the log.")
