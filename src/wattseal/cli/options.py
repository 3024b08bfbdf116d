"""Options that several commands share, so that they are spelled and explained alike."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from wattseal.core.refusal import Refusal
from wattseal.core.units import identifier, parse_rfc3339

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The site's wattseal.toml; else WATTSEAL_CONFIG, else the one in this folder.",
        show_default=False,
    ),
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar="WATTSEAL_SERVER",
        help="Let the running server at this address do it, with the token in WATTSEAL_TOKEN.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def instant(text: str, field: str, zone: str = "UTC") -> int:
    """Unix seconds of an RFC 3339 time, or of a date's first moment in a zone."""
    if not _DATE.fullmatch(text):
        try:
            return parse_rfc3339(text, field)
        except Refusal as refusal:
            raise Refusal(field, f"{refusal.reason}, or a date like 2026-01-31") from None
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    except ValueError as error:
        raise Refusal(field, f"is no date: {error}") from None
    return int(moment.timestamp())


def parts(path: str, names: tuple[str, ...]) -> list[str]:
    """The identifiers in site/device or site/device/meter."""
    found = path.split("/")
    if len(found) != len(names):
        raise Refusal("/".join(names), f"must be written like that; {path!r} has {len(found)} parts")
    return [identifier(part, name) for part, name in zip(found, names, strict=True)]
