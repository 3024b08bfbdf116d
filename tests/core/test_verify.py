"""The five answers (docs/spec/proof.md §3): about an honest file, every changed value in it, and a lying operator."""

from __future__ import annotations

import base64
import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.core.world import DEVICE, INTERVAL, ORIGIN, SITE, START, World, pruned, to_file
from wattseal.core.bundle import parse_bundle
from wattseal.core.checkpoint import Checkpoint
from wattseal.core.entry import Slots
from wattseal.core.note import Note
from wattseal.core.refusal import Refusal
from wattseal.core.registry import Tariff
from wattseal.core.trust import Trust, parse_trust
from wattseal.core.verdict import EXIT_NO, EXIT_UNKNOWN, EXIT_YES, Verdicts
from wattseal.core.verify import verify

Path = tuple[str | int, ...]


def no_file(_name: str) -> bytes:
    raise Refusal("headers_file", "is not there")


def trust_of(world: World, *, last_seen: bytes | None = None) -> Trust:
    return parse_trust(world.trust_text(last_seen=last_seen), no_file)


def judge(bundle: dict[str, Any], trust: Trust) -> Verdicts:
    return verify(parse_bundle(to_file(bundle)), trust)


def words(verdicts: Verdicts) -> dict[str, str]:
    return {name: answer.word for name, answer in verdicts.items()}


@pytest.fixture(scope="module")
def honest() -> tuple[dict[str, Any], Trust]:
    world = World()
    return world.bundle(), trust_of(world)


# --- an honest file


def test_an_honest_file_is_believed_as_far_as_it_goes(honest: tuple[dict[str, Any], Trust]) -> None:
    verdicts = judge(*honest)
    assert words(verdicts) == {
        "authentic": "yes",
        "included": "yes",
        "complete": "yes",
        "anchored": "yes",
        "billed": "unknown",
    }
    assert verdicts.anchored.simulated
    assert not verdicts.authentic.simulated
    assert "no independent witness" in verdicts.included.reason
    assert "never registered" in verdicts.complete.reason
    assert verdicts.exit_code(("authentic", "included")) == EXIT_YES
    assert verdicts.without_simulated().exit_code(("anchored",)) == EXIT_UNKNOWN


def test_without_a_trust_file_nothing_is_believed_and_nothing_denied(honest: tuple[dict[str, Any], Trust]) -> None:
    verdicts = judge(honest[0], Trust())
    assert words(verdicts) == dict.fromkeys(("authentic", "included", "complete", "anchored", "billed"), "unknown")
    assert verdicts.exit_code(("authentic", "included")) == EXIT_UNKNOWN


def test_a_simulated_key_says_so() -> None:
    world = World(simulated_key=True)
    verdicts = judge(world.bundle(), trust_of(world))
    assert verdicts.authentic.word == "yes"
    assert verdicts.authentic.simulated
    assert verdicts.without_simulated().authentic.word == "unknown"


def test_a_key_of_the_trust_file_needs_no_registry() -> None:
    world = World()
    only_key = "version = 1\n[[device_key]]\n" + f'public_key = "{world.device.public.hex()}"\n'
    assert words(judge(world.bundle(), parse_trust(only_key, no_file)))["authentic"] == "unknown"
    only_key += f'site_id = "{SITE}"\niot_device_id = "{DEVICE}"\n'
    verdicts = judge(world.bundle(), parse_trust(only_key, no_file))
    assert words(verdicts)["authentic"] == "yes"
    assert words(verdicts)["included"] == "unknown"
    assert "you vouch" in verdicts.authentic.facts[0]


def test_part_of_a_log_is_complete_for_its_part() -> None:
    world = World()
    assert judge(world.bundle(places=range(3, 7)), trust_of(world)).complete.word == "yes"


# --- every changed value

OWNERS: dict[str, tuple[str, ...]] = {
    "meter": ("authentic",),
    "period": ("complete",),
    "checkpoint": ("included", "anchored"),
    "batch": ("included",),
    "registry": ("included",),
    "records": ("included",),
    "readings": ("authentic",),
    "anchors": ("anchored",),
    "hashes": ("included",),
}
"""The answer that must say no when a value under this member is changed; one of them, where two are named."""


def leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from leaves(item, (*path, place))
    else:
        yield path, value


def positions(bundle: dict[str, Any]) -> list[tuple[Path, int]]:
    """Every value, and within texts every character of it."""
    found: list[tuple[Path, int]] = []
    for path, value in leaves(bundle):
        found += [(path, at) for at in range(len(value))] if isinstance(value, str) else [(path, 0)]
    return found


