from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from tests.core import second_opinion
from tests.core.make_bundle_vectors import patched, trust_of
from tests.core.make_vectors import load
from tests.core.refused import refused
from tests.core.world import to_file
from wattseal.core.bundle import parse_bundle
from wattseal.core.verdict import NAMES, Verdicts
from wattseal.core.verify import verify

VECTORS = load("bundle")
STRENGTH = ("yes", "unknown", "no")


def judge(case: dict[str, Any]) -> Verdicts:
    bundle = patched(VECTORS["bundles"][case["bundle"]], case.get("patches", []))
    return verify(parse_bundle(to_file(bundle)), trust_of(case["trust"] and VECTORS["trust"][case["trust"]]))


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_cases(case: dict[str, Any]) -> None:
    verdicts = judge(case)
    assert {name: answer.word for name, answer in verdicts.items()} == case["expect"]
    assert [name for name, answer in verdicts.items() if answer.simulated] == case["simulated"]
    assert {name: answer.reason for name, answer in verdicts.items()} == case["reasons"]
    if case["bundle"] == "reported":
        assert case["expect"]["complete"] != "yes"
    if case["trust"] is None:
        assert set(case["expect"].values()) == {"unknown"}


def test_every_answer_is_seen_in_every_way_that_it_can_have() -> None:
    seen = {name: {case["expect"][name] for case in VECTORS["cases"]} for name in NAMES}
    assert seen == {name: set(STRENGTH) for name in NAMES} | {"billed": {"unknown", "no"}}


@pytest.mark.parametrize("case", VECTORS["exits"], ids=lambda case: case["name"])
def test_exits(case: dict[str, Any]) -> None:
    verdicts = judge(case)
    shown = verdicts if case["allow_simulated"] else verdicts.without_simulated()
    assert shown.exit_code(case["require"]) == case["exit"]
    words = {
        name: "unknown" if answer.simulated and answer.word == "yes" and not case["allow_simulated"] else answer.word
        for name, answer in verdicts.items()
    }
    satisfied = all(words[name] == "yes" for name in case["require"])
    assert case["exit"] == (1 if "no" in words.values() else 0 if satisfied else 3)


@pytest.mark.parametrize("case", VECTORS["unreadable"], ids=lambda case: case["name"])
def test_unreadable(case: dict[str, Any]) -> None:
    data = case["text"].encode() if "text" in case else b""
    if "bundle" in case:
        data = to_file(patched(VECTORS["bundles"][case["bundle"]], case["patches"]))
    assert refused(parse_bundle, data) == {"field": case["field"], "reason": case["reason"]}


@pytest.mark.parametrize("case", VECTORS["trust_unreadable"], ids=lambda case: case["name"])
def test_trust_that_is_unreadable(case: dict[str, Any]) -> None:
    assert refused(trust_of, case["text"]) == {"field": case["field"], "reason": case["reason"]}


@pytest.mark.parametrize("name", ["device", "import", "reported"])
def test_honest_bundles_written_out(name: str) -> None:
    """Entries, paths and records once more, with hashlib and the second opinion alone."""
    bundle = VECTORS["bundles"][name]
    hashes = [bytes.fromhex(value) for value in bundle["hashes"]]
    origin, size, root = bundle["checkpoint"].split("\n")[:3]
    registered = [item["entry"] for item in bundle["registry"]]
    stated = [item["entry"] for item in bundle["statements"]]
    entries = [*bundle["records"], *registered, *stated, bundle["batch"]]
    for entry in entries:
        node = hashlib.sha256(b"\0" + second_opinion.entry(entry["salts"], entry["body"].encode(), entry["slots"]))
        path = [hashes[place] for place in entry["path"]]
        assert climbed(node.digest(), entry["index"], int(size), path) == base64.b64decode(root)
    batch = json.loads(bundle["batch"]["body"])
    assert (batch["origin"], batch["last_index"]) == (origin, int(size) - 1)
    for item in bundle["registry"]:
        key = hashlib.sha256(b"wattseal/registry/1\n" + item["name"].encode()).digest()
        entry = item["entry"]
        value = second_opinion.entry(entry["salts"], entry["body"].encode(), entry["slots"])
        node = hashlib.sha256(b"\0wattseal/map/1\n" + key + value)
        path = [hashes[place] for place in item["map_path"]]
        found = climbed(node.digest(), item["map_index"], batch["registry"]["size"], path)
        assert found.hex() == batch["registry"]["root"]
    assert all(second_opinion.record(record["body"].encode()) for record in bundle["records"])


def climbed(node: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """RFC 9162 §2.1.3.2, word for word."""
    first, second = index, size - 1
    for sibling in path:
        assert second > 0
        if first & 1 or first == second:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while not first & 1 and first:
                first, second = first >> 1, second >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        first, second = first >> 1, second >> 1
    assert second == 0
    return node


def test_the_records_of_the_device_follow_from_its_readings() -> None:
    bundle = VECTORS["bundles"]["device"]
    key = next(json.loads(item["entry"]["body"]) for item in bundle["registry"] if item["name"].startswith("key/"))
    readings = {}
    for text in bundle["readings"]:
        data = base64.b64decode(text)
        parts = second_opinion.reading(data)
        assert parts is not None
        assert parts[0].hex() == key["kid"] == hashlib.sha256(bytes.fromhex(key["public_key"])).hexdigest()[:32]
        assert second_opinion.signature_is_good(data, bytes.fromhex(key["public_key"]))
        readings[hashlib.sha256(parts[1]).hexdigest()] = second_opinion.payload_fields(parts[1])
    assert len(readings) == len(bundle["records"]) + 1
    for record in bundle["records"]:
        start, end = (readings[slot] for slot in record["slots"])
        assert start is not None
        assert end is not None
        body = json.loads(record["body"])
        assert round(body["energy_kwh"] * 10**6) == end["import_mwh"] - start["import_mwh"]
        assert body["interval_s"] == end["time_s"] - start["time_s"]
        assert body["evidence"]["seq"] == [start["seq"], end["seq"]]
        assert end["prev"] == record["slots"][0]


def test_the_evidence_of_reported_records() -> None:
    bundle = VECTORS["bundles"]["reported"]
    digests = [
        [hashlib.sha256(base64.b64decode(item["raw"])).hexdigest(), hashlib.sha256(item["note"].encode()).hexdigest()]
        for item in bundle["reported"]
    ]
    assert [record["slots"] for record in bundle["records"]] == digests


def test_the_source_of_imported_records() -> None:
    bundle = VECTORS["bundles"]["import"]
    entry = bundle["statements"][0]["entry"]
    source = second_opinion.entry(entry["salts"], entry["body"].encode(), entry["slots"]).hex()
    assert {json.loads(record["body"])["evidence"]["source"] for record in bundle["records"]} == {source}
    note = bundle["statements"][0]["note"].encode()
    assert entry["slots"] == ["00" * 32, hashlib.sha256(note).hexdigest()]
