"""Whose word a device key stands on, where the log is not known (docs/spec/proof.md §3.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.make_bundle_vectors import trust_of
from tests.core.world import DEVICE, INTERVAL, METER, SITE, START, World, to_file
from wattseal.core.bundle import parse_bundle
from wattseal.core.verify import verify

ELSEWHERE = f'version = 1\n[[device_key]]\npublic_key = "{World(records=1).device.public.hex()}"\n'
HERE = f'{ELSEWHERE}site_id = "{SITE}"\niot_device_id = "{DEVICE}"\n'


@pytest.mark.parametrize(
    ("trust", "word"),
    [
        (ELSEWHERE, "unknown"),
        (f'{ELSEWHERE}site_id = "{SITE}"\n', "unknown"),
        (f'{ELSEWHERE}iot_device_id = "{DEVICE}"\n', "unknown"),
        (HERE, "yes"),
        (f'{HERE}meter_id = "{METER}"\n', "yes"),
        (f'{HERE}meter_id = "MTR-9"\n', "no"),
        (HERE.replace(SITE, "VILLA-99"), "no"),
    ],
)
def test_a_reading_names_no_site_so_somebody_must(trust: str, word: str) -> None:
    assert verify(parse_bundle(to_file(World(records=2).bundle())), trust_of(trust)).authentic.word == word


@pytest.mark.parametrize(
    ("changes", "word", "simulated"),
    [
        ({}, "yes", False),
        ({"simulated": True}, "yes", True),
        ({"valid_until_s": START + INTERVAL, "reason": "revoked"}, "no", False),
        ({"valid_from_s": START + 1}, "no", False),
        ({"reason": "revoked"}, "no", False),
        ({"serial": b"another"}, "no", False),
        ({"site_id": "VILLA-99"}, "yes", False),
    ],
    ids=str,
)
def test_what_a_file_admits_of_a_key_holds_against_it(changes: dict[str, Any], word: str, simulated: bool) -> None:
    """Nobody knows the log, so nothing in the file's registry speaks for the key."""
    world = World(records=2)
    world.register(replace(world.key, **changes))
    answer = verify(parse_bundle(to_file(world.bundle())), trust_of(HERE)).authentic
    assert (answer.word, answer.simulated) == (word, simulated)


def test_a_revoked_key_without_an_end_was_never_valid() -> None:
    world = World(records=2)
    world.register(replace(world.key, reason="revoked"))
    answer = verify(parse_bundle(to_file(world.bundle())), trust_of(world.trust_text())).authentic
    assert (answer.word, "was not valid any more" in answer.reason) == ("no", True)