def other(character: str, path: Path) -> str:
    """Another character of the same sort, so that the form stays and the meaning changes."""
    if character in "0123456789":
        return "1234567890"[int(character)]
    if character in "abcdef":
        return "bcdefa"["abcdef".index(character)]
    return "B" if character == "A" else "A"


def changed(bundle: dict[str, Any], path: Path, at: int) -> dict[str, Any]:
    mutant = copy.deepcopy(bundle)
    holder: Any = mutant
    for step in path[:-1]:
        holder = holder[step]
    value = holder[path[-1]]
    if isinstance(value, bool) or value is None:
        holder[path[-1]] = 1
    elif isinstance(value, int):
        holder[path[-1]] = value + 1
    elif path[0] == "readings":
        data = bytearray(base64.b64decode(value))
        data[at % len(data)] ^= 1 << at % 8
        holder[path[-1]] = base64.b64encode(data).decode()
    else:
        holder[path[-1]] = value[:at] + other(value[at], path) + value[at + 1 :]
    return mutant


def check_mutant(bundle: dict[str, Any], trust: Trust, path: Path, at: int) -> None:
    mutant = changed(bundle, path, at)
    try:
        parsed = parse_bundle(to_file(mutant))
    except Refusal:
        return  # unreadable, exit 2: the change broke the form
    verdicts = verify(parsed, trust)
    owners = OWNERS[str(path[0])]
    assert any(getattr(verdicts, owner).word == "no" for owner in owners), (path, at, words(verdicts))
    assert verdicts.exit_code(("authentic", "included")) == EXIT_NO


def test_a_changed_value_is_answered_by_the_verdict_it_belongs_to(
    honest: tuple[dict[str, Any], Trust], *, long: bool
) -> None:
    bundle, trust = honest
    every = positions(bundle)
    chosen = every if long else random.Random(20_251_201).sample(every, 300)
    for path, at in chosen:
        check_mutant(bundle, trust, path, at)


def test_most_changes_leave_the_file_readable(honest: tuple[dict[str, Any], Trust]) -> None:
    """So that the test above does not pass by calling everything unreadable."""
    bundle, _ = honest
    readable = 0
    sample = random.Random(7).sample(positions(bundle), 200)
    for path, at in sample:
        try:
            parse_bundle(to_file(changed(bundle, path, at)))
        except Refusal:
            continue
        readable += 1
    assert readable > 0.8 * len(sample)


def test_every_member_is_needed_and_no_other_is_allowed(honest: tuple[dict[str, Any], Trust]) -> None:
    bundle, _ = honest
    for name in bundle:
        with pytest.raises(Refusal):
            parse_bundle(to_file({key: value for key, value in bundle.items() if key != name}))
    with pytest.raises(Refusal, match="is no member"):
        parse_bundle(to_file({**bundle, "extra": 1}))


# --- a lying operator


def hide_a_record(world: World) -> dict[str, Any]:
    bundle = world.bundle()
    del bundle["records"][5]
    return pruned(bundle)


def drop_the_tail(world: World) -> dict[str, Any]:
    bundle = world.bundle()
    del bundle["records"][-2:]
    del bundle["readings"][-2:]
    return pruned(bundle)


def show_another_registry(world: World) -> dict[str, Any]:
    """The batch commits to one tariff, the file shows another that is in the log as well."""
    cheap = Tariff("flat", 1, SITE, 1_000, START)
    index = world.add(cheap.body(), secret=world.registry_secret)
    bundle = world.bundle()
    committed = world.names[cheap.registry_name]
    world.names[cheap.registry_name] = index
    for item in bundle["registry"]:
        if item["name"] == cheap.registry_name:
            item["entry"]["index"] = index
            item["entry"]["body"] = world.items[index].body.decode()
    world.names[cheap.registry_name] = committed
    return bundle


def edit_a_body(world: World) -> dict[str, Any]:
    bundle = world.bundle()
    record = bundle["records"][3]
    record["body"] = record["body"].replace('"energy_kwh":0.', '"energy_kwh":1.')
    return bundle


def log_more_energy_than_was_signed(world: World) -> dict[str, Any]:
    """The log, the registry and the checkpoint are in order; only the meter never said so."""
    item = world.items[world.record_indexes[3]]
    from wattseal.core.emlog import body

    item.body = body(replace(world.record(3), energy_mwh=9_000_000))
    return world.bundle()


def replay_a_reading(world: World) -> dict[str, Any]:
    """One interval is logged twice, to be billed twice."""
    again = world.add(world.items[world.record_indexes[3]].body, world.slots(3), world.secret)
    world.record_indexes[4] = again
    return world.bundle()


