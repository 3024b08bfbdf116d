from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.core.make_body_vectors import METER as A_METER
from tests.core.make_body_vectors import PARSERS, changed
from tests.core.make_log_vectors import _consistency, _inclusion
from tests.core.make_vectors import load
from tests.core.refused import refused
from wattseal.core.checkpoint import open_checkpoint
from wattseal.core.note_key import Ed25519Signer, Verifier
from wattseal.core.refusal import Refusal
from wattseal.core.registration import parse_registration
from wattseal.core.registry import map_key
from wattseal.core.sorted_map import (
    AbsenceProof,
    MapRoot,
    MemberProof,
    Neighbour,
    map_root,
    verify_absent,
    verify_member,
)

VECTORS = load("log")
TREE, CHECKPOINT, REGISTRY = VECTORS["tree"], VECTORS["checkpoint"], VECTORS["registry"]


def rfc6962_root(leaves: list[bytes]) -> bytes:
    """MTH as RFC 6962 §2.1 defines it, over leaves that are hashed already."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + rfc6962_root(leaves[:half]) + rfc6962_root(leaves[half:])).digest()


def audit_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH as RFC 6962 §2.1.1 defines it."""
    if len(leaves) <= 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*audit_path(index, leaves[:half]), rfc6962_root(leaves[half:])]
    return [*audit_path(index - half, leaves[half:]), rfc6962_root(leaves[:half])]


def consistency(old: int, leaves: list[bytes], *, whole: bool = True) -> list[bytes]:
    """SUBPROOF as RFC 6962 §2.1.2 defines it."""
    if old == len(leaves):
        return [] if whole else [rfc6962_root(leaves)]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if old <= half:
        return [*consistency(old, leaves[:half], whole=whole), rfc6962_root(leaves[half:])]
    return [*consistency(old - half, leaves[half:], whole=False), rfc6962_root(leaves[:half])]


LEAVES = [hashlib.sha256(b"\0" + bytes.fromhex(entry)).digest() for entry in TREE["entries"]]


def hexes(values: list[bytes]) -> list[str]:
    return [value.hex() for value in values]


def test_leaves_and_roots() -> None:
    assert hexes(LEAVES) == TREE["leaves"]
    for case in TREE["roots"]:
        assert rfc6962_root(LEAVES[: case["size"]]).hex() == case["root"]


def test_inclusion() -> None:
    for case in TREE["inclusion"]:
        _inclusion(case)
        leaves = LEAVES[: case["size"]]
        assert hexes(audit_path(case["index"], leaves)) == case["path"]
        assert case["root"] == rfc6962_root(leaves).hex()
        assert case["leaf"] == leaves[case["index"]].hex()


def test_consistency() -> None:
    for case in TREE["consistency"]:
        _consistency(case)
        assert hexes(consistency(case["old_size"], LEAVES[: case["new_size"]])) == case["path"]


@pytest.mark.parametrize(("part", "verify"), [("inclusion", _inclusion), ("consistency", _consistency)])
def test_proofs_that_are_refused(part: str, verify: Callable[[dict[str, Any]], None]) -> None:
    for case in TREE[f"{part}_invalid"]:
        assert refused(verify, case) == {"field": case["field"], "reason": case["reason"]}


def test_the_checkpoint() -> None:
    signer = Ed25519Signer.from_skey(CHECKPOINT["skey"])
    assert signer.verifier.vkey == CHECKPOINT["vkey"]
    opened = open_checkpoint(CHECKPOINT["note"].encode(), signer.verifier)
    assert (opened.checkpoint.origin, opened.checkpoint.size) == (CHECKPOINT["origin"], CHECKPOINT["size"])
    assert opened.checkpoint.root.hex() == CHECKPOINT["root"] == TREE["roots"][-1]["root"]
    assert opened.checkpoint.digest().hex() == CHECKPOINT["digest"]
    assert hashlib.sha256(CHECKPOINT["body"].encode()).hexdigest() == CHECKPOINT["digest"]
    witness = Verifier.from_vkey(CHECKPOINT["witness"]["vkey"])
    cosigned = open_checkpoint(CHECKPOINT["witness"]["note"].encode(), signer.verifier, (witness,))
    assert [(line.verifier, line.time) for line in cosigned.cosignatures] == [
        (witness, CHECKPOINT["witness"]["time_s"])
    ]
    assert cosigned.checkpoint == opened.checkpoint


