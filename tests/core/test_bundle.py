from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.bundle_samples import BUNDLES
from tests.core.make_bundle_vectors import patched, put
from tests.core.refused import outcome, refusal_of
from tests.core.strategies import FUZZ, json_values
from tests.core.world import to_file
from wattseal.core import jcs
from wattseal.core.bundle import MAX_BUNDLE_BYTES, Bundle, Leaf, parse_bundle
from wattseal.core.refusal import Refusal
from wattseal.core.units import rfc3339

HONEST = ("device", "import", "reported", "grown")


def written(bundle: Bundle) -> dict[str, Any]:
    """The file of a parsed bundle: what `parse_bundle` must not have lost."""
    hashes: dict[bytes, int] = {}

    def refer(path: tuple[bytes, ...]) -> list[int]:
        return [hashes.setdefault(value, len(hashes)) for value in path]

    def entry(leaf: Leaf) -> dict[str, Any]:
        salts, slots = leaf.salts, leaf.slots
        return {
            "index": leaf.index,
            "salts": [salts.entry.hex(), salts.body.hex(), salts.reading.hex()],
            "slots": [slots.start.hex(), slots.end.hex()],
            "body": leaf.body.decode(),
            "path": refer(leaf.path),
        }

    proof = bundle.consistency
    document = {
        "format": "wattseal-bundle-1",
        "meter": {"site_id": bundle.site_id, "iot_device_id": bundle.iot_device_id, "meter_id": bundle.meter_id},
        "period": {"from": rfc3339(bundle.from_s), "to": rfc3339(bundle.to_s)},
        "checkpoint": bundle.checkpoint.decode(),
        "consistency": None if proof is None else {"size": proof.size, "path": refer(proof.path)},
        "batch": entry(bundle.batch),
        "registry": [
            {
                "name": item.name,
                "map_index": item.map_index,
                "map_path": refer(item.map_path),
                "entry": entry(item.leaf),
            }
            for item in bundle.registry
        ],
        "statements": [{"note": item.note.decode(), "entry": entry(item.leaf)} for item in bundle.statements],
        "records": [entry(leaf) for leaf in bundle.records],
        "readings": [base64.b64encode(data).decode() for data in bundle.readings],
        "reported": [
            {"raw": base64.b64encode(item.raw).decode(), "note": item.note.decode()} for item in bundle.reported
        ],
        "anchors": [evidence.to_json() for evidence in bundle.anchors],
        "bill": None,
    }
    return {**document, "hashes": [value.hex() for value in hashes]}


@pytest.mark.parametrize("name", HONEST)
def test_a_bundle_is_read_back(name: str) -> None:
    bundle = parse_bundle(to_file(BUNDLES[name]))
    again = written(bundle)
    assert parse_bundle(to_file(again)) == bundle
    assert len(again["hashes"]) == len(BUNDLES[name]["hashes"])
    for part in set(again) - {"hashes", "batch", "registry", "statements", "records", "consistency"}:
        assert again[part] == BUNDLES[name][part]


def test_members_may_stand_in_any_order_and_with_white_space() -> None:
    bundle = BUNDLES["device"]
    shuffled = json.dumps(dict(reversed(bundle.items())), indent=4).encode()
    assert parse_bundle(shuffled) == parse_bundle(to_file(bundle))


def test_entries_are_recomputed_from_their_parts() -> None:
    bundle = parse_bundle(to_file(patched(BUNDLES["device"], [put("changed", "records", 0, "body")])))
    honest = parse_bundle(to_file(BUNDLES["device"]))
    assert bundle.records[0].entry != honest.records[0].entry
    assert bundle.records[0].leaf_hash != honest.records[0].leaf_hash
    assert bundle.path == "PLANT-01/gw-01/MTR-001"


# --- anything at all --------------------------------------------------------------------------------------------------


@FUZZ
@given(st.binary(max_size=60) | json_values.map(jcs.dumps))
@example(b"{}")
@example(b'{"format":"wattseal-bundle-1"}')
@example(b"[" * 1_000_000)
def test_any_bytes_are_refused(data: bytes) -> None:
    assert isinstance(outcome(parse_bundle, data), Refusal)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of all values in it."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        found += places(item, (*path, step))
    return found


PLACES = [(name, path) for name in HONEST for path in places(BUNDLES[name])]


@FUZZ
@given(
    st.sampled_from(PLACES),
    json_values | st.sampled_from([0, -1, 2**53 - 1, True, "", "00", "=", [0], [0] * 64, "\u00e9"]),
)
def test_any_value_in_the_place_of_another_is_read_or_refused(
    place: tuple[str, tuple[str | int, ...]], value: object
) -> None:
    name, path = place
    bundle = copy.deepcopy(BUNDLES[name])
    holder: Any = bundle
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    data = outcome(jcs.dumps, bundle)
    if isinstance(data, Refusal):
        return
    found = outcome(parse_bundle, data)
    if isinstance(found, Refusal):
        # Without its hashes a bundle's first path is at fault.
        assert path[0] == "hashes" or found.field.split(".")[0] in {str(path[0]), "hashes"}
        assert found.field.isprintable()
    else:
        assert parse_bundle(to_file(written(found))) == found


@FUZZ
@given(st.integers(0, len(to_file(BUNDLES["import"])) - 1), st.integers(1, 255))
def test_a_changed_byte_is_read_or_refused(at: int, change: int) -> None:
    data = bytearray(to_file(BUNDLES["import"]))
    data[at] ^= change
    found = outcome(parse_bundle, bytes(data))
    assert isinstance(found, Refusal) or parse_bundle(to_file(written(found))) == found


# --- bounds -----------------------------------------------------------------------------------------------------------


def field_of(name: str, value: object, *path: str | int) -> str:
    return refusal_of(parse_bundle, to_file(patched(BUNDLES[name], [put(value, *path)]))).field


def test_lengths_are_bounded() -> None:
    assert refusal_of(parse_bundle, b" " * (MAX_BUNDLE_BYTES + 1)).reason == "is longer than 67108864 bytes"
    assert field_of("device", "c" * (2**16 + 1), "checkpoint") == "checkpoint"
    assert field_of("device", ["00"] * 17, "anchors") == "anchors"
    assert field_of("device", "b" * 65_537, "records", 0, "body") == "records.0.body"
    assert field_of("device", "n" * 2_049, "registry", 0, "name") == "registry.0.name"
    assert field_of("reported", base64.b64encode(bytes(16_387)).decode(), "reported", 0, "raw") == "reported.0.raw"
    assert field_of("import", "n" * (2**16 + 1), "statements", 0, "note") == "statements.0.note"
    assert field_of("device", 2**53, "records", 0, "index") == "records.0.index"


def test_a_refusal_names_the_place() -> None:
    assert field_of("device", [1, 2], "records", 2, "salts") == "records.2.salts"
    assert field_of("device", ["00" * 32], "batch", "slots") == "batch.slots"
    assert field_of("device", [99], "registry", 1, "map_path") == "registry.1.map_path"
    assert field_of("device", [99], "registry", 1, "entry", "path") == "registry.1.entry.path"
    assert field_of("grown", [99], "consistency", "path") == "consistency.path"
    assert field_of("device", "00", "anchors", 0, "headers") == "anchors.0.headers"
    assert field_of("device", 1, "n" * 1_000) == "n" * 64
