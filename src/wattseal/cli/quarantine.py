"""`wattseal quarantine`: what was set aside, why, and the operator's decisions about it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import typer

from wattseal.cli.client import client
from wattseal.cli.options import Config, Json, Server
from wattseal.cli.table import show_table
from wattseal.ingest.releasable import RELEASABLE

app = typer.Typer(no_args_is_help=True, help="See what was set aside, and release or reject it.")

LogId = Annotated[str, typer.Argument(help="As `quarantine list` shows it.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why; it is logged for good.", show_default=False)]

WORDS: Final = {
    "unknown-meter": "its key is known, but no meter of that name is registered for it",
    "wrong-serial": "it names the serial number of another device than the key's",
    "key-not-valid-then": "its key was not valid at the reading's time",
    "clock-impossible": "its time lies before 2020, or in the future",
    "clock-backwards": "its time is not after the reading's before it",
    "equivocation": "another reading was signed for the same place: the device signed two truths",
    "replay": "the chain stands after it, and nothing is missing there",
    "broken-chain": "it does not name the reading before it",
    "register-fell": "its register is below the last one: a swap, a rollover, a reset, or tampering",
    "rate-impossible": "more energy than the meter can count in that time",
    "profile-mismatch": "its profile does not add up to the difference of the registers",
    "overlap": "records cover a part of its time already",
    "signed-meter": "a device signs for this meter, and weaker evidence never takes its place",
}
"""What each reason of docs/spec/reading.md §4.1 means."""
_NEXT: Final = {
    "unknown-meter": "register the meter (`wattseal device meter`); what the device sends from then on counts",
    "register-fell": (
        "if the meter was swapped or began anew: `wattseal device swap`, `rollover` or `reset`; "
        "after a release, nothing ever covers the time of the fall"
    ),
    "overlap": "nothing, unless the records that cover its time are wrong",
    "equivocation": "ask whoever made the device; reject it, and keep it as evidence",
}


@app.command("list")
def list_(
    *,
    state: Annotated[str, typer.Option(help="open, released, rejected, or all.")] = "open",
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many, the oldest first.")] = 100,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List what was set aside.

    Example: `wattseal quarantine list`
    """
    query = {"limit": str(limit)} | ({} if state == "all" else {"state": state})
    with client(server, config) as api:
        found = api.get("/api/v1/quarantine", **query)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    rows = [
        (
            item["log_id"],
            item["state"],
            item["meter"] or item["body"]["meter_id"],
            item["body"]["received_at"],
            _why(item),
        )
        for item in found["items"]
    ]
    show_table(("log_id", "state", "meter", "received", "why"), rows, "Nothing is set aside.")
    if found["next_cursor"] is not None:
        print("There are more: see --limit.")


def _meter(item: dict[str, Any]) -> str:
    return str(item["meter"] or item["body"]["meter_id"] or "unknown")


def _why(item: dict[str, Any]) -> str:
    return f"{item['body']['reason']}: {item['body']['detail']}"


@app.command("show")
def show(log_id: LogId, *, server: Server = None, config: Config = None, as_json: Json = False) -> None:
    """Show one with its evidence, what its reason means, and what may be done.

    Example: `wattseal quarantine show 019a8f3e2c7b7d21b6f04a3c9e5d8f10`
    """
    with client(server, config) as api:
        item = api.get(f"/api/v1/quarantine/{log_id}")
    if as_json:
        print(json.dumps(item, ensure_ascii=False))
        return
    body, evidence, decision = item["body"], item["evidence"], item["decision"]
    reason = body["reason"]
    lines = [
        f"meter     {_meter(item)}",
        f"received  {body['received_at']}",
        f"reason    {reason}: {WORDS.get(reason, 'see docs/spec/reading.md')}",
        f"detail    {body['detail']}",
        f"place     epoch {body['epoch']}, seq {body['seq']}, key {body['kid']}",
        f"digest    {item['digest']}",
        f"state     {item['state']}",
    ]
    if evidence is not None:
        lines.append(f"evidence  {evidence['kind']}, base64: {evidence['data']}")
    if decision is not None:
        said = decision["body"]
        lines.append(f"settled   {said.get('decision') or said.get('kind')} by {said['operator']}: {said['reason']}")
    elif item["state"] == "open":
        lines.append(f"next      {_next(reason)}")
    print("\n".join(lines))


def _next(reason: str) -> str:
    why_not = RELEASABLE.get(reason)
    if reason in _NEXT or why_not is None:
        return _NEXT.get(reason, "find out what happened; then release or reject it")
    return f"it cannot be released: {why_not}"


@app.command("release")
def release(
    log_id: LogId,
    *,
    reason: Reason,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let it count, on the operator's word: records that it bounds are of kind `operator`, and say so for good.

    Example: `wattseal quarantine release 019a8f3e… --reason "The fitter confirmed the reading."`
    """
    _decide(log_id, "release", reason, server, config, as_json=as_json)


@app.command("reject")
def reject(
    log_id: LogId,
    *,
    reason: Reason,
    server: Server = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Leave it aside for good. Its bytes are kept as evidence.

    Example: `wattseal quarantine reject 019a8f3e… --reason "The display shows another value."`
    """
    _decide(log_id, "reject", reason, server, config, as_json=as_json)


def _decide(log_id: str, decision: str, reason: str, server: str | None, config: Config, *, as_json: bool) -> None:
    with client(server, config) as api:
        item = api.post(f"/api/v1/quarantine/{log_id}/decision", {"decision": decision, "reason": reason})
    if as_json:
        print(json.dumps(item, ensure_ascii=False))
        return
    print(f"{item['state']}: {_why(item)}\nThe decision is entry {item['decision']['index']} of the log.")
