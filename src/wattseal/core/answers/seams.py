"""Where records of different chains meet: what the signed registers on both sides say (docs/spec/proof.md §3.3).

Readings chain by their digests, imported rows by theirs, and neither joins the other: a slot that seems to do so proves
nothing. What lies between two readings of one chain is known to the milliwatt-hour all the same, by their registers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from wattseal.core.bundle import Leaf
from wattseal.core.contents import Contents
from wattseal.core.emlog import Record
from wattseal.core.evidence import FROM_READINGS
from wattseal.core.refusal import Refusal
from wattseal.core.registry import parse_device_key
from wattseal.core.units import kwh_text, rfc3339


def is_read(record: Record) -> bool:
    """Whether two readings stand behind a record."""
    return record.evidence.kind in FROM_READINGS


def share_chain(before: Record, after: Record) -> bool:
    """Whether the slots of two records in succession must meet: both from readings, or from one import's rows."""
    if is_read(before) or is_read(after):
        # Also of two keys: the record across a rotation begins with the last reading of the older one.
        return is_read(before) and is_read(after)
    return before.evidence.source is not None and before.evidence.source == after.evidence.source


class Bracket(NamedTuple):
    """Places of two records from readings, between which stand only others."""

    before: int
    after: int


def brackets(records: Sequence[Record]) -> Iterator[Bracket]:
    """The brackets, in order."""
    read = [place for place, record in enumerate(records) if is_read(record)]
    return (Bracket(before, after) for before, after in pairwise(read) if after > before + 1)


class Seams:
    """The seams of one bundle. `registry` as for *complete*."""

    def __init__(
        self,
        leaves: Sequence[Leaf],
        records: Sequence[Record],
        contents: Contents,
        registry: Mapping[str, bytes] | None,
    ) -> None:
        self._leaves, self._records = leaves, records
        self._readings, self._registry = contents.readings, registry or {}
        self._first_kids: dict[bytes, bytes] = {}
        """The first key of the line of rotations in which each stands."""

    def check(self) -> str | None:
        """Refusal where records contradict signed registers; a reason for "unknown" where no register bounds them."""
        doubts = [doubt for bracket in brackets(self._records) if (doubt := self._check_registers(bracket)) is not None]
        doubts += self._open_ends()
        return doubts[0] if doubts else None

    def _check_registers(self, bracket: Bracket) -> str | None:
        before, after = self._records[bracket.before], self._records[bracket.after]
        span = f"from {rfc3339(before.end_s)} to {rfc3339(after.start_s)}"
        first = self._readings.get(self._leaves[bracket.before].slots.end)
        last = self._readings.get(self._leaves[bracket.after].slots.start)
        if first is None or last is None:
            return f"the readings that bound what was not read {span} are not in the file"
        if "operator" in (before.evidence.kind, after.evidence.kind):
            return f"only the operator says how the registers went on {span}"
        if self._first_kid(first[0].kid) != self._first_kid(last[0].kid):
            return f"the registers before and after what was not read {span} are of two chains"
        between = self._records[bracket.before + 1 : bracket.after]
        energy = sum(record.energy_mwh for record in between), sum(record.export_mwh for record in between)
        signed = last[1].import_mwh - first[1].import_mwh, last[1].export_mwh - first[1].export_mwh
        if energy == signed:
            return None
        # Of reports nobody knows whether some are missing; then less than was signed is no contradiction.
        is_short = energy[0] <= signed[0] and energy[1] <= signed[1]
        if is_short and any(record.evidence.kind == "reported" for record in between):
            return f"less was reported {span} than the signed registers counted"
        raise Refusal(
            f"records.{bracket.before + 1}",
            f"{span} the records count {_both(energy)}, but the signed registers {_both(signed)}",
        )

    def _open_ends(self) -> list[str]:
        """Where a chain begins or ends and no reading stands on the other side."""
        places = [place for place, record in enumerate(self._records) if is_read(record)]
        if places and (places[0] > 0 or places[-1] < len(self._records) - 1):
            return [
                "on one side of what no device read there is no signed register in this file, only the others' word"
            ]
        for before, after in pairwise(self._records):
            if not is_read(before) and not is_read(after) and not share_chain(before, after):
                return [f"at {rfc3339(after.start_s)} one import follows another, and no chain joins them"]
        return []

    def _first_kid(self, kid: bytes) -> bytes:
        line = []
        while kid not in self._first_kids:
            line.append(kid)
            # Before the next step: a line that leads back to itself must end.
            self._first_kids[kid] = kid
            body = self._registry.get(f"key/{kid.hex()}")
            previous = None if body is None else parse_device_key(body).previous_kid
            if previous is None:
                break
            kid = previous
        first = self._first_kids[kid]
        self._first_kids.update(dict.fromkeys(line, first))
        return first


def _both(energy: tuple[int, int]) -> str:
    return f"{kwh_text(energy[0])} kWh in and {kwh_text(energy[1])} kWh out"
