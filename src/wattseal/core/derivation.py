"""How a record follows from the two boundary readings that it spans (docs/spec/emlog.md §4, §5).

A verifier recomputes records with it. The gate writes them by `ingest/record_text.py`, which a test holds equal to it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from wattseal.core.emlog import MAX_AMOUNT_MSAT, Record
from wattseal.core.evidence import Evidence
from wattseal.core.units import quote_msat


class Boundary(Protocol):
    """What a record takes from a boundary reading: its place in the chain, its time (Unix s), its registers (mWh).

    `Reading` is one.
    """

    @property
    def epoch(self) -> int:
        """Boots of the device."""

    @property
    def seq(self) -> int:
        """Number of the reading in its epoch."""

    @property
    def time_s(self) -> int:
        """Unix seconds."""

    @property
    def import_mwh(self) -> int:
        """Import register."""

    @property
    def export_mwh(self) -> int:
        """Export register."""


def fits(energy_mwh: int, price_msat: int) -> bool:
    """Whether the quote of that energy is an amount that a record can carry (docs/spec/emlog.md §1)."""
    return quote_msat(energy_mwh, price_msat) <= MAX_AMOUNT_MSAT


class Correction(NamedTuple):
    """What an operator's declared discontinuity adds to the difference of two registers, mWh; and its entry.

    Before − after: what the old register showed at its end, less what the new one began with (docs/spec/log.md §2).
    """

    import_mwh: int
    export_mwh: int
    source: bytes


_NONE = Correction(0, 0, b"")


def device_record(  # noqa: PLR0913 - the fields that stand in the record
    site_id: str,
    device_id: str,
    meter_id: str,
    kind: str,
    kid: bytes,
    start: Boundary,
    end: Boundary,
    *,
    gap: bool,
    price_msat: int | None,
    tariff_version: str | None,
    discontinuity: Correction | None = None,
) -> Record:
    """The record from one boundary reading of a chain to the next.

    `gap` is what emlog.md §5 calls so; price and tariff version are those valid at the start, or None. An amount that
    no record can carry is no quote: both become None. Unless a declared discontinuity makes up for it, the registers
    must not fall from start to end; `emlog.check` refuses such a record, as it does one whose times do not rise.
    """
    add_import_mwh, add_export_mwh, source = discontinuity or _NONE
    energy_mwh = end.import_mwh - start.import_mwh + add_import_mwh
    if price_msat is None or not fits(energy_mwh, price_msat):
        price_msat = tariff_version = None
    return Record(
        site_id,
        device_id,
        meter_id,
        start.time_s,
        end.time_s,
        energy_mwh,
        end.export_mwh - start.export_mwh + add_export_mwh,
        "gap" if gap else "ok",
        Evidence(kind, kid.hex(), (start.epoch, end.epoch), (start.seq, end.seq), source.hex() or None),
        price_msat,
        tariff_version,
    )


def weakest(kinds: tuple[str, ...], start: str, end: str) -> str:
    """The weaker of two kinds of evidence, where `kinds` lists them strongest first.

    A record is no better than either of its boundaries.
    """
    return start if kinds.index(start) >= kinds.index(end) else end
