"""What stands in a bundle's bodies and readings, each parsed once for all answers.

A part that cannot be read is kept as the reason why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wattseal.core.bundle import Bundle
from wattseal.core.emlog import Record, parse_body
from wattseal.core.reading import Envelope, Reading, parse_envelope, parse_payload
from wattseal.core.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Contents:
    """The records in the bundle's order, and the readings by payload digest; `fault` if a reading cannot be read."""

    records: tuple[Record | Refusal, ...]
    readings: Mapping[bytes, tuple[Envelope, Reading]]
    fault: Refusal | None

    def all_records(self) -> list[Record]:
        """The records; Refusal where one of them cannot be read."""
        for place, record in enumerate(self.records):
            if isinstance(record, Refusal):
                raise Refusal(f"records.{place}", str(record))
        return [record for record in self.records if isinstance(record, Record)]


def read_contents(bundle: Bundle) -> Contents:
    """Parse the bodies of the records and the readings of a bundle."""
    readings: dict[bytes, tuple[Envelope, Reading]] = {}
    fault: Refusal | None = None
    for place, data in enumerate(bundle.readings):
        try:
            envelope = parse_envelope(data)
            digest = envelope.digest
            if digest in readings:
                fault = fault or Refusal(f"readings.{place}", "is in the file twice")
            readings[digest] = envelope, parse_payload(envelope.payload)
        except Refusal as refusal:
            fault = fault or Refusal(f"readings.{place}", f"is no signed reading: {refusal}")
    return Contents(tuple(_record(leaf.body) for leaf in bundle.records), readings, fault)


def _record(body: bytes) -> Record | Refusal:
    try:
        return parse_body(body)
    except Refusal as refusal:
        return refusal
