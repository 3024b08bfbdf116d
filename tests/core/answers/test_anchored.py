"""Several anchors in one bundle, and beacons (docs/spec/proof.md §3.4); the check itself is in test_anchor_check.py."""

from __future__ import annotations

from typing import Any

from tests.core.bundle_samples import BUNDLES, TRUST
from tests.core.make_bundle_vectors import flipped, patched, put, trust_of
from tests.core.world import World, to_file
from wattseal.core.bundle import parse_bundle
from wattseal.core.verdict import Answer
from wattseal.core.verify import verify

DEVICE = BUNDLES["device"]
GOOD: dict[str, Any] = DEVICE["anchors"][0]
FALSE: dict[str, Any] = {**GOOD, "tx": flipped(GOOD["tx"], 100)}
UNDECIDED: dict[str, Any] = {**GOOD, "chain": "bitcoin"}


def anchored(*anchors: dict[str, Any], trust: str = "device") -> Answer:
    bundle = patched(DEVICE, [put(list(anchors), "anchors")])
    return verify(parse_bundle(to_file(bundle)), trust_of(TRUST[trust])).anchored


def test_the_best_anchor_counts() -> None:
    assert anchored(GOOD) == anchored(GOOD, GOOD)
    assert anchored(GOOD).word == "yes"
    assert anchored().word == "unknown"
    assert anchored(GOOD, trust="log alone").word == "unknown"


def test_an_anchor_that_nobody_can_check_takes_nothing_from_another() -> None:
    undecided = anchored(UNDECIDED)
    assert undecided.word != "yes"
    if undecided.word == "unknown":
        assert anchored(UNDECIDED, GOOD).word == anchored(GOOD, UNDECIDED).word == "yes"


def test_a_false_anchor_is_a_no_whatever_stands_beside_it() -> None:
    for anchors in ((FALSE,), (GOOD, FALSE), (FALSE, GOOD)):
        answer = anchored(*anchors)
        assert (answer.word, answer.simulated) == ("no", True)
        assert "branch" in answer.reason


def test_beacons_say_after_which_block_the_readings_were_signed() -> None:
    height = World(records=1).readings[0][0].beacon
    assert height is not None
    answer = anchored(GOOD)
    assert answer.reason.endswith(f"; every reading was signed after block {height.height}")
    assert "commits to it; the block's own time is 20" in answer.reason
    assert answer.facts[0].endswith(" confirmations")


def test_a_beacon_of_an_unknown_block_says_nothing() -> None:
    height = World(records=1).readings[0][0].beacon
    assert height is not None
    lines = [line for line in TRUST["device"].split("\n") if f"height = {height.height}," not in line]
    assert len(lines) == len(TRUST["device"].split("\n")) - 1
    answer = verify(parse_bundle(to_file(DEVICE)), trust_of("\n".join(lines))).anchored
    assert answer.word == "yes"
    assert "signed after" not in answer.reason
