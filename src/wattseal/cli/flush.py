"""`wattseal flush`: close the batch now."""

from __future__ import annotations

import json

from wattseal.cli.client import client
from wattseal.cli.options import Config, Json, Server


def flush(*, server: Server = None, config: Config = None, as_json: Json = False) -> None:
    """Put everything that is stored under a signed checkpoint now, instead of at the batch's end.

    With nothing new it shows the last batch.

    Example: `wattseal flush --server http://127.0.0.1:8000`
    """
    with client(server, config) as api:
        batch = api.post("/api/v1/batches/flush")
    if as_json:
        print(json.dumps(batch, ensure_ascii=False))
        return
    entries = batch["last_index"] - batch["first_index"] + 1
    print(
        f"Batch {batch['id']}: {entries} entries, up to index {batch['last_index']}, closed {batch['closed_at']}\n"
        f"  root {batch['root']}\n"
        "Its checkpoint is signed. Next: wattseal anchor now, or wattseal export."
    )
