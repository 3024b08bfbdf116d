"""`wattseal tariff`: the prices that records quote."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from wattseal.cli.client import client
from wattseal.cli.options import Config, Json, Server, instant
from wattseal.core.refusal import Refusal
from wattseal.core.units import rfc3339

app = typer.Typer(no_args_is_help=True, help="Add and list tariff versions.")


@app.command("add")
def add(  # noqa: PLR0913 - a command's options
    tariff_id: Annotated[str, typer.Argument(help="The tariff's id.", show_default=False)],
    *,
    site: Annotated[str, typer.Option(help="The site it is for.", show_default=False)],
    price: Annotated[str, typer.Option(help="Sats per kWh, at most three decimals.", show_default=False)],
    version: Annotated[int, typer.Option(help="One more than the last; a version is never edited.")] = 1,
    from_: Annotated[
        str | None, typer.Option("--from", help="Valid from this time on; now.", show_default=False)
    ] = None,
    meter: Annotated[
        list[str] | None,
        typer.Option(metavar="DEVICE/METER", help="For this meter alone; may be repeated.", show_default=False),
    ] = None,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Add a flat tariff's version. Records from then on quote it; the past keeps its price.

    Example: `wattseal tariff add day --site plant-1 --price 100 --version 2 --from 2026-02-01T00:00:00Z`
    """
    try:
        sats = Decimal(price)
    except InvalidOperation:
        raise Refusal("--price", f"{price!r} is no number") from None
    document: dict[str, Any] = {
        "tariff_id": tariff_id,
        "version": version,
        "site_id": site,
        "price_sats_per_kwh": sats,
        "meters": list(meter or ()),
    }
    if from_ is not None:
        document["valid_from"] = rfc3339(instant(from_, "--from"))
    with client(server, config) as api:
        made = api.post("/api/v1/tariffs", document)
    if as_json:
        print(json.dumps(made, ensure_ascii=False))
        return
    print(f"Tariff {tariff_id}/{version} of {site}: {price} sats per kWh from {made['body']['valid_from']} on.")


@app.command("list")
def list_tariffs(
    *,
    site: Annotated[str | None, typer.Option(help="Of this site alone.", show_default=False)] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List tariff versions. It only reads, and may run beside the server."""
    from wattseal.cli.table import show_table
    from wattseal.config import load_settings
    from wattseal.ingest.registry import Registry
    from wattseal.serve import read_store

    with read_store(load_settings(config)) as store, store.read() as read:
        tariffs = Registry.load(read).tariffs.values()
    shown = [json.loads(tariff.body(), parse_float=str) for tariff in tariffs if site in {None, tariff.site_id}]
    if as_json:
        print(json.dumps(shown, ensure_ascii=False))
        return
    rows = [
        (
            f"{tariff['tariff_id']}/{tariff['version']}",
            tariff["site_id"],
            tariff["price_sats_per_kwh"],
            tariff["valid_from"],
            ", ".join(tariff["meters"]) or "all",
        )
        for tariff in shown
    ]
    show_table(
        ("tariff", "site", ">sats/kWh", "valid from", "meters"), rows, "There is no tariff. Next: wattseal tariff add"
    )
