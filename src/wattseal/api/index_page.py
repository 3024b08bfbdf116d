"""The first page: what this is, how it is, and what came last. No script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from wattseal.api.access_token import NOBODY
from wattseal.api.health import HealthView, health
from wattseal.api.services import Here, Services
from wattseal.core.emlog import parse_body
from wattseal.core.units import kwh_text, rfc3339, sats_text
from wattseal.log.port import AttestationRow, BatchRow, EntryRow, Read, RecordFilter

router = APIRouter(include_in_schema=False)

_ROWS: Final = 10
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="10">
<title>Wattseal</title>
<link rel="icon" href="/assets/seal.svg">
<link rel="stylesheet" href="/assets/page.css">
</head>
<body>
<header><img src="/assets/seal.svg" alt=""><h1>Wattseal</h1>{demo}</header>
<main>
<section>
<p>This server turns electricity meters' signed readings into records in an append-only log, and anchors the log in a
chain of blocks. Whoever holds a proof bundle can check it offline with <code>wattseal verify</code>, without trusting
this server.</p>
{problems}
<dl>{figures}</dl>
</section>
<section><h2>Last records</h2>{records}</section>
<section><h2>Last batches</h2>{batches}</section>
<section><h2>Last anchors</h2>{anchors}</section>
</main>
<footer>
<a href="/docs">The API</a> · <a href="/api/v1/logs">records</a> · <a href="/api/v1/batches">batches</a> ·
<a href="/api/v1/meters">meters</a> · <a href="/log/checkpoint">checkpoint</a> · <a href="/health">health</a> ·
<a href="/metrics">metrics</a>
</footer>
</body>
</html>
"""


@router.get("/")
def get_index(here: Here) -> Response:
    """For people."""
    with here.store.read() as read:
        return HTMLResponse(_page(here, read))


def _page(here: Services, read: Read) -> str:
    view = health(here, read, here.now())
    visible = here.visible_meters(NOBODY)
    records = read.records(RecordFilter(meter_nos=visible, newest_first=True, limit=_ROWS))
    anchors = [] if here.attestor is None else here.attestor.rows()[-_ROWS:]
    batches = read.batches(limit=_ROWS, newest_first=True)
    return _PAGE.format(
        demo='<span class="simulated">demonstration: everything here is simulated</span>' if view.demo else "",
        problems="".join(f'<p class="wrong">{escape(problem)}</p>' for problem in view.problems),
        figures=_figures(here, view),
        records=_table(
            ("from", "to", "meter", "kWh", "sats", "status", "evidence", "record"),
            map(_record, records),
            "nothing public",
        ),
        batches=_table(("number", "entries", "closed", "root"), map(_batch, batches), "none yet"),
        anchors=_table(
            ("batch", "chain", "state", "block", "transaction"), map(_anchor, reversed(anchors)), "none yet"
        ),
    )


def _figures(here: Services, view: HealthView) -> str:
    registry = here.ingest.registry
    figures = (
        ("log", view.origin),
        ("entries", f"{view.entries:,}"),
        ("under the checkpoint", f"{view.in_checkpoint:,}"),
        ("batches", f"{view.batches:,}"),
        ("meters", f"{len(registry.meters):,}"),
        ("device keys", f"{len(registry.keys):,}"),
        ("status", view.status),
    )
    return "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in figures)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]], nothing: str) -> str:
    """A table of cells that are HTML already."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return f"<p>{nothing}</p>"
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{body}</table>"


def _record(row: EntryRow) -> Iterable[str]:
    record = parse_body(row.body)
    log_id = row.entry_id.hex()
    return (
        rfc3339(record.start_s),
        rfc3339(record.end_s),
        escape(f"{record.site_id}/{record.iot_device_id}/{record.meter_id}"),
        kwh_text(record.energy_mwh),
        "" if record.amount_msat is None else sats_text(record.amount_msat),
        escape(record.status),
        escape(record.evidence.kind),
        f'<a href="/api/v1/logs/{log_id}"><code>{log_id}</code></a>',
    )


def _batch(row: BatchRow) -> Iterable[str]:
    return (
        f'<a href="/api/v1/batches/{row.number}">{row.number}</a>',
        f"{row.last_idx + 1 - row.first_idx:,}",
        rfc3339(row.closed_s),
        f"<code>{row.root.hex()}</code>",
    )


def _anchor(row: AttestationRow) -> Iterable[str]:
    return (
        f'<a href="/api/v1/batches/{row.batch}">{row.batch}</a>',
        f'<span class="simulated">{escape(row.chain)}</span>' if row.simulated else escape(row.chain),
        escape(row.state.replace("_", " ")),
        "" if row.height is None else str(row.height),
        "" if row.reference is None else f"<code>{escape(row.reference)}</code>",
    )
