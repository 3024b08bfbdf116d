"""The energy that a batch adds to its public totals, by meter (docs/spec/log.md §3)."""

from __future__ import annotations

from wattseal.log.port import Read


def totals_of(read: Read, first_idx: int, last_idx: int, disclosed: frozenset[int]) -> dict[int, tuple[int, int]]:
    """(import, export) in mWh of those meters' records in an index range, its ends included.

    Parts of a supersession are left out: their energy was counted with the record that they replace. They stand in one
    batch with it and add up to that record, so what is superseded in the range is what its parts hold.
    """
    totals = {
        meter_no: (energy, export) for meter_no, energy, export in read.disclosed_totals(first_idx, last_idx, disclosed)
    }
    replaced = read.superseded_by(first_idx, last_idx + 1)
    for record in read.record_values_at([idx for idx, _ in replaced]) if replaced else ():
        if record.meter_no in totals:
            energy, export = totals[record.meter_no]
            totals[record.meter_no] = energy - record.energy_mwh, export - record.export_mwh
    return totals
