"""Complete: the records of the meter cover the period without a hole, each mWh once (docs/spec/proof.md §3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from wattseal.core.answers.seams import Seams, share_chain
from wattseal.core.bundle import Bundle, Leaf
from wattseal.core.contents import Contents
from wattseal.core.emlog import Record
from wattseal.core.refusal import Refusal
from wattseal.core.registry import parse_meter
from wattseal.core.units import kwh_text, rfc3339
from wattseal.core.verdict import Answer

LIMIT = "This cannot speak of meters that were never registered."


def judge(
    bundle: Bundle, contents: Contents, rests_on: tuple[Answer, Answer], registry: Mapping[str, bytes] | None
) -> Answer:
    """Whether the chain of records covers the bundle's period.

    `rests_on`: the answers *included* and *authentic*. `registry` as for *authentic*.
    """
    simulated = any(answer.simulated for answer in rests_on)
    answer = _judge(bundle, contents, rests_on[0], registry)
    return replace(answer, simulated=simulated and answer.word == "yes")


def _judge(bundle: Bundle, contents: Contents, included: Answer, registry: Mapping[str, bytes] | None) -> Answer:
    try:
        records = contents.all_records()
        _check_order(bundle, records)
        seam = Seams(bundle.records, records, contents, registry).check()
        if any(record.evidence.kind == "reported" for record in records):
            return Answer("unknown", "reported intervals have no chain: nobody could notice that one is missing")
        _check_chain(bundle.records, records)
        body = None if registry is None else registry.get(f"meter/{bundle.path}")
        if body is None:
            return Answer(
                "unknown",
                "the registration of the meter, which says on which grid its records lie, is not shown to be the log's",
            )
        edge = _check_period(bundle, records, parse_meter(body).record_interval_s)
    except Refusal as refusal:
        return Answer("no", f"{refusal.field}: {refusal.reason}")
    if included.word == "no":
        return Answer("unknown", "the records are not all in the log, so their chain shows nothing")
    for doubt in (edge, seam):
        if doubt is not None:
            return Answer("unknown", doubt)
    energy = sum(record.energy_mwh for record in records)
    export = sum(record.export_mwh for record in records)
    gaps = sum(record.status == "gap" for record in records)
    span = f"from {rfc3339(bundle.from_s)} to {rfc3339(bundle.to_s)}"
    total = f"{kwh_text(energy)} kWh in, {kwh_text(export)} kWh out"
    shape = f"; {gaps} of them bridge a gap, in which only the shape is unknown" if gaps else ""
    if any(record.evidence.kind == "import" for record in records):
        shape += "; for imported records only the operator says that nothing is left out"
    return Answer("yes", f"{len(records)} records follow each other {span} ({total}){shape}. {LIMIT}", facts=(total,))


def _check_order(bundle: Bundle, records: list[Record]) -> None:
    """For every kind of evidence: in order of time, none overlaps another, and each touches the period."""
    for place, record in enumerate(records):
        if record.end_s <= bundle.from_s or record.start_s >= bundle.to_s:
            raise Refusal(f"records.{place}", "lies outside of the period")
    for place, (before, after) in enumerate(pairwise(records), 1):
        if after.start_s < before.end_s:
            raise Refusal(f"records.{place}", "overlaps the record before it, or is not in order of time")


def _check_chain(leaves: tuple[Leaf, ...], records: list[Record]) -> None:
    for place, ((leaf, record), (after, next_record)) in enumerate(pairwise(zip(leaves, records, strict=True)), 1):
        where = f"records.{place}"
        if next_record.start_s != record.end_s:
            raise Refusal(
                where, f"nothing covers the time from {rfc3339(record.end_s)} to {rfc3339(next_record.start_s)}"
            )
        joins = after.slots.start == leaf.slots.end
        if not share_chain(record, next_record):
            if joins:
                raise Refusal(where, "seems to join the record before it, but the two are of different chains")
        elif not joins:
            raise Refusal(
                where, f"does not begin with the reading that ended the record before it, at {rfc3339(record.end_s)}"
            )


def _check_period(bundle: Bundle, records: list[Record], interval_s: int) -> str | None:
    """Refusal where the period is not covered; a reason for "unknown" where a gap's energy lies on both sides."""
    if bundle.from_s % interval_s or bundle.to_s % interval_s or bundle.from_s >= bundle.to_s:
        raise Refusal("period", f"must run from one instant of the meter's grid ({interval_s} s) to a later one")
    slots = [(record.start_s // interval_s * interval_s, record.end_s // interval_s * interval_s) for record in records]
    for place, (start_s, end_s) in enumerate(slots):
        if start_s >= end_s:
            raise Refusal(f"records.{place}", "does not reach the next slot of the grid")
    if not slots[0][0] <= bundle.from_s < slots[0][1]:
        raise Refusal("period.from", f"the first record begins with the slot of {rfc3339(slots[0][0])}")
    if not slots[-1][0] < bundle.to_s <= slots[-1][1]:
        raise Refusal("period.to", f"the last record ends with the slot of {rfc3339(slots[-1][1])}")
    # A record that bridges a gap over the period's edge would count whole on both sides of it.
    for record, straddles in ((records[0], slots[0][0] < bundle.from_s), (records[-1], slots[-1][1] > bundle.to_s)):
        if straddles:
            amount = f"{kwh_text(record.energy_mwh)} kWh in, {kwh_text(record.export_mwh)} kWh out"
            return f"a gap lies across the edge of the period, and nobody knows on which side of it: {amount}"
    return None