def swap_the_device_key(world: World) -> dict[str, Any]:
    """Somebody else's readings under the meter's name."""
    stranger = type(world.device)(99)
    world.readings = [(reading, stranger.sign(reading)) for reading, _ in world.readings]
    return world.bundle()


def use_a_key_after_its_end(world: World) -> dict[str, Any]:
    world.register(replace(world.key, valid_until_s=START + 4 * INTERVAL, reason="revoked"))
    return world.bundle()


def sign_for_a_meter_that_is_not_its_own(world: World) -> dict[str, Any]:
    world.register(replace(world.meter, kids=(bytes(16),)))
    return world.bundle()


LIES: list[tuple[Callable[[World], dict[str, Any]], str]] = [
    (hide_a_record, "complete"),
    (drop_the_tail, "complete"),
    (show_another_registry, "included"),
    (edit_a_body, "included"),
    (log_more_energy_than_was_signed, "authentic"),
    (replay_a_reading, "complete"),
    (swap_the_device_key, "authentic"),
    (use_a_key_after_its_end, "authentic"),
    (sign_for_a_meter_that_is_not_its_own, "authentic"),
]


@pytest.mark.parametrize(("lie", "owner"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_each_lie_is_named_by_its_verdict(lie: Callable[[World], dict[str, Any]], owner: str) -> None:
    world = World()
    verdicts = judge(lie(world), trust_of(world))
    assert getattr(verdicts, owner).word == "no", verdicts
    assert verdicts.exit_code(("authentic", "included")) == EXIT_NO


def checkpoint_of(world: World) -> bytes:
    world.close()
    return world.sign_checkpoint()


def test_a_fork_is_found_by_who_saw_the_other_branch() -> None:
    world, fork = World(), World()
    seen = checkpoint_of(world)
    fork.items[fork.record_indexes[2]].body = fork.items[fork.record_indexes[1]].body
    fork.close()
    size = Checkpoint.parse(Note.parse(seen).text).size
    answer = judge(fork.bundle(since=size), trust_of(fork, last_seen=seen)).included
    assert answer.word == "no"
    assert answer.reason.startswith("consistency")


def test_a_restored_backup_is_found_by_who_saw_more() -> None:
    """The operator lost the tail and goes on from an older state, with other entries at the same places."""
    world, restored = World(records=12), World(records=6)
    seen = checkpoint_of(world)
    answer = judge(restored.bundle(), trust_of(restored, last_seen=seen)).included
    assert answer.word == "unknown"
    assert "--since" in answer.reason


def test_a_log_that_grew_is_consistent_with_what_was_seen() -> None:
    world = World()
    seen = checkpoint_of(world)
    size = Checkpoint.parse(Note.parse(seen).text).size
    verdicts = judge(world.bundle(since=size), trust_of(world, last_seen=seen))
    assert verdicts.included.word == "yes"
    assert f"size {size}" in " ".join(verdicts.included.facts)


def test_a_consistency_proof_about_another_size_does_not_count() -> None:
    world = World()
    seen = checkpoint_of(world)
    size = Checkpoint.parse(Note.parse(seen).text).size
    assert judge(world.bundle(since=size - 1), trust_of(world, last_seen=seen)).included.word == "no"


def test_an_entry_from_another_place_does_not_count() -> None:
    world = World()
    bundle = world.bundle()
    bundle["records"][2]["index"], bundle["records"][3]["index"] = 8, 7
    assert judge(bundle, trust_of(world)).included.word == "no"


def test_a_checkpoint_by_another_key_under_the_same_name_is_refused() -> None:
    world = World()
    bundle = world.bundle()
    stranger = World()
    stranger.log_signer = type(stranger.log_signer)(ORIGIN, bytes([77]) * 32)
    answer = judge(bundle, parse_trust(stranger.trust_text(), no_file)).included
    assert answer.word == "no"
    assert "none is by a trusted key" in answer.reason


def test_slots_that_are_swapped_do_not_pass() -> None:
    world = World()
    item = world.items[world.record_indexes[2]]
    item.slots = Slots(item.slots.end, item.slots.start)
    assert judge(world.bundle(), trust_of(world)).authentic.word == "no"


def test_readings_that_belong_to_no_record_are_named() -> None:
    world = World()
    bundle = world.bundle(places=range(4))
    bundle["readings"].append(base64.b64encode(world.readings[7][1]).decode())
    assert judge(bundle, trust_of(world)).authentic.word == "no"


def test_the_device_is_named() -> None:
    world = World()
    bundle = world.bundle()
    assert bundle["meter"]["iot_device_id"] == DEVICE
