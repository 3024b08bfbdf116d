"""Imports and reports (docs/spec/proof.md §3.2); the readings of devices are in tests/core/test_verify.py."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.bundle_samples import BUNDLES, TRUST
from tests.core.forged_worlds import OtherNames, resigned, without
from tests.core.make_bundle_vectors import trust_of
from tests.core.refused import outcome
from tests.core.strategies import FUZZ, json_values
from tests.core.test_bundle import PLACES
from tests.core.vouched_world import ImportWorld, ReportedWorld, rewritten
from tests.core.world import INTERVAL, ORIGIN, SITE, START, World, to_file
from wattseal.core import jcs
from wattseal.core.bundle import parse_bundle
from wattseal.core.emlog import Record
from wattseal.core.entry import Slots
from wattseal.core.note import Note
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.reading import (
    FLAG_CLOCK_UNSYNCED,
    FLAG_METER_UNREACHABLE,
    FLAG_REGISTER_RESET,
    FLAG_TAMPER,
)
from wattseal.core.refusal import Refusal
from wattseal.core.registry import Signer
from wattseal.core.statement import reported_text
from wattseal.core.verdict import NAMES, Answer
from wattseal.core.verify import verify


def authentic(world: World) -> Answer:
    return verify(parse_bundle(to_file(world.bundle())), trust_of(world.trust_text())).authentic


def signer(
    name: str, role: str, seed: int, *, simulated: bool = False, until_s: int | None = None
) -> tuple[Ed25519Signer, Signer]:
    key = Ed25519Signer(f"{ORIGIN}/{name}", bytes([seed]) * 32)
    return key, Signer(key.verifier.name, role, key.verifier.vkey, START, until_s, simulated=simulated)


# --- imports ----------------------------------------------------------------------------------------------------------


def test_an_import_says_that_only_the_operator_vouches() -> None:
    answer = authentic(ImportWorld(records=2))
    assert answer.word == "yes"
    assert "no meter signed it" in answer.reason
    assert answer.facts[0].startswith(f"operator {ORIGIN}/operator imported the file ")


@pytest.mark.parametrize("order", [(1, 0), (0, 1)])
def test_an_operator_may_have_had_several_keys(order: tuple[int, int]) -> None:
    """The older key signed; which of the two comes first among the registrations must not matter."""
    world = ImportWorld(records=2)
    ids = {}
    for seed in range(20, 60):
        _, registration = signer("operator", "operator", seed)
        ids[registration.registry_name] = registration
    mine = next(name for name in world.names if name.startswith(f"signer/{ORIGIN}/operator+"))
    other = next(name for name in ids if (name > mine) is (order == (1, 0)))
    world.register(ids[other])
    assert authentic(world).word == "yes"


def test_a_simulated_operator_makes_a_simulated_yes() -> None:
    world = ImportWorld(records=2)
    _, registration = signer("operator", "operator", 2, simulated=True)
    world.register(registration)
    answer = authentic(world)
    assert (answer.word, answer.simulated) == ("yes", True)


def test_an_operator_that_is_no_operator_vouches_for_nothing() -> None:
    world = ImportWorld(records=2)
    _, registration = signer("operator", "operator", 2)
    world.register(replace(registration, role="gateway"))
    answer = authentic(world)
    assert (answer.word, answer.reason) == ("no", f"records.0: registry names no operator {ORIGIN}/operator")


@pytest.mark.parametrize("changes", [{"first_s": START + 1}, {"last_s": START + 2 * INTERVAL - 1}], ids=str)
def test_an_import_covers_the_time_that_it_names(changes: dict[str, int]) -> None:
    world = ImportWorld(records=2)
    world.vouch(replace(world.statement(), **changes))  # type: ignore[arg-type]  # times
    for place in range(2):
        rewritten(world, place, world.record(place))
    answer = authentic(world)
    assert (answer.word, "does not cover" in answer.reason) == ("no", True)


def test_a_row_chain_stands_on_both_sides_of_an_imported_record() -> None:
    world = ImportWorld(records=2)
    item = world.items[world.record_indexes[0]]
    item.slots = Slots(end=item.slots.end)
    assert authentic(world).reason == "records.0: slots an imported record has a row chain on both sides"


def test_a_statement_that_no_record_names_is_a_stray() -> None:
    world = ImportWorld(records=2)
    named = world.statements[0]
    world.vouch(replace(world.statement(), rows=99))
    world.statements.insert(0, named)
    answer = authentic(world)
    assert (answer.word, answer.reason) == (
        "no",
        "the file holds 1 pieces of evidence that belong to none of its records",
    )


# --- reports ----------------------------------------------------------------------------------------------------------


def test_a_report_says_that_only_the_gateway_vouches() -> None:
    answer = authentic(ReportedWorld(records=2))
    assert answer.word == "yes"
    assert "only the gateway vouches" in answer.reason
    assert answer.facts == (f"gateway {ORIGIN}/gateway signed what was reported to it",)


def test_a_gateway_whose_key_ended_before_the_receipt_vouches_for_nothing() -> None:
    world = ReportedWorld(records=2)
    received_s = START + 2 * INTERVAL + 2
    for until_s, word in ((received_s + 1, "yes"), (received_s, "no"), (START + 1, "no")):
        world.register(replace(world.gateway_registration, valid_until_s=until_s))
        answer = authentic(world)
        assert answer.word == word
        if word == "no":
            assert "was not valid any more at 2025-12-01T00:" in answer.reason


def test_a_stranger_is_no_gateway() -> None:
    world = ReportedWorld(records=2)
    del world.names[world.gateway_registration.registry_name]
    answer = authentic(world)
    assert (answer.word, answer.reason) == ("no", f"records.0: registry names no gateway {ORIGIN}/gateway")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"energy_mwh": 12_340_001}, "energy_kwh"),
        ({"export_mwh": 1}, "export_kwh"),
        ({"start_s": START - 1}, "interval_s"),
        ({"status": "estimated"}, "status"),
        ({"tags": ()}, "tags"),
        ({"channel": "onchain"}, "tx.channel"),
        ({"price_msat_per_kwh": 99_000, "tariff_version": None}, "tx.amount_msat"),
        ({"price_msat_per_kwh": None, "tariff_version": None}, "tx.amount_msat"),
    ],
    ids=str,
)
def test_a_report_is_told_as_it_was_received(changes: dict[str, Any], field: str) -> None:
    world = ReportedWorld(records=2)
    rewritten(world, 1, replace(world.record(1), **changes))
    answer = authentic(world)
    assert answer.word == "no"
    assert answer.reason.startswith(f"records.1: {field} says ")


def test_the_claim_of_a_report_may_not_be_left_out() -> None:
    world = ReportedWorld(records=2)
    record = world.record(0)
    rewritten(world, 0, replace(record, evidence=replace(record.evidence, claimed_power_mw=None)))
    assert authentic(world).reason.startswith('records.0: evidence.claims says null, but what was signed gives {"power')


def test_a_report_without_a_tariff_has_its_own_price() -> None:
    world = ReportedWorld(records=2)
    for place in range(2):
        rewritten(world, place, replace(world.record(place), tariff_version=None))
    assert authentic(world).word == "yes"


# --- devices ----------------------------------------------------------------------------------------------------------


def test_a_price_without_a_tariff_is_nobodys() -> None:
    world = World(records=2)
    rewritten(world, 1, replace(world.record(1), price_msat_per_kwh=1, tariff_version=None))
    answer = authentic(world)
    assert (answer.word, "tx.price_msat_per_kwh" in answer.reason) == ("no", True)
    for place in range(2):
        rewritten(world, place, replace(world.record(place), price_msat_per_kwh=None, tariff_version=None))
    assert authentic(world).word == "yes"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"energy_mwh": 1}, "energy_kwh"),
        ({"export_mwh": 1}, "export_kwh"),
        ({"status": "estimated"}, "status"),
        ({"tags": ("a",)}, "tags"),
        ({"channel": "internal"}, "tx.channel"),
    ],
    ids=str,
)
def test_a_record_says_what_was_signed(changes: dict[str, Any], field: str) -> None:
    world = World(records=2)
    rewritten(world, 1, replace(world.record(1), **changes))
    assert authentic(world).reason.startswith(f"records.1: {field} says ")


@pytest.mark.parametrize("kind", ["ocmf", "text"])
def test_evidence_that_cannot_be_checked_is_unknown(kind: str) -> None:
    world = World(records=2)
    record: Record = world.record(1)
    rewritten(world, 1, replace(record, evidence=replace(record.evidence, kind=kind)))
    answer = authentic(world)
    assert (answer.word, answer.reason) == (
        "unknown",
        f"records.1: this version cannot check evidence of the kind {kind}",
    )


def test_a_key_is_simulated_if_anybody_says_so() -> None:
    """The verifier vouches for a key that the log's registry calls simulated."""
    world = World(records=2, simulated_key=True)
    trust = trust_of(world.trust_text(keys=True))
    answer = verify(parse_bundle(to_file(world.bundle())), trust).authentic
    assert (answer.word, answer.simulated) == ("yes", True)
    assert "you vouch for it" in answer.facts[0]


