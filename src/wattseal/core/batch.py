"""The batch entry that closes a range of the log (docs/spec/log.md §3)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from wattseal.core import jcs
from wattseal.core.document import Members, parse_document
from wattseal.core.refusal import Refusal
from wattseal.core.units import MAX_ENERGY_MWH, kwh_text, rfc3339

_MAX_INDEX = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Batch:
    """A closed range of entries; its own entry is the last of them. Totals in mWh, of disclosed meters only."""

    origin: str
    number: int
    first_index: int
    last_index: int
    closed_s: int
    previous: bytes | None
    consumption_mwh: int
    production_mwh: int
    registry_size: int
    registry_root: bytes

    def body(self) -> bytes:
        """Canonical `batch-1`."""
        return jcs.dumps(
            {
                "schema_version": "batch-1",
                "origin": self.origin,
                "batch": self.number,
                "first_index": self.first_index,
                "last_index": self.last_index,
                "closed_at": rfc3339(self.closed_s),
                "previous": None if self.previous is None else self.previous.hex(),
                "consumption_kwh": Decimal(kwh_text(self.consumption_mwh)),
                "production_kwh": Decimal(kwh_text(self.production_mwh)),
                "registry": {"size": self.registry_size, "root": self.registry_root.hex()},
            }
        )


def parse_batch(data: bytes) -> Batch:
    """A Batch from its body."""
    members = parse_document(data, "batch-1")
    registry = Members(members.any("registry"), "registry")
    batch = Batch(
        members.text("origin"),
        members.integer("batch", 0, _MAX_INDEX),
        members.integer("first_index", 0, _MAX_INDEX),
        members.integer("last_index", 0, _MAX_INDEX),
        members.time("closed_at"),
        members.optional_hex("previous", 32),
        members.decimal("consumption_kwh", 6),
        members.decimal("production_kwh", 6),
        registry.integer("size", 0, _MAX_INDEX),
        registry.hex("root", 32),
    )
    registry.done()
    members.done()
    for field, total in (("consumption_kwh", batch.consumption_mwh), ("production_kwh", batch.production_mwh)):
        if total > MAX_ENERGY_MWH:
            raise Refusal(field, f"must be at most {kwh_text(MAX_ENERGY_MWH)}")
    return batch
