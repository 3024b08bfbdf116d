"""Holes and doublings that no honest log has (docs/spec/proof.md §3.3); more are in tests/core/test_verify.py."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from tests.core.make_bundle_vectors import trust_of
from tests.core.vouched_world import ImportWorld, ReportedWorld, rewritten
from tests.core.world import INTERVAL, START, World, to_file
from wattseal.core.bundle import parse_bundle
from wattseal.core.reading import encode_payload
from wattseal.core.units import rfc3339
from wattseal.core.verdict import Answer
from wattseal.core.verify import verify


def complete(world: World) -> Answer:
    return verify(parse_bundle(to_file(world.bundle())), trust_of(world.trust_text())).complete


def moved(world: World, place: int, seconds: int) -> None:
    """The meter takes a reading at another time; all that follows from it follows."""
    prev = world.readings[0][0].prev
    for at, (reading, _) in enumerate(world.readings):
        time_s = reading.time_s + seconds if at == place else reading.time_s
        signed = replace(reading, prev=prev, time_s=time_s)
        world.readings[at] = (signed, world.device.sign(signed))
        prev = hashlib.sha256(encode_payload(signed)).digest()
    for at in range(world.records):
        world.items[world.record_indexes[at]].slots = world.slots(at)
        rewritten(world, at, world.record(at))


def test_a_boundary_may_lie_anywhere_in_its_slot() -> None:
    world = World(records=4)
    moved(world, 2, INTERVAL - 3)
    assert complete(world).word == "yes"


def test_a_record_that_begins_and_ends_in_one_slot_is_a_fault() -> None:
    world = World(records=4)
    moved(world, 2, -4)
    answer = complete(world)
    assert (answer.word, answer.reason) == ("no", "records.1: does not reach the next slot of the grid")


@pytest.mark.parametrize(("place", "seconds"), [(4, 5 * INTERVAL), (0, -1)], ids=["after its end", "before its start"])
def test_a_gap_across_the_edge_of_the_period_is_unknown(place: int, seconds: int) -> None:
    """Its energy would count whole on both sides of the edge."""
    world = World(records=4)
    moved(world, place, seconds)
    answer = complete(world)
    assert (answer.word, "a gap lies across the edge of the period" in answer.reason) == ("unknown", True)


def test_a_first_record_that_ends_before_the_period_is_refused() -> None:
    world = World(records=4)
    moved(world, 0, -1)
    moved(world, 1, -2)
    answer = complete(world)
    assert (answer.word, answer.reason.partition(":")[0]) == ("no", "period.from")


def test_a_record_outside_of_the_period_is_refused() -> None:
    world = World(records=4)
    bundle = {**world.bundle(), "period": {"from": rfc3339(START + INTERVAL), "to": rfc3339(START + 4 * INTERVAL)}}
    verdicts = verify(parse_bundle(to_file(bundle)), trust_of(world.trust_text()))
    assert verdicts.complete.word == "no"


def test_records_that_overlap_are_refused_whatever_stands_behind_them() -> None:
    world = ReportedWorld(records=3)
    rewritten(world, 1, replace(world.record(1), start_s=world.record(1).start_s - 60))
    answer = complete(world)
    assert (answer.word, answer.reason) == (
        "no",
        "records.1: overlaps the record before it, or is not in order of time",
    )


def test_imported_history_is_complete_as_far_as_its_rows_follow_each_other() -> None:
    world = ImportWorld(records=4)
    assert complete(world).word == "yes"
    item = world.items[world.record_indexes[2]]
    item.slots = replace(item.slots, start=bytes([1]) * 32)
    answer = complete(world)
    assert (answer.word, answer.reason.startswith("records.2: does not begin with the reading")) == ("no", True)


def test_a_hole_between_two_imported_records_is_named() -> None:
    world = ImportWorld(records=4)
    rewritten(world, 1, replace(world.record(1), end_s=world.record(1).end_s - 60))
    answer = complete(world)
    start, end = rfc3339(world.record(1).end_s - 60), rfc3339(world.record(1).end_s)
    assert answer == Answer("no", f"records.2: nothing covers the time from {start} to {end}")


def test_nobody_can_say_whether_reported_intervals_are_all_there() -> None:
    answer = complete(ReportedWorld(records=2))
    assert (answer.word, "have no chain" in answer.reason) == ("unknown", True)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_gaps_are_counted(count: int) -> None:
    world = World(records=4)
    for place in range(count):
        rewritten(world, place, replace(world.record(place), status="gap"))
    answer = complete(world)
    assert answer.word == "yes"
    assert (f"; {count} of them bridge a gap" in answer.reason) is (count > 0)
