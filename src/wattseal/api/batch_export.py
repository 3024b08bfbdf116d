"""A batch in one document: checkpoint, entries, proofs and anchors."""

from __future__ import annotations

import io
import zipfile
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict

from wattseal.api.access_token import Caller
from wattseal.api.answer import logged
from wattseal.api.batch_view import BATCH_EXAMPLE, AnchorView, BatchView, anchor_view, batch_view
from wattseal.api.query import cursor_of
from wattseal.api.services import Services
from wattseal.core.merkle import HASH_BYTES
from wattseal.core.note import Note
from wattseal.core.tiles import WIDTH
from wattseal.log.port import ENTRY_TILES, BatchRow, EntryRow, Read
from wattseal.log.reader import LogReader
from wattseal.log.salts import NO_SECRET, SaltSource, SecretErased

FORMAT: Final = "wattseal-batch-1"
MAX_ENTRIES: Final = 10_000
_SHAPE = ConfigDict(extra="forbid", use_attribute_docstrings=True)

_README: Final = """\
batch.json        the batch: entries, inclusion proofs, anchors. `path` refers to `hashes`.
checkpoint        the signed note (C2SP tlog-checkpoint) that closes the batch.
checkpoint.body   its text without signatures. Anchors commit to SHA-256 of exactly this file.
anchors/          the evidence of each anchor (docs/spec/anchor.md).

An entry's leaf is SHA-256(0x00 || entry); its path leads to the root in the checkpoint (RFC 6962).
"""


class ExportedEntry(BaseModel):
    """An entry with its proof. What stands behind its hash is there for whoever may see it."""

    model_config = _SHAPE

    index: int
    entry: str
    path: list[int]
    """Places in `hashes`, from the leaf's sibling up."""
    log_id: str | None = None
    salts: list[str] | None = None
    slots: list[str] | None = None
    body: dict[str, Any] | None = None


class ExportedAnchor(AnchorView):
    """An anchor with its evidence."""

    evidence: dict[str, Any] | None
    """docs/spec/anchor.md §3; null before a block holds it."""


class BatchExport(BaseModel):
    """A batch to keep."""

    model_config = _SHAPE | ConfigDict(
        json_schema_extra={
            "example": {
                "format": FORMAT,
                "batch": BATCH_EXAMPLE,
                "checkpoint_body": "localhost/wattseal\n1261\nDzo…=\n",
                "entries": [{"index": 1260, "entry": "6a09…", "path": [0, 1]}],
                "hashes": ["bb67…", "3c6e…"],
                "anchors": [],
                "next_cursor": None,
            }
        }
    )

    format: str
    batch: BatchView
    checkpoint_body: str
    """What anchors commit to."""
    entries: list[ExportedEntry]
    hashes: list[str]
    anchors: list[ExportedAnchor]
    next_cursor: str | None


def export_document(
    services: Services, read: Read, caller: Caller, batch: BatchRow, first: int, limit: int
) -> dict[str, Any]:
    """The values of a BatchExport, from the entry at index `first` on."""
    reader, salts = LogReader(read), SaltSource(read.secrets())
    visible = services.visible_meters(caller)
    places: dict[bytes, int] = {}
    count = min(limit, batch.last_idx + 1 - first)
    entries = []
    tile_no, tile = -1, b""
    for row in read.entries(first, count):
        number, position = divmod(row.idx, WIDTH)
        if number != tile_no:
            tile_no, tile = number, read.tile(ENTRY_TILES, number) or b""
        path = reader.inclusion_path(row.idx, batch.last_idx + 1)
        exported = {
            "index": row.idx,
            "entry": tile[position * HASH_BYTES :][:HASH_BYTES].hex(),
            "path": [places.setdefault(value, len(places)) for value in path],
        }
        if visible is None or row.meter_no in visible or row.secret_no == NO_SECRET:
            exported |= _opened(row, salts)
        entries.append(exported)
    after = first + count
    return {
        "format": FORMAT,
        "batch": batch_view(services, read, batch),
        "checkpoint_body": Note.parse((batch.checkpoint or "").encode()).text.decode(),
        "entries": entries,
        "hashes": [value.hex() for value in places],
        "anchors": [
            anchor_view(row) | {"evidence": None if row.evidence is None else logged(row.evidence.encode())}
            for row in read.attestations(batch=batch.number)
        ],
        "next_cursor": cursor_of(after - 1) if after <= batch.last_idx else None,
    }


def _opened(row: EntryRow, salts: SaltSource) -> dict[str, Any]:
    """What the entry's hash is made of; nothing where it was erased."""
    try:
        known = salts.salts(row)
    except SecretErased:
        return {"log_id": row.entry_id.hex()}
    return {
        "log_id": row.entry_id.hex(),
        "salts": [known.entry.hex(), known.body.hex(), known.reading.hex()],
        "slots": [row.start_slot.hex(), row.end_slot.hex()],
        "body": logged(row.body),
    }


def export_zip(document: dict[str, Any]) -> bytes:
    """The same as files."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", _README)
        archive.writestr("batch.json", orjson.dumps(document))
        archive.writestr("checkpoint", document["batch"]["checkpoint"])
        archive.writestr("checkpoint.body", document["checkpoint_body"])
        for anchor in document["anchors"]:
            if anchor["evidence"] is not None:
                archive.writestr(f"anchors/{anchor['id']}.json", orjson.dumps(anchor["evidence"]))
    return data.getvalue()
