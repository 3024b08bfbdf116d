from __future__ import annotations

import base64
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core import merkle
from wattseal.core.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    ProofMismatch,
    consistency_path,
    inclusion_path,
    inclusion_path_length,
    leaf_hash,
    leaf_hashes,
    node_hash,
    root_from_inclusion,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from wattseal.core.refusal import Refusal

LIMIT = 128
LEAVES = [leaf_hash(b"entry %d" % number) for number in range(LIMIT)]
LEVELS = Frontier().extend(LEAVES)


def read_node(level: int, index: int) -> bytes:
    return LEVELS[level][index]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# --- The definitions of RFC 6962 §2.1, word for word ------------------------------------------------------------------


def mth(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def path_of(m: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path_of(m, leaves[:k]), mth(leaves[k:])]
    return [*path_of(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], *, complete: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if complete else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], complete=complete), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], complete=False), mth(leaves[:k])]


ROOTS = [mth(LEAVES[:size]) for size in range(LIMIT + 1)]


# --- Roots and growth -------------------------------------------------------------------------------------------------


def test_hashes_are_those_of_the_rfc() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hashes([b"", b"a"]) == [leaf_hash(b""), sha256(b"\x00a").digest()]
    assert node_hash(EMPTY_ROOT, LEAVES[0]) == sha256(b"\x01" + EMPTY_ROOT + LEAVES[0]).digest()


def test_root_of_every_size() -> None:
    grown = Frontier()
    for size in range(LIMIT + 1):
        assert tree_root(LEAVES[:size]) == ROOTS[size] == grown.root()
        assert Frontier(size, grown.nodes).root() == ROOTS[size]
        if size < LIMIT:
            grown.append(LEAVES[size])


@given(st.lists(st.integers(0, 40), max_size=6), st.booleans())
def test_growth_in_any_steps_gives_the_same_tree(steps: list[int], single: bool) -> None:
    frontier = Frontier()
    for step in steps:
        begin = frontier.size
        leaves = [LEAVES[number % LIMIT] for number in range(begin, begin + step)]
        if single:
            for leaf in leaves:
                frontier.append(leaf)
            continue
        levels = frontier.extend(leaves)
        for level, run in enumerate(levels):
            first = begin >> level
            assert len(run) == (frontier.size >> level) - first
            for index, node in enumerate(run, first):
                covered = range(index << level, (index + 1) << level)
                assert node == mth([LEAVES[number % LIMIT] for number in covered])
        assert not step or (begin >> len(levels)) == (frontier.size >> len(levels))
    everything = [LEAVES[number % LIMIT] for number in range(sum(steps))]
    assert (frontier.size, frontier.root()) == (len(everything), mth(everything))


def test_a_refused_leaf_leaves_the_frontier_as_it_was() -> None:
    frontier = Frontier()
    frontier.extend(LEAVES[:5])
    for bad in (b"", bytes(31), bytes(33)):
        with pytest.raises(Refusal):
            frontier.extend([LEAVES[5], bad])
        with pytest.raises(Refusal):
            frontier.append(bad)
    assert (frontier.size, frontier.root()) == (5, ROOTS[5])


def test_frontier_refuses_what_is_no_edge() -> None:
    with pytest.raises(Refusal):
        Frontier(3, LEAVES[:1])
    with pytest.raises(Refusal):
        Frontier(1, [bytes(31)])
    for size in (-1, 2**63):
        with pytest.raises(Refusal, match="size"):
            Frontier(size, [bytes(32)])
    for add in (Frontier.append, lambda frontier, leaf: frontier.extend([leaf])):
        grown = Frontier(MAX_SIZE - 1, [bytes(32)] * 62)
        add(grown, bytes(32))
        assert grown.size == MAX_SIZE
    full = Frontier(MAX_SIZE, [bytes(32)] * 63)
    with pytest.raises(Refusal):
        full.append(bytes(32))
    with pytest.raises(Refusal):
        full.extend([bytes(32)])
    with pytest.raises(Refusal):
        tree_root([bytes(31)])


