"""What the rollups ask of a database: a part of log/port.py, whose promises hold here, too (docs/spec/energy.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class RecordValues(NamedTuple):
    """What of a record counts in sums. Energies are in mWh, money in msat."""

    idx: int
    meter_no: int
    kind: str
    start_s: int
    end_s: int
    energy_mwh: int
    export_mwh: int
    amount_msat: int | None
    status: str


class RollupRow(NamedTuple):
    """The sums of a meter's records of one kind in one bucket: an hour, or a local day (`level`)."""

    level: str
    start_s: int
    meter_no: int
    kind: str
    records: int
    """Records that start in the bucket."""
    covered_s: int
    estimated_s: int
    """Seconds of `covered_s` whose record is not `ok`, or was split between buckets."""
    energy_mwh: int
    export_mwh: int
    priced_mwh: int
    """What of `energy_mwh` has a quote."""
    amount_msat: int


class ReadRollups(Protocol):
    """The part of Read."""

    def hour_sums(self, first_idx: int, end_idx: int, max_msat_per_s: int) -> Sequence[RollupRow]:
        """Sums by hour, meter and kind of those records first_idx to end_idx − 1 that lie within an hour of UTC.

        Superseded ones too. An amount beyond max_msat_per_s times the record's seconds counts as no quote. Added up in
        the database, since this looks at every record of the log.
        """

    def record_values(self, first_idx: int, end_idx: int, *, crossing: bool) -> Sequence[RecordValues]:
        """The records first_idx to end_idx − 1 in index order, superseded ones too.

        With `crossing`, only those that do not lie within an hour of UTC.
        """

    def record_values_at(self, idxs: Sequence[int]) -> Sequence[RecordValues]:
        """The records at these indexes, in index order."""

    def superseded_by(self, first_idx: int, end_idx: int) -> Sequence[tuple[int, int]]:
        """(idx, by_idx) of records that are superseded by entries first_idx to end_idx − 1, in order of by_idx."""

    def rollup_sums(
        self, level: str, starts: Sequence[int], meter_nos: Sequence[int], *, by_start: bool, by_meter: bool
    ) -> Sequence[RollupRow]:
        """Sums over the rollups of these buckets and meters, for each kind apart, and where said each start and meter.

        What is not told apart is 0 in the rows. In no order; exact, also beyond 64 bits. Costs in proportion to starts
        times meters.
        """

    def rollups(self, after: tuple[str, int, int, str], limit: int) -> Sequence[RollupRow]:
        """All rollups after that (level, start_s, meter_no, kind), in this order: for checking them."""


class WriteRollups(Protocol):
    """The part of Write."""

    def add_rollups(self, rows: Sequence[RollupRow]) -> None:
        """Add these sums, which may be negative, to the stored ones; a row that is not there counts as zeros.

        The caller gives each (level, start_s, meter_no, kind) once and sees to it that no sum leaves 64 bits.
        """

    def clear_rollups(self) -> None:
        """Forget all rollups, to make them anew."""