def test_the_signature_written_out() -> None:
    """C2SP signed-note, by hand: the key id, and Ed25519 over the text."""
    name, key_id, secret = CHECKPOINT["skey"].removeprefix("PRIVATE+KEY+").split("+", 2)
    private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret)[1:])
    public = private.public_key().public_bytes_raw()
    assert hashlib.sha256(name.encode() + b"\n\x01" + public).hexdigest()[:8] == key_id
    material = base64.b64encode(b"\x01" + public).decode()
    assert CHECKPOINT["vkey"] == f"{name}+{key_id}+{material}"
    text = CHECKPOINT["body"]
    root = base64.b64encode(bytes.fromhex(CHECKPOINT["root"])).decode()
    assert text == f"{CHECKPOINT['origin']}\n{CHECKPOINT['size']}\n{root}\n"
    line = base64.b64encode(bytes.fromhex(key_id) + private.sign(text.encode())).decode()
    assert CHECKPOINT["note"] == f"{text}\n\u2014 {name} {line}\n"


@pytest.mark.parametrize("case", CHECKPOINT["invalid"], ids=lambda case: case["name"])
def test_checkpoints_that_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        open_checkpoint(case["note"].encode(), Verifier.from_vkey(CHECKPOINT["vkey"]))
    assert (caught.value.field, caught.value.reason) == (case["field"], case["reason"])


def _member(case: dict[str, Any]) -> tuple[bytes, bytes, MemberProof]:
    path = tuple(bytes.fromhex(value) for value in case["path"])
    return bytes.fromhex(case["key"]), bytes.fromhex(case["value"]), MemberProof(case["index"], path)


COMMITMENT = MapRoot(REGISTRY["size"], bytes.fromhex(REGISTRY["root"]))


def test_the_registry_map() -> None:
    pairs = sorted((bytes.fromhex(case["key"]), bytes.fromhex(case["value"])) for case in REGISTRY["members"])
    leaves = [hashlib.sha256(b"\0wattseal/map/1\n" + key + value).digest() for key, value in pairs]
    assert rfc6962_root(leaves).hex() == REGISTRY["root"]
    assert map_root(pairs) == COMMITMENT
    for case in REGISTRY["members"]:
        key, value, proof = _member(case)
        assert hashlib.sha256(b"wattseal/registry/1\n" + case["name"].encode()).digest() == key == map_key(case["name"])
        assert pairs[case["index"]] == (key, value)
        assert audit_path(case["index"], leaves) == list(proof.path)
        verify_member(COMMITMENT, key, value, proof)
    assert REGISTRY["empty"] == {"size": 0, "root": hashlib.sha256(b"").hexdigest()}


def test_what_the_registry_map_lacks() -> None:
    for case in REGISTRY["absent"]:
        sides = [None if side is None else Neighbour(*_member(side)) for side in (case["left"], case["right"])]
        assert map_key(case["name"]).hex() == case["key"]
        assert case["key"] not in [member["key"] for member in REGISTRY["members"]]
        verify_absent(COMMITMENT, bytes.fromhex(case["key"]), AbsenceProof(*sides))


@pytest.mark.parametrize("case", REGISTRY["members_invalid"], ids=lambda case: case["name"])
def test_members_that_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        verify_member(COMMITMENT, *_member(case))
    assert (caught.value.field, caught.value.reason) == (case["field"], case["reason"])


@pytest.mark.parametrize("case", VECTORS["bodies"], ids=lambda case: case["name"])
def test_bodies(case: dict[str, Any]) -> None:
    data = case["body"].encode()
    assert rfc8785.dumps(json.loads(data)) == data
    assert json.loads(data)["schema_version"] == case["schema"]
    if case["schema"] in PARSERS:
        assert PARSERS[case["schema"]](data).body() == data
    if case["registry_name"] is not None:
        assert parse_registration(case["registry_name"], data).body() == data


@pytest.mark.parametrize("case", VECTORS["bodies_invalid"], ids=lambda case: case["name"])
def test_bodies_that_are_refused(case: dict[str, Any]) -> None:
    assert refused(PARSERS[case["schema"]], case["body"].encode()) == {
        "field": case["field"],
        "reason": case["reason"],
    }


def test_a_key_with_a_plus_sign_is_named_by_its_id() -> None:
    case = VECTORS["bodies"][0]
    name, key_id, key = json.loads(case["body"])["vkey"].split("+", 2)
    assert "+" in key
    assert case["registry_name"] == f"signer/{name}+{key_id}"


def test_the_change_of_a_body_keeps_its_form() -> None:
    assert changed(A_METER, {}) == A_METER.body()
