"""`wattseal token`: who may use the API."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from wattseal.cli.client import client
from wattseal.cli.options import Config, Json, Server, instant
from wattseal.core.units import rfc3339

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke access tokens.")


@app.command("create")
def create(
    label: Annotated[str, typer.Argument(help="Whose it is, for the list.", show_default=False)],
    *,
    scope: Annotated[
        list[str],
        typer.Option(help="operator, tenant, auditor, enrol or report; may be repeated.", show_default=False),
    ],
    subject: Annotated[
        list[str] | None,
        typer.Option(help="SITE[/DEVICE[/METER]] it is limited to; may be repeated.", show_default=False),
    ] = None,
    expires: Annotated[str | None, typer.Option(help="When it ends.", show_default=False)] = None,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a token. It is shown this once; only its hash is kept.

    Scopes: `operator` everything, `auditor` reads everything, `tenant` reads its meters, `enrol` registers devices,
    `report` sends intervals.

    Example: `wattseal token create "flat 3" --scope tenant --subject house-7/gateway/flat-3`
    """
    document: dict[str, Any] = {"label": label, "scopes": list(scope), "subject": list(subject or ())}
    document["expires"] = None if expires is None else rfc3339(instant(expires, "--expires"))
    with client(server, config) as api:
        made = api.post("/api/v1/tokens", document)
    if as_json:
        print(json.dumps(made, ensure_ascii=False))
        return
    print(f"{made['token']}\nShown this once. To revoke it: wattseal token revoke {made['id']}")


@app.command("list")
def list_tokens(*, server: Server = None, config: Config = None, as_json: Json = False) -> None:
    """List tokens, without what proves them."""
    from wattseal.cli.table import show_table

    with client(server, config) as api:
        tokens = api.get("/api/v1/tokens")["items"]
    if as_json:
        print(json.dumps(tokens, ensure_ascii=False))
        return
    rows = [
        (
            token["id"],
            token["label"],
            ", ".join(token["scopes"]),
            ", ".join(token["subject"]),
            token["created_at"],
            token["revoked_at"] or token["expires"],
        )
        for token in tokens
    ]
    show_table(("id", "label", "scopes", "limited to", "made", "ends"), rows, "There is no token.")


@app.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(help="As `token list` shows it.", show_default=False)],
    *,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let a token count no more, from now on."""
    with client(server, config) as api:
        gone = api.delete(f"/api/v1/tokens/{token_id}")
    print(json.dumps(gone, ensure_ascii=False) if as_json else f"{gone['label']!r} was revoked {gone['revoked_at']}.")
