"""Makes vectors/log.json; `python -m tests.core.make_vectors` writes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any, Final

from tests.core import make_body_vectors
from tests.core.refused import refused
from tests.core.world import ORIGIN, World
from wattseal.core.checkpoint import Checkpoint, open_checkpoint
from wattseal.core.merkle import (
    Frontier,
    consistency_path,
    inclusion_path,
    leaf_hashes,
    verify_consistency,
    verify_inclusion,
)
from wattseal.core.note import Note
from wattseal.core.note_key import CosignatureV1Signer, Ed25519Signer
from wattseal.core.registry import map_key
from wattseal.core.sorted_map import AbsenceProof, MapRoot, MemberProof, Neighbour, SortedMap, verify_member

ENTRIES: Final = [hashlib.sha256(f"entry {number}".encode()).digest() for number in range(11)]
LEAVES: Final = leaf_hashes(ENTRIES)
LEVELS: Final = Frontier().extend(LEAVES)
LOG: Final = Ed25519Signer("log.example/vectors", bytes([6]) * 32)
STRANGER: Final = Ed25519Signer("log.example/vectors", bytes([7]) * 32)
WITNESS: Final = CosignatureV1Signer("witness.example/vectors", bytes([8]) * 32)


def _node(level: int, index: int) -> bytes:
    return LEVELS[level][index]


def _root(size: int) -> bytes:
    tree = Frontier()
    tree.extend(LEAVES[:size])
    return tree.root()


def _hex(path: list[bytes] | tuple[bytes, ...]) -> list[str]:
    return [value.hex() for value in path]


def _inclusion(case: dict[str, Any]) -> None:
    path = [bytes.fromhex(value) for value in case["path"]]
    leaf, root = bytes.fromhex(case["leaf"]), bytes.fromhex(case["root"])
    verify_inclusion(leaf, case["index"], case["size"], path, root)


def _consistency(case: dict[str, Any]) -> None:
    path = [bytes.fromhex(value) for value in case["path"]]
    roots = bytes.fromhex(case["old_root"]), bytes.fromhex(case["new_root"])
    verify_consistency(case["old_size"], roots[0], case["new_size"], roots[1], path)


def _tree() -> dict[str, Any]:
    size = len(ENTRIES)
    inclusions: list[dict[str, Any]] = [
        {
            "index": index,
            "size": to,
            "leaf": LEAVES[index].hex(),
            "path": _hex(inclusion_path(_node, index, to)),
            "root": _root(to).hex(),
        }
        for to in (1, 2, 7, 8, size)
        for index in range(to)
    ]
    consistencies: list[dict[str, Any]] = [
        {
            "old_size": old,
            "new_size": size,
            "old_root": _root(old).hex(),
            "new_root": _root(size).hex(),
            "path": _hex(consistency_path(_node, old, size)),
        }
        for old in range(1, size + 1)
    ]
    good, step = inclusions[-2], consistencies[5]
    other = "00" * 32
    bad_inclusions: list[tuple[str, dict[str, Any]]] = [
        ("the leaf of another entry", {"leaf": LEAVES[0].hex()}),
        ("another index", {"index": good["index"] - 1}),
        ("an index beyond the tree", {"index": size}),
        ("another size", {"size": size - 1}),
        ("another root", {"root": other}),
        ("a path that is too short", {"path": good["path"][:-1]}),
        ("a path that is too long", {"path": [*good["path"], other]}),
        ("a path in another order", {"path": good["path"][::-1]}),
        ("a path with a short hash", {"path": [*good["path"][:-1], "00" * 31]}),
    ]
    bad_consistencies: list[tuple[str, dict[str, Any]]] = [
        ("another old root", {"old_root": other}),
        ("another new root", {"new_root": other}),
        ("a path that is too short", {"path": step["path"][:-1]}),
        ("a path that is too long", {"path": [*step["path"], other]}),
        ("a shrinking log", {"old_size": size, "new_size": step["old_size"]}),
    ]
    return {
        "entries": _hex(ENTRIES),
        "leaves": _hex(LEAVES),
        "roots": [{"size": to, "root": _root(to).hex()} for to in range(size + 1)],
        "inclusion": inclusions,
        "inclusion_invalid": [
            {"name": name, "spec": "RFC 9162 §2.1.3.2", **good, **change, **refused(_inclusion, {**good, **change})}
            for name, change in bad_inclusions
        ],
        "consistency": consistencies,
        "consistency_invalid": [
            {"name": name, "spec": "RFC 9162 §2.1.4.2", **step, **change, **refused(_consistency, {**step, **change})}
            for name, change in bad_consistencies
        ],
    }


def _checkpoints() -> dict[str, Any]:
    checkpoint = Checkpoint(LOG.verifier.name, len(ENTRIES), _root(len(ENTRIES)))
    text = checkpoint.body()
    line = LOG.sign(text)
    note = bytes(Note(text, (line,)))
    cosigned = bytes(Note(text, (line, WITNESS.sign(text, 1_764_547_300), STRANGER.sign(text))))
    elsewhere = replace(checkpoint, origin="log.example/other").body()
    bad: tuple[tuple[str, bytes], ...] = (
        ("signed by another key of that name", bytes(Note(text, (STRANGER.sign(text),)))),
        ("another size under the same signature", note.replace(b"\n11\n", b"\n12\n")),
        ("the origin of another log", bytes(Note(elsewhere, (LOG.sign(elsewhere),)))),
        ("a size with a leading zero", note.replace(b"\n11\n", b"\n011\n")),
        ("no signature", text),
        ("no empty line", note.replace(b"\n\n", b"\n")),
        ("no newline at the end", note[:-1]),
        ("carriage returns", note.replace(b"\n", b"\r\n")),
        ("a hyphen for the em dash", note.replace("\u2014".encode(), b"-")),
        ("a root of 31 bytes", _resigned(text.splitlines(), 2, b"AA==")),
        ("an empty origin", _resigned(text.splitlines(), 0, b"")),
    )
    return {
        "origin": LOG.verifier.name,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "skey": LOG.skey,
        "vkey": LOG.verifier.vkey,
        "body": text.decode(),
        "digest": checkpoint.digest().hex(),
        "note": note.decode(),
        "witness": {"vkey": WITNESS.verifier.vkey, "time_s": 1_764_547_300, "note": cosigned.decode()},
        "invalid": [
            {
                "name": name,
                "spec": "C2SP tlog-checkpoint",
                "note": data.decode(),
                **refused(lambda data: open_checkpoint(data, LOG.verifier), data),
            }
            for name, data in bad
        ],
    }


def _resigned(lines: list[bytes], place: int, line: bytes) -> bytes:
    text = b"".join(part + b"\n" for part in (*lines[:place], line, *lines[place + 1 :]))
    return bytes(Note(text, (LOG.sign(text),)))


def _neighbour(neighbour: Neighbour | None) -> dict[str, Any] | None:
    if neighbour is None:
        return None
    member = neighbour.member
    return {
        "key": neighbour.key.hex(),
        "value": neighbour.value.hex(),
        "index": member.index,
        "path": _hex(member.path),
    }


def _absence(name: str, proof: AbsenceProof) -> dict[str, Any]:
    key = map_key(name).hex()
    return {"name": name, "key": key, "left": _neighbour(proof.left), "right": _neighbour(proof.right)}


def _registry() -> dict[str, Any]:
    world = World(records=1)
    sorted_map, _ = world.registry_map()
    members = [
        {
            "name": name,
            "key": map_key(name).hex(),
            "value": world.items[index].entry.hex(),
            "index": sorted_map.prove_member(map_key(name)).index,
            "path": _hex(sorted_map.prove_member(map_key(name)).path),
        }
        for name, index in world.names.items()
    ]
    missing = [f"key/{number:032x}" for number in range(6)]
    commitment = sorted_map.commitment
    return {
        "spec": "log.md §3",
        "size": commitment.size,
        "root": commitment.root.hex(),
        "members": members,
        "absent": [_absence(name, sorted_map.prove_absent(map_key(name))) for name in missing],
        "empty": asdict(SortedMap(()).commitment) | {"root": SortedMap(()).commitment.root.hex()},
        "members_invalid": list(_bad_members(commitment, members)),
    }


def _bad_members(commitment: MapRoot, members: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    good = members[2]
    for name, change in (
        ("another value", {"value": members[0]["value"]}),
        ("another key", {"key": members[0]["key"]}),
        ("key and value exchanged", {"key": good["value"], "value": good["key"]}),
        ("another place", {"index": members[0]["index"]}),
        ("a value of 31 bytes", {"value": good["value"][2:]}),
    ):
        case = {**good, **change}

        def check(case: dict[str, Any]) -> None:
            proof = MemberProof(case["index"], tuple(bytes.fromhex(value) for value in case["path"]))
            verify_member(commitment, bytes.fromhex(case["key"]), bytes.fromhex(case["value"]), proof)

        yield {**case, "name": name, "spec": "log.md §3", **refused(check, case)}


def vectors() -> dict[str, Any]:
    """The whole file."""
    return {
        "format": "wattseal-vectors-log-1",
        "specification": "docs/spec/log.md",
        "tree": _tree(),
        "checkpoint": _checkpoints(),
        "registry": _registry(),
        "origin": ORIGIN,
        "bodies": make_body_vectors.bodies(),
        "bodies_invalid": make_body_vectors.refusals(),
    }
