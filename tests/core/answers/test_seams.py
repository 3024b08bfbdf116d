"""Imports and reports among a device's records (docs/spec/proof.md §3.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.forged_worlds import OpenWorld, imported
from tests.core.make_bundle_vectors import trust_of
from tests.core.vouched_world import rewritten
from tests.core.world import VirtualDevice, World, to_file
from wattseal.core.bundle import parse_bundle
from wattseal.core.evidence import Evidence
from wattseal.core.verdict import Answer, Verdicts
from wattseal.core.verify import verify


def verdicts_of(world: World) -> Verdicts:
    return verify(parse_bundle(to_file(world.bundle())), trust_of(world.trust_text()))


def complete(world: World) -> Answer:
    return verdicts_of(world).complete


def wedged(energy_mwh: int | None = None, export_mwh: int = 0) -> World:
    """Two imported records between a device's first and last two; `energy_mwh` of the first one."""
    world = OpenWorld(records=6)
    imported(world, range(2, 4))
    evidence = Evidence("import", source=world.items[world.statements[-1][0]].entry.hex())
    record = replace(world.record(2), export_mwh=export_mwh, evidence=evidence)
    rewritten(world, 2, record if energy_mwh is None else replace(record, energy_mwh=energy_mwh))
    return world


def test_imported_records_that_add_up_to_the_registers_around_them() -> None:
    answer = complete(wedged())
    assert answer.word == "yes"
    assert "only the operator says" in answer.reason


@pytest.mark.parametrize("change", [{"energy_mwh": 0}, {"energy_mwh": 5_000_000_000}, {"export_mwh": 1}], ids=str)
def test_imported_records_that_do_not(change: dict[str, int]) -> None:
    answer = complete(wedged(**change))
    assert answer.word == "no"
    assert answer.reason.startswith("records.2: from 2025-12-01T00:10:02Z to 2025-12-01T00:20:04Z the records count ")
    assert answer.reason.endswith("but the signed registers 0.253912 kWh in and 0 kWh out")


def test_a_slot_of_another_chain_joins_nothing() -> None:
    """Before: the import took its slots from its neighbours, and the chain seemed to run on."""
    world = OpenWorld(records=6)
    imported(world, range(3, 4), copies_slots=True)
    verdicts = verdicts_of(world)
    assert verdicts.authentic.reason == (
        "records.3: slots a record of the kind import names a device's reading as its evidence"
    )
    assert (
        verdicts.complete.reason == "records.3: seems to join the record before it, but the two are of different chains"
    )


def test_reports_between_registers_may_not_exceed_them() -> None:
    for energy_mwh, word in ((10**12, "no"), (1, "unknown")):
        world = OpenWorld(records=6)
        rewritten(world, 2, replace(world.record(2), energy_mwh=energy_mwh, evidence=Evidence("reported")))
        assert complete(world).word == word


def rotated(world: World, place: int, previous: bytes | None) -> World:
    """Another device key signs the readings from `place` on."""
    young = VirtualDevice(8)
    for at in range(place, len(world.readings)):
        reading = world.readings[at][0]
        world.readings[at] = (reading, young.sign(reading))
    world.register(replace(world.key, public_key=young.public, previous_kid=previous, reason="rotated"))
    world.register(replace(world.meter, kids=(world.device.kid, young.kid)))
    for at in range(place, world.records):
        record = world.record(at)
        rewritten(world, at, replace(record, evidence=replace(record.evidence, kid=young.kid.hex())))
    return world


@pytest.mark.parametrize(("energy_mwh", "word"), [(None, "yes"), (10**12, "no")])
def test_registers_run_on_across_a_rotation(energy_mwh: int | None, word: str) -> None:
    world = OpenWorld(records=6)
    rotated(world, 4, world.device.kid)
    imported(world, range(3, 4), energy_mwh)
    assert complete(world).word == word


def test_registers_of_two_chains_are_not_compared() -> None:
    world = OpenWorld(records=6)
    rotated(world, 4, None)
    imported(world, range(3, 4), 10**12)
    answer = complete(world)
    assert (answer.word, answer.reason.endswith("are of two chains")) == ("unknown", True)


def test_a_line_of_keys_that_leads_back_to_itself_ends() -> None:
    world = OpenWorld(records=6)
    young = VirtualDevice(8)
    rotated(world, 4, world.device.kid)
    world.register(replace(world.key, previous_kid=young.kid))
    imported(world, range(3, 4), 10**12)
    assert complete(world).word == "no"


@pytest.mark.parametrize("places", [range(2), range(4, 6)], ids=["before", "after"])
def test_registers_on_one_side_bound_nothing(places: range) -> None:
    world = OpenWorld(records=6)
    imported(world, places)
    answer = complete(world)
    assert (answer.word, answer.reason.startswith("on one side of what no device read")) == ("unknown", True)


def test_a_released_reading_bounds_nothing() -> None:
    world = OpenWorld(records=6)
    imported(world, range(3, 4), 10**12)
    record = world.record(4)
    rewritten(world, 4, replace(record, evidence=replace(record.evidence, kind="operator")))
    answer = complete(world)
    assert (answer.word, answer.reason.startswith("only the operator says")) == ("unknown", True)


def test_readings_that_are_not_in_the_file_bound_nothing() -> None:
    world = OpenWorld(records=6)
    imported(world, range(3, 4))
    bundle = world.bundle()
    del bundle["readings"][4]
    answer = verify(parse_bundle(to_file(bundle)), trust_of(world.trust_text())).complete
    assert (answer.word, answer.reason.endswith("are not in the file")) == ("unknown", True)