def test_records_of_another_meter_are_refused() -> None:
    world = World(records=2)
    rewritten(world, 1, replace(world.record(1), site_id=f"{SITE}-2"))
    assert authentic(world).reason == "records.1: meter is another meter than the file says"


# --- what a file leaves out, and what it admits -----------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["tariff/", "meter/", "key/"])
def test_what_is_left_out_of_the_file_is_missed(prefix: str) -> None:
    world = World(records=2)
    bundle = without({**world.bundle(), "anchors": []}, prefix)
    answer = verify(parse_bundle(to_file(bundle)), trust_of(world.trust_text(keys=True))).authentic
    assert answer.word == "unknown"
    assert answer.reason.startswith("records.0: the file leaves out ")


def test_flags_of_a_device_stand_in_the_reason() -> None:
    world = World(records=3)
    resigned(world, FLAG_TAMPER | FLAG_REGISTER_RESET | FLAG_METER_UNREACHABLE | FLAG_CLOCK_UNSYNCED)
    answer = authentic(world)
    assert (answer.word, answer.caution) == ("yes", True)
    assert answer.reason.endswith(
        "; but a device reported a clock that was not set (4 times), a device reported a meter that did not answer "
        "(4 times), a device reported a register reset (4 times), a device reported tampering (4 times)"
    )
    assert not authentic(World(records=3)).caution


