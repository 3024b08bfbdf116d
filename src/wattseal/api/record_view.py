"""An entry as the API shows it: the logged document byte by byte, and beside it what happened to it since."""

from __future__ import annotations

from typing import Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict

from wattseal.api.answer import logged
from wattseal.api.services import Services
from wattseal.core.emlog import SCHEMA
from wattseal.core.units import rfc3339
from wattseal.log.port import BatchRow, EntryRow, Read

_SHAPE = ConfigDict(extra="forbid", use_attribute_docstrings=True)

RECORD_EXAMPLE: Final[dict[str, Any]] = {
    "schema_version": "emlog-1.1",
    "site_id": "plant-1",
    "iot_device_id": "esp32-01",
    "meter_id": "main",
    "ts_start": "2026-01-31T12:00:00Z",
    "ts_end": "2026-01-31T12:05:00Z",
    "interval_s": 300,
    "energy_kwh": 12.34,
    "export_kwh": 0,
    "power_kw_avg": 148.08,
    "status": "ok",
    "tags": [],
    "tx": {
        "unit": "sats",
        "price_sats_per_kwh": 100,
        "price_msat_per_kwh": 100000,
        "amount_sats": 1234,
        "amount_msat": 1234000,
        "tariff_version": "day/1",
        "channel": "ln",
        "settlement_status": "pending",
        "ln_invoice_id": None,
        "bitcoin_txid": None,
    },
    "evidence": {
        "kind": "device",
        "kid": "5f0c3a9e1b7d4c2088e6f1a2b3c4d5e6",
        "epoch": [1, 1],
        "seq": [40, 45],
        "source": None,
        "claims": None,
    },
}


class BatchMention(BaseModel):
    """The closed batch that holds an entry."""

    model_config = _SHAPE

    id: int
    closed_at: str


class AnchorMention(BaseModel):
    """How far a batch, or a later one that covers it, is anchored."""

    model_config = _SHAPE

    state: Literal["planned", "broadcast", "in_block", "final"]
    chain: str
    simulated: bool
    batch: int
    """The batch whose checkpoint was anchored."""
    reference: str | None
    """Transaction id."""
    height: int | None


class KeyMention(BaseModel):
    """Where the key comes from that signed, as the registry says today."""

    model_config = _SHAPE

    provenance: str
    simulated: bool
    valid_from: str
    valid_until: str | None


class Settlement(BaseModel):
    """What became of the quote. A quote is no bill: only a closing bills."""

    model_config = _SHAPE

    status: Literal["pending"]


class SupersessionMention(BaseModel):
    """The entry that says by which records this one was replaced: they are among the meter's records of its time."""

    model_config = _SHAPE

    log_id: str
    index: int


class EntryView(BaseModel):
    """An entry of the log."""

    model_config = _SHAPE | ConfigDict(
        json_schema_extra={
            "example": {
                "log_id": "019a8f3e2c7b7d21b6f04a3c9e5d8f10",
                "index": 1234,
                "received_at": "2026-01-31T12:05:01Z",
                "body": RECORD_EXAMPLE,
                "key": {
                    "provenance": "registered",
                    "simulated": False,
                    "valid_from": "2026-01-01T00:00:00Z",
                    "valid_until": None,
                },
                "batch": {"id": 3, "closed_at": "2026-01-31T12:06:00Z"},
                "anchor": {
                    "state": "final",
                    "chain": "simulated",
                    "simulated": True,
                    "batch": 3,
                    "reference": "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b",
                    "height": 107,
                },
                "settlement": {"status": "pending"},
                "superseded_by": None,
            }
        }
    )

    log_id: str
    index: int
    """Its place in the log."""
    received_at: str
    body: dict[str, Any]
    """The document that the log commits to, exactly as it was hashed; for a record `emlog-1.1` (docs/spec/emlog.md)."""
    key: KeyMention | None
    batch: BatchMention | None
    """null: not in a closed batch yet."""
    anchor: AnchorMention | None
    settlement: Settlement | None
    """null for what is no record."""
    superseded_by: SupersessionMention | None
    """Late readings filled the gap that this record bridged: do not count it beside its parts. null: it stands."""


class EntryList(BaseModel):
    """A page of entries."""

    model_config = _SHAPE

    items: list[EntryView]
    next_cursor: str | None
    """Pass it as `cursor` for the next page; null: there is none."""


class Overlay:
    """What happened to entries since they were logged, as of one committed state; it keeps the last batch."""

    def __init__(self, services: Services, read: Read) -> None:
        self._read = read
        self._keys = services.ingest.registry.keys
        self._attestor = services.attestor
        self._batch: BatchRow | None = None
        self._anchors: dict[int, dict[str, Any] | None] = {}

    def view(self, row: EntryRow) -> dict[str, Any]:
        """The values of an EntryView."""
        batch = self._batch_of(row.idx)
        is_record = row.schema == SCHEMA
        return {
            "log_id": row.entry_id.hex(),
            "index": row.idx,
            "received_at": rfc3339(row.received_s),
            "body": logged(row.body),
            "key": self._key(row.body) if is_record else None,
            "batch": None if batch is None else {"id": batch.number, "closed_at": rfc3339(batch.closed_s)},
            "anchor": None if batch is None else self.anchor(batch.number),
            "settlement": {"status": "pending"} if is_record else None,
            "superseded_by": self._superseded_by(row) if is_record and row.status == "gap" else None,
        }

    def _superseded_by(self, row: EntryRow) -> dict[str, Any] | None:
        by = self._read.superseded([row.idx]).get(row.idx)
        said = () if by is None else self._read.entries(by, 1)
        return next(({"log_id": entry.entry_id.hex(), "index": entry.idx} for entry in said), None)

    def anchor(self, number: int) -> dict[str, Any] | None:
        """The values of an AnchorMention for a batch."""
        if number not in self._anchors:
            row = None if self._attestor is None else self._attestor.covering(number)
            self._anchors[number] = row and {
                "state": row.state,
                "chain": row.chain,
                "simulated": row.simulated,
                "batch": row.batch,
                "reference": row.reference,
                "height": row.height,
            }
        return self._anchors[number]

    def _batch_of(self, idx: int) -> BatchRow | None:
        last = self._batch
        if last is None or not last.first_idx <= idx <= last.last_idx:
            found = self._read.batch_of_index(idx)
            self._batch = last = found if found is not None and found.checkpoint is not None else None
        return last

    def _key(self, body: bytes) -> dict[str, Any] | None:
        kid = orjson.loads(body)["evidence"]["kid"]
        key = None if kid is None else self._keys.get(bytes.fromhex(kid))
        return (
            None
            if key is None
            else {
                "provenance": key.provenance,
                "simulated": key.simulated,
                "valid_from": rfc3339(key.valid_from_s),
                "valid_until": None if key.valid_until_s is None else rfc3339(key.valid_until_s),
            }
        )