# --- Every proof of small trees ---------------------------------------------------------------------------------------


def test_every_inclusion_proof_and_every_flipped_hash() -> None:
    for size in range(1, LIMIT + 1):
        for index in range(size):
            path = inclusion_path(read_node, index, size)
            assert path == path_of(index, LEAVES[:size])
            assert len(path) == inclusion_path_length(index, size)
            assert root_from_inclusion(LEAVES[index], index, size, path) == ROOTS[size]
            verify_inclusion(LEAVES[index], index, size, path, ROOTS[size])
            for position, node in enumerate(path):
                bad = [*path[:position], flipped(node, (37 * size + index) % 256), *path[position + 1 :]]
                with pytest.raises(ProofMismatch):
                    verify_inclusion(LEAVES[index], index, size, bad, ROOTS[size])
            with pytest.raises(ProofMismatch):
                verify_inclusion(flipped(LEAVES[index], size), index, size, path, ROOTS[size])
            with pytest.raises(ProofMismatch):
                verify_inclusion(LEAVES[index], index, size, path, flipped(ROOTS[size], index))


def test_no_inclusion_proof_fits_another_index() -> None:
    for size in range(1, 33):
        for index in range(size):
            path = inclusion_path(read_node, index, size)
            for other in set(range(size + 2)) - {index}:
                with pytest.raises(Refusal):
                    verify_inclusion(LEAVES[index], other, size, path, ROOTS[size])


def test_every_consistency_proof() -> None:
    for size2 in range(1, LIMIT + 1):
        for size1 in range(1, size2 + 1):
            path = consistency_path(read_node, size1, size2)
            assert path == subproof(size1, LEAVES[:size2], complete=True)
            verify_consistency(size1, ROOTS[size1], size2, ROOTS[size2], path)


def test_every_flipped_hash_of_consistency_proofs(long: bool) -> None:
    for size2 in range(1, LIMIT + 1 if long else 48):
        for size1 in range(1, size2 + 1):
            path = consistency_path(read_node, size1, size2)
            root1, root2 = ROOTS[size1], ROOTS[size2]
            bit = (37 * size1 + size2) % 256
            for position, node in enumerate(path):
                bad = [*path[:position], flipped(node, bit), *path[position + 1 :]]
                with pytest.raises(ProofMismatch):
                    verify_consistency(size1, root1, size2, root2, bad)
            with pytest.raises(ProofMismatch):
                verify_consistency(size1, flipped(root1, bit), size2, root2, path)
            with pytest.raises(ProofMismatch):
                verify_consistency(size1, root1, size2, flipped(root2, bit), path)


def test_a_rewritten_leaf_breaks_consistency() -> None:
    changed = list(LEAVES[:20])
    changed[7] = leaf_hash(b"rewritten")
    levels = Frontier().extend(changed)
    for size1 in range(8, 20):
        path = consistency_path(lambda level, index: levels[level][index], size1, 20)
        with pytest.raises(ProofMismatch):
            verify_consistency(size1, ROOTS[size1], 20, tree_root(changed), path)


# --- Proofs of trees up to the largest size: all leaves alike, so that one node per level is known --------------------

ALIKE = [LEAVES[0]]
for _ in range(63):
    ALIKE.append(node_hash(ALIKE[-1], ALIKE[-1]))


def alike_node(level: int, index: int) -> bytes:
    assert (index + 1) << level <= MAX_SIZE
    return ALIKE[level]


def alike_root(size: int) -> bytes:
    return Frontier(size, [ALIKE[level] for level in range(63, -1, -1) if size >> level & 1]).root()


sizes = st.integers(1, MAX_SIZE) | st.integers(0, 62).map(lambda bit: 1 << bit) | st.just(MAX_SIZE)


