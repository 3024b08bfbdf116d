"""Entries that change what earlier entries mean: supersessions and tombstones (docs/spec/log.md §2)."""

from __future__ import annotations

from typing import NamedTuple

from wattseal.core import jcs
from wattseal.core.document import parse_document
from wattseal.core.emlog import Record
from wattseal.core.refusal import Refusal

SUPERSESSION, TOMBSTONE = "supersession-1", "tombstone-1"
MAX_PARTS = 500
"""So many that the body stays within its bound."""


class Supersession(NamedTuple):
    """A gap record and the records that take its place, as 32-byte entries."""

    superseded: bytes
    by: tuple[bytes, ...]

    def body(self) -> bytes:
        """Canonical `supersession-1`."""
        return jcs.dumps(
            {
                "schema_version": SUPERSESSION,
                "superseded": self.superseded.hex(),
                "by": [part.hex() for part in self.by],
            }
        )


class Tombstone(NamedTuple):
    """The entry whose body and secret were erased, and SHA-256 of the body that it had."""

    subject: bytes
    body_sha256: bytes


def parse_supersession(data: bytes) -> Supersession:
    """A Supersession from its body."""
    members = parse_document(data, SUPERSESSION)
    superseded, by = members.hex("superseded", 32), []
    for part in members.list("by", MAX_PARTS):
        if not isinstance(part, str) or len(part) != 64 or not set(part) <= set("0123456789abcdef"):
            raise Refusal("by", "must be a list of entries, 32 bytes each in lower-case hex")
        by.append(bytes.fromhex(part))
    members.done()
    return Supersession(superseded, tuple(by))


def parse_tombstone(data: bytes) -> Tombstone:
    """A Tombstone from its body."""
    members = parse_document(data, TOMBSTONE)
    tombstone = Tombstone(members.hex("subject", 32), members.hex("body_sha256", 32))
    members.text("reason", 1_024)
    members.time("erased_at")
    members.text("operator")
    members.done()
    return tombstone


def fault_of(supersession: Supersession, records: dict[bytes, Record]) -> str | None:
    """What is wrong with a supersession, in words; `records` are those that it names, as far as the log has them."""
    gap = records.get(supersession.superseded)
    parts = [records[entry] for entry in supersession.by if entry in records]
    if gap is None or len(parts) != len(supersession.by) or not parts:
        return "names records that are not in the log"
    parts.sort(key=lambda part: part.start_s)
    path = (gap.site_id, gap.iot_device_id, gap.meter_id)
    if any((part.site_id, part.iot_device_id, part.meter_id) != path for part in parts):
        return "names records of different meters"
    ends = [gap.start_s, *(part.end_s for part in parts)]
    if [part.start_s for part in parts] != ends[:-1] or ends[-1] != gap.end_s:
        return "its parts do not cover the same time as the record that they replace"
    energy, export = sum(part.energy_mwh for part in parts), sum(part.export_mwh for part in parts)
    if (energy, export) != (gap.energy_mwh, gap.export_mwh):
        return "its parts do not add up to the energy of the record that they replace"
    return None
