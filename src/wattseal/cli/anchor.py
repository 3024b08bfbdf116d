"""`wattseal anchor`: give the newest checkpoint to the chain, and see where anchors stand."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from wattseal.cli.client import Client, client
from wattseal.cli.failure import Failure
from wattseal.cli.options import Config, Json, Server

app = typer.Typer(no_args_is_help=True, help="Anchor the log's checkpoints in a chain of blocks.")

Batch = Annotated[int | None, typer.Option(help="This batch; by default the newest.", show_default=False)]


@app.command("now")
def now(*, batch: Batch = None, server: Server = None, config: Config = None, as_json: Json = False) -> None:
    """Give a batch's checkpoint to the chain. It covers all earlier batches, too; asking twice pays once.

    Example: `wattseal anchor now --server http://127.0.0.1:8000`
    """
    with client(server, config) as api:
        number = _newest(api) if batch is None else batch
        anchor = api.post(f"/api/v1/batches/{number}/anchor")
    _say(anchor, as_json)


@app.command("simulate")
def simulate(
    *,
    blocks: Annotated[int, typer.Option(help="How many blocks to find; 6 make it final.", min=1, max=100)] = 6,
    batch: Batch = None,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Anchor in the simulated chain and let it find blocks at once: real in form, and proof of nothing."""
    with client(server, config) as api:
        number = _newest(api) if batch is None else batch
        made = api.post(f"/api/v1/batches/{number}/anchor/simulate", blocks=str(blocks))
    _say(made["anchor"], as_json)


@app.command("status")
def status(*, config: Config = None, as_json: Json = False) -> None:
    """List the anchors. It only reads, and may run beside the server."""
    from wattseal.api.batch_view import anchor_view
    from wattseal.cli.table import show_table
    from wattseal.config import load_settings
    from wattseal.serve import read_store

    with read_store(load_settings(config)) as store, store.read() as read:
        anchors = [anchor_view(row) for row in read.attestations()]
    if as_json:
        print(json.dumps(anchors, ensure_ascii=False))
        return
    rows = [
        (
            anchor["batch"],
            anchor["chain"],
            anchor["state"].replace("_", " "),
            anchor["height"],
            anchor["reference"],
        )
        for anchor in anchors
    ]
    show_table(
        (">batch", "chain", "state", ">block", "transaction"), rows, "Nothing is anchored. Next: wattseal anchor now"
    )


def _newest(api: Client) -> int:
    batches = api.get("/api/v1/batches", limit="1")["items"]
    if not batches:
        raise Failure("There is no batch yet.", "Next: wattseal flush")
    return int(batches[0]["id"])


def _say(anchor: dict[str, Any], as_json: bool) -> None:  # noqa: FBT001 - the option of every command here
    if as_json:
        print(json.dumps(anchor, ensure_ascii=False))
        return
    where = "" if anchor["height"] is None else f", block {anchor['height']}"
    print(f"Batch {anchor['batch']}: {anchor['state'].replace('_', ' ')}{where}. {anchor['meaning']}")
