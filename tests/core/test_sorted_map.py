from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.merkle import EMPTY_ROOT, ProofMismatch, leaf_hash, tree_root
from wattseal.core.refusal import Refusal
from wattseal.core.sorted_map import (
    AbsenceProof,
    Item,
    MapRoot,
    MemberProof,
    Neighbour,
    SortedMap,
    item_leaf,
    map_root,
    prove_absent,
    prove_member,
    verify_absent,
    verify_member,
)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def value(number: int) -> bytes:
    return sha256(b"value %d" % number).digest()


def items_of(numbers: range) -> list[Item]:
    return [(key(number), value(number)) for number in numbers]


def test_the_commitment_is_an_rfc_6962_tree() -> None:
    items = items_of(range(10, 21, 2))
    leaves = [leaf_hash(b"wattseal/map/1\n" + one + other) for one, other in items]
    assert [item_leaf(*item) for item in items] == leaves
    assert map_root(items) == MapRoot(6, tree_root(leaves))
    assert map_root([]) == MapRoot(0, EMPTY_ROOT)


def test_every_key_of_every_small_map() -> None:
    """Maps of the even numbers from 2: each key is either proved present or proved absent, never both."""
    for size in range(34):
        items = items_of(range(2, 2 * size + 1, 2))
        tree = SortedMap(items)
        commitment = map_root(items)
        assert tree.commitment == commitment
        for number in range(2 * size + 4):
            if number % 2 == 0 and 0 < number <= 2 * size:
                member = prove_member(items, key(number))
                assert member == tree.prove_member(key(number))
                verify_member(commitment, key(number), value(number), member)
                with pytest.raises(ProofMismatch):
                    verify_member(commitment, key(number), value(number + 1), member)
                with pytest.raises(ProofMismatch):
                    verify_member(commitment, key(number + 1), value(number), member)
                with pytest.raises(Refusal):
                    tree.prove_absent(key(number))
            else:
                absent = prove_absent(items, key(number))
                assert absent == tree.prove_absent(key(number))
                verify_absent(commitment, key(number), absent)
                with pytest.raises(Refusal):
                    tree.prove_member(key(number))


def test_no_proof_of_absence_serves_a_key_that_is_there() -> None:
    """Every pair of neighbours, true or put together wrongly, against every key of a map of seven."""
    items = items_of(range(2, 16, 2))
    tree = SortedMap(items)
    neighbours = [Neighbour(*item, tree.prove_member(item[0])) for item in items]
    ends: list[Neighbour | None] = [None, *neighbours]
    for left in ends:
        for right in ends:
            for present, _ in items:
                with pytest.raises(Refusal):
                    verify_absent(tree.commitment, present, AbsenceProof(left, right))


def test_absence_needs_neighbours_without_a_place_between() -> None:
    items = items_of(range(2, 16, 2))
    tree = SortedMap(items)
    commitment = tree.commitment
    first, second, last = (Neighbour(*items[at], tree.prove_member(items[at][0])) for at in (0, 1, 6))
    verify_absent(commitment, key(3), AbsenceProof(first, second))
    verify_absent(commitment, key(1), AbsenceProof(None, first))
    verify_absent(commitment, key(99), AbsenceProof(last, None))
    third = Neighbour(*items[2], tree.prove_member(items[2][0]))
    for wanted, left, right in (
        (3, first, third),
        (3, first, None),
        (3, None, second),
        (3, None, None),
        (1, None, second),
        (99, second, None),
        (5, first, second),
        (1, first, second),
        (2, first, second),
        (4, first, second),
        (3, second, first),
        (3, first, first),
    ):
        with pytest.raises(Refusal):
            verify_absent(commitment, key(wanted), AbsenceProof(left, right))


def test_a_neighbour_that_is_not_in_the_map_is_a_mismatch() -> None:
    tree = SortedMap(items_of(range(2, 16, 2)))
    proof = tree.prove_absent(key(5))
    assert proof.left is not None
    assert proof.right is not None
    moved = replace(proof.left.member, index=2), replace(proof.right.member, index=3)
    for bad in (
        AbsenceProof(replace(proof.left, key=key(3)), proof.right),
        AbsenceProof(replace(proof.left, value=value(5)), proof.right),
        AbsenceProof(proof.left, replace(proof.right, key=key(7))),
        AbsenceProof(proof.left, replace(proof.right, value=value(5))),
        AbsenceProof(replace(proof.left, member=moved[0]), replace(proof.right, member=moved[1])),
    ):
        with pytest.raises(ProofMismatch):
            verify_absent(tree.commitment, key(5), bad)


def test_only_an_empty_map_lacks_everything() -> None:
    nothing = AbsenceProof(None, None)
    assert SortedMap([]).prove_absent(key(7)) == nothing
    verify_absent(MapRoot(0, EMPTY_ROOT), key(7), nothing)
    with pytest.raises(Refusal):
        verify_absent(map_root(items_of(range(1, 2))), key(7), nothing)
    with pytest.raises(Refusal):
        MapRoot(0, bytes(32))
    with pytest.raises(Refusal):
        SortedMap([]).prove_member(key(7))
    with pytest.raises(Refusal):
        verify_member(MapRoot(0, EMPTY_ROOT), key(7), value(7), MemberProof(0, ()))


def test_what_is_no_map() -> None:
    good = items_of(range(3))
    for items in (
        [good[1], good[0]],
        [good[0], good[0]],
        [(key(1), value(1)), (key(1), value(2))],
        [(key(1)[:-1], value(1))],
        [(key(1), value(1) + b"\x00")],
    ):
        with pytest.raises(Refusal):
            map_root(items)
    for size, root in ((-1, bytes(32)), (2**63, bytes(32)), (1, bytes(31))):
        with pytest.raises(Refusal):
            MapRoot(size, root)
    for short in (b"", bytes(31), bytes(33)):
        with pytest.raises(Refusal):
            prove_absent(good, short)
        with pytest.raises(Refusal):
            verify_absent(map_root([]), short, AbsenceProof(None, None))
        with pytest.raises(Refusal):
            prove_member(good, short)


@given(st.dictionaries(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32)), st.data())
def test_any_map(content: dict[bytes, bytes], data: st.DataObject) -> None:
    tree = SortedMap(sorted(content.items()))
    wanted = data.draw(st.sampled_from(sorted(content)) if content else st.nothing() | st.just(bytes(32)))
    if wanted in content:
        verify_member(tree.commitment, wanted, content[wanted], tree.prove_member(wanted))
    other = data.draw(st.binary(min_size=32, max_size=32).filter(lambda one: one not in content))
    verify_absent(tree.commitment, other, tree.prove_absent(other))
