"""The values that the gate works on: where a chain stands, what is known of a reading's place, and the verdict."""

from __future__ import annotations

from typing import Final, NamedTuple

from wattseal.ingest.arrival import Arrival

ADMITTED, DUPLICATE, HOLD, TOO_LATE, QUARANTINED, REFUSED = (
    "admitted",
    "duplicate",
    "held",
    "late",
    "quarantined",
    "refused",
)
"""The outcomes of docs/spec/reading.md §4."""


class Terms(NamedTuple):
    """What the registry says of a (kid, meter). `valid_until_s` is exclusive; power in mW, None: no rating is known."""

    serial: bytes
    valid_from_s: int
    valid_until_s: int | None
    rated_power_mw: int | None


class Held(NamedTuple):
    """A reading that waits for those before it, with the time of its receipt."""

    arrival: Arrival
    received_s: int


class Chain(NamedTuple):
    """Where a chain stands. The next reading must name the cursor; energy counts from the last admitted one."""

    epoch: int
    """Of the cursor; -1 while nothing was admitted."""
    seq: int
    digest: bytes
    cursor_time_s: int
    cursor_import_mwh: int
    cursor_export_mwh: int
    time_s: int
    """Of the last admitted reading, as are the registers."""
    import_mwh: int
    export_mwh: int
    known_epoch: int
    """With known_seq the highest place at which anything is stored, set-aside readings included."""
    known_seq: int
    held: tuple[Held, ...]


NO_CHAIN: Final = Chain(-1, -1, b"", 0, 0, 0, 0, 0, 0, -1, -1, ())


class Around(NamedTuple):
    """The neighbours of a place in a bridged gap: those that energy counts between, and those next in the chain."""

    before: Arrival
    link_before: Arrival
    link_after: Arrival
    after: Arrival


class Stored(NamedTuple):
    """What the store has at a reading's place: the digests there, and whether the place is in a bridged gap.

    `around` is None where no record spans the gap: then nothing can be said against the reading, nor made of it.
    """

    digests: tuple[bytes, ...]
    in_gap: bool
    around: Around | None = None


NOTHING_STORED: Final = Stored((), in_gap=False)


class Verdict(NamedTuple):
    """What becomes of a reading, the state in which it is stored (None: it is not), and the chain after it."""

    outcome: str
    state: str | None
    reason: str | None
    detail: str | None
    chain: Chain
    bridged: bool
