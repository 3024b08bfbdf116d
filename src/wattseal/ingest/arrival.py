"""A reading as the gate sees it: what a worker found in the bytes, light enough to cross a process and to be sorted."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from wattseal.core.reading import Envelope, parse_envelope
from wattseal.core.reading_fast import parse_fields


class Arrival(NamedTuple):
    """Registers in mWh, time in Unix seconds. Sorted, arrivals stand in the order in which a request's are judged."""

    kid: bytes
    meter_id: str
    epoch: int
    seq: int
    time_s: int
    import_mwh: int
    export_mwh: int
    digest: bytes
    prev: bytes
    serial: bytes
    from_source: bool
    """The registers were read from another payload (key 19): a gateway speaks for the meter."""
    profile: tuple[int, int, int] | None
    """Sums of the profile: seconds, import, export."""


ArrivalFields = tuple[bytes, str, int, int, int, int, int, bytes, bytes, bytes, bool, tuple[int, int, int] | None]
"""The same as a plain tuple, as it travels between processes."""


def arrival_fields(envelope: Envelope) -> ArrivalFields:
    """What the gate needs of a reading; Refusal when its payload is malformed (docs/spec/reading.md §2)."""
    payload = envelope.payload
    serial, meter_id, epoch, seq, time_s, _, imported, exported, _, _, _, prev, _, _, _, _, samples, source = (
        parse_fields(payload)
    )
    profile = None
    if samples:
        profile = (
            sum(sample.seconds for sample in samples),
            sum(sample.import_mwh for sample in samples),
            sum(sample.export_mwh for sample in samples),
        )
    digest = hashlib.sha256(payload).digest()
    return (
        envelope.kid,
        meter_id,
        epoch,
        seq,
        time_s,
        imported,
        exported,
        digest,
        prev,
        serial,
        source is not None,
        profile,
    )


def stored_arrival(cose: bytes) -> Arrival:
    """The arrival of a reading that was admitted to the store before."""
    return Arrival(*arrival_fields(parse_envelope(cose)))