@given(sizes, st.data())
def test_inclusion_in_trees_of_any_size(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1) | st.sampled_from([0, size - 1]))
    path = inclusion_path(alike_node, index, size)
    verify_inclusion(LEAVES[0], index, size, path, alike_root(size))
    with pytest.raises(Refusal):
        verify_inclusion(LEAVES[0], index, size, [*path, LEAVES[0]], alike_root(size))
    if path:
        position = data.draw(st.integers(0, len(path) - 1))
        path[position] = flipped(path[position], data.draw(st.integers(0, 255)))
        with pytest.raises(ProofMismatch):
            verify_inclusion(LEAVES[0], index, size, path, alike_root(size))
        with pytest.raises(Refusal):
            verify_inclusion(LEAVES[0], index, size, path[1:], alike_root(size))


@given(sizes, sizes, st.data())
def test_consistency_of_trees_of_any_size(one: int, other: int, data: st.DataObject) -> None:
    size1, size2 = sorted((one, other))
    path = consistency_path(alike_node, size1, size2)
    root1, root2 = alike_root(size1), alike_root(size2)
    verify_consistency(size1, root1, size2, root2, path)
    with pytest.raises(Refusal):
        verify_consistency(size1, root1, size2, root2, [*path, LEAVES[0]])
    if path:
        position = data.draw(st.integers(0, len(path) - 1))
        path[position] = flipped(path[position], data.draw(st.integers(0, 255)))
        with pytest.raises(ProofMismatch):
            verify_consistency(size1, root1, size2, root2, path)
        with pytest.raises(Refusal):
            verify_consistency(size1, root1, size2, root2, path[1:])


# --- What is refused before anything is hashed ------------------------------------------------------------------------


def test_malformed_proofs_are_refused_without_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: bytes) -> object:
        pytest.fail("hashed")

    path = inclusion_path(read_node, 5, 11)
    proof = consistency_path(read_node, 5, 11)
    monkeypatch.setattr(merkle, "sha256", never)
    fitting = [LEAVES[0]] * 63
    inclusions: list[tuple[str, bytes, int, int, list[bytes], bytes]] = [
        ("index", LEAVES[5], 11, 11, path, ROOTS[11]),
        ("index", LEAVES[5], 1, 1, path[:1], ROOTS[1]),
        ("index", LEAVES[5], -1, 11, path, ROOTS[11]),
        ("index", LEAVES[5], 0, 0, [], EMPTY_ROOT),
        ("size", LEAVES[5], 5, -1, path, ROOTS[11]),
        ("size", LEAVES[5], 5, 2**63, fitting, ROOTS[11]),
        ("path", LEAVES[5], 5, 11, path * 20, ROOTS[11]),
        ("path", LEAVES[5], 5, 11, path[:-1], ROOTS[11]),
        ("path", LEAVES[5], 5, 11, [], ROOTS[11]),
        ("path", LEAVES[5], 5, 11, [bytes(31), *path[1:]], ROOTS[11]),
        ("leaf", LEAVES[5][:-1], 5, 11, path, ROOTS[11]),
        ("root", LEAVES[5], 5, 11, path, ROOTS[11] + b"\x00"),
    ]
    for field, leaf, index, size, hashes, root in inclusions:
        with pytest.raises(Refusal) as refused:
            verify_inclusion(leaf, index, size, hashes, root)
        assert refused.value.field == field
        assert not isinstance(refused.value, ProofMismatch)
    consistencies: list[tuple[str, int, bytes, int, bytes, list[bytes]]] = [
        ("size1", 0, EMPTY_ROOT, 11, ROOTS[11], []),
        ("size1", 0, EMPTY_ROOT, 0, EMPTY_ROOT, []),
        ("size1", -1, ROOTS[5], 11, ROOTS[11], proof),
        ("size1", 12, ROOTS[12], 11, ROOTS[11], proof),
        ("size1", 2**63, ROOTS[5], 2**63, ROOTS[5], []),
        ("size2", 1, ROOTS[1], 2**63, ROOTS[11], fitting),
        ("path", 5, ROOTS[5], 11, ROOTS[11], proof * 20),
        ("path", 5, ROOTS[5], 11, ROOTS[11], proof[1:]),
        ("path", 5, ROOTS[5], 11, ROOTS[11], []),
        ("path", 5, ROOTS[5], 5, ROOTS[5], proof[:1]),
        ("path", 5, ROOTS[5], 11, ROOTS[11], [*proof[:-1], bytes(33)]),
        ("root1", 5, ROOTS[5][:-1], 11, ROOTS[11], proof),
        ("root1", 5, ROOTS[5][:-1], 5, ROOTS[5][:-1], []),
        ("root2", 5, ROOTS[5], 11, ROOTS[11][:-1], proof),
    ]
    for field, size1, root1, size2, root2, hashes in consistencies:
        with pytest.raises(Refusal) as refused:
            verify_consistency(size1, root1, size2, root2, hashes)
        assert refused.value.field == field
        assert not isinstance(refused.value, ProofMismatch)


