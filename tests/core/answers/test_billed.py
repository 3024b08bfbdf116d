"""Quotes and the tariff versions that they name (docs/spec/proof.md §3.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.make_bundle_vectors import trust_of
from tests.core.vouched_world import rewritten
from tests.core.world import DEVICE, METER, START, World, to_file
from wattseal.core.bundle import parse_bundle
from wattseal.core.verdict import Answer
from wattseal.core.verify import verify


def billed(world: World) -> Answer:
    return verify(parse_bundle(to_file(world.bundle())), trust_of(world.trust_text())).billed


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "unknown"),
        ({"meters": (f"{DEVICE}/{METER}",)}, "unknown"),
        ({"meters": (f"{DEVICE}/other", f"{DEVICE}/{METER}")}, "unknown"),
        ({"meters": (f"{DEVICE}/other",)}, "no"),
        ({"meters": (f"other/{METER}",)}, "no"),
        ({"site_id": "PLANT-02"}, "no"),
        ({"valid_from_s": START + 1}, "no"),
        ({"price_msat_per_kwh": 99_999}, "no"),
    ],
    ids=str,
)
def test_a_quote_is_that_of_its_tariff(changes: dict[str, Any], word: str) -> None:
    world = World(records=2)
    world.register(replace(world.tariff, **changes))
    answer = billed(world)
    assert answer.word == word
    if word == "no":
        assert answer.reason == "records.0: the quote is not that of the tariff flat/1"


def test_a_quote_of_a_tariff_that_is_not_shown_is_unknown() -> None:
    world = World(records=2)
    rewritten(world, 1, replace(world.record(1), price_msat_per_kwh=1, tariff_version="other/1"))
    assert billed(world).word == "unknown"


def test_a_record_that_cannot_be_read_has_no_quote() -> None:
    world = World(records=2)
    world.items[world.record_indexes[1]].body = b"{}"
    answer = billed(world)
    assert (answer.word, answer.reason) == ("no", "records.1: energy_kwh: is missing")