def test_a_report_about_another_meter_says_so() -> None:
    answer = authentic(OtherNames(records=2))
    assert (answer.word, answer.caution) == ("yes", True)
    assert answer.reason.endswith(
        "; but reported bytes name another meter, PLANT-01/gw-09/MTR-999; "
        "the gateway put them under PLANT-01/gw-01/MTR-001 (2 times)"
    )


def test_the_note_of_a_gateway_is_about_one_meter() -> None:
    """Else an operator could show a report under a meter that the gateway never put it under."""
    world = ReportedWorld(records=1)
    raw, _ = world.reported[0]
    text = reported_text(raw, "PLANT-01/gw-01/MTR-002", START + INTERVAL + 2).encode()
    world.reported[0] = raw, bytes(Note(text, (world.gateway.sign(text),)))
    world.items[world.record_indexes[0]].slots = world.slots(0)
    assert authentic(world).reason == "records.0: note the note of the gateway is about something else"


def test_a_record_that_is_ok_skips_no_reading() -> None:
    world = World(records=2)
    reading, _ = world.readings[1]
    skipped = replace(reading, seq=5)
    world.readings[1:] = [(skipped, world.device.sign(skipped))]
    world.records, world.record_indexes = 1, world.record_indexes[:1]
    item = world.items[world.record_indexes[0]]
    item.slots = world.slots(0)
    for status, word in (("ok", "no"), ("gap", "yes")):
        rewritten(world, 0, replace(world.record(0), status=status))
        assert authentic(world).word == word


# --- anything at all --------------------------------------------------------------------------------------------------


@FUZZ
@given(
    st.sampled_from(PLACES),
    json_values | st.sampled_from([0, 1, "", "AAAA", "\n", "a\n\n\u2014 b AAAAAAA=\n", [], {}]),
    st.data(),
)
def test_nothing_in_a_bundle_raises(
    place: tuple[str, tuple[str | int, ...]], value: object, data: st.DataObject
) -> None:
    name, path = place
    bundle = copy.deepcopy(BUNDLES[name])
    holder: Any = bundle
    for step in path[:-1]:
        holder = holder[step]
    before = holder[path[-1]]
    if isinstance(before, str) and before and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(before) - 1))
        value = before[:at] + data.draw(st.sampled_from("0aA=/ \n{\u00e9")) + before[at + 1 :]
    holder[path[-1]] = value
    written = outcome(jcs.dumps, bundle)
    parsed = written if isinstance(written, Refusal) else outcome(parse_bundle, written)
    if isinstance(parsed, Refusal):
        return
    trust = data.draw(st.sampled_from(sorted(TRUST)))
    verdicts = verify(parsed, trust_of(TRUST[trust]))
    assert all(answer.word in ("yes", "no", "unknown") and answer.reason for _, answer in verdicts.items())
    assert len(verdicts.items()) == len(NAMES)