def test_no_path_is_made_for_what_is_not_in_the_tree() -> None:
    for field, index, size in (("index", 0, 0), ("index", 3, 3), ("index", -1, 3), ("size", 0, 2**63)):
        with pytest.raises(Refusal) as refused:
            inclusion_path(alike_node, index, size)
        assert refused.value.field == field
    for field, size1, size2 in (("size1", 0, 3), ("size1", 4, 3), ("size1", 0, 0), ("size2", 1, 2**63)):
        with pytest.raises(Refusal) as refused:
            consistency_path(alike_node, size1, size2)
        assert refused.value.field == field


# --- Vectors of transparency-dev/merkle -------------------------------------------------------------------------------


def decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def stretched(value: bytes) -> bytes:
    """A value of 32 bytes: equal ones stay equal, so that a verdict does not rest on a wrong length alone."""
    return value if len(value) == 32 else sha256(b"stretched" + value).digest()


def refused(verify: Callable[..., None], *arguments: object) -> bool:
    try:
        verify(*arguments)
    except Refusal:
        return True
    return False


def vectors(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(path.name, json.loads(path.read_bytes())) for path in sorted(folder.rglob("*.json"))]


def test_inclusion_vectors(fixtures_dir: Path) -> None:
    cases = vectors(fixtures_dir / "tlog" / "merkle" / "inclusion")
    for name, case in cases:
        leaf, root = decoded(case["leafHash"]), decoded(case["root"])
        path = list(map(decoded, case["proof"] or []))
        literal = refused(verify_inclusion, leaf, case["leafIdx"], case["treeSize"], path, root)
        assert literal == case["wantErr"], (name, case["desc"])
        path = list(map(stretched, path))
        meant = refused(verify_inclusion, stretched(leaf), case["leafIdx"], case["treeSize"], path, stretched(root))
        assert meant == case["wantErr"], (name, case["desc"])
    assert len(cases) >= 79
    assert sum(not case["wantErr"] for _, case in cases) >= 4


def test_consistency_vectors(fixtures_dir: Path) -> None:
    cases = vectors(fixtures_dir / "tlog" / "merkle" / "consistency")
    too_short = []
    for name, case in cases:
        root1, root2 = decoded(case["root1"]), decoded(case["root2"])
        path = list(map(decoded, case["proof"] or []))
        literal = refused(verify_consistency, case["size1"], root1, case["size2"], root2, path)
        path = list(map(stretched, path))
        meant = refused(verify_consistency, case["size1"], stretched(root1), case["size2"], stretched(root2), path)
        assert meant == case["wantErr"], (name, case["desc"])
        if literal != case["wantErr"]:
            too_short.append(name)
    # It accepts two equal roots of 12 bytes, which are no SHA-256 hashes: we take 32 bytes only.
    assert too_short == ["sizes-are-equal-one-and-proof-is-empty.json"]
    assert len(cases) >= 77
    assert sum(not case["wantErr"] for _, case in cases) >= 6
