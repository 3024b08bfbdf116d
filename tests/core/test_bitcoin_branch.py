from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.real_bitcoin import HEADER_100000, TXID_170, TXIDS_100000
from wattseal.core.bitcoin.branch import MAX_BRANCH, build_branch, merkle_root, verify_branch
from wattseal.core.bitcoin.digest import double_sha256, from_display
from wattseal.core.bitcoin.tx import could_be_transaction
from wattseal.core.refusal import Refusal


def _txids(count: int) -> list[bytes]:
    return [hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(count)]


def test_block_100000() -> None:
    root = HEADER_100000.merkle_root
    assert merkle_root(TXIDS_100000) == root
    for index, txid in enumerate(TXIDS_100000):
        branch = build_branch(TXIDS_100000, index)
        assert len(branch) == 2
        verify_branch(txid, index, branch, root)
        for other in {0, 1, 2, 3} - {index}:
            with pytest.raises(Refusal):
                verify_branch(txid, other, branch, root)
        with pytest.raises(Refusal, match="does not lead"):
            verify_branch(from_display(TXID_170), index, branch, root)


def test_a_block_with_one_transaction() -> None:
    txid = from_display("4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b")
    assert merkle_root([txid]) == txid
    assert build_branch([txid], 0) == ()
    verify_branch(txid, 0, (), txid)
    with pytest.raises(Refusal, match="0 levels"):
        verify_branch(txid, 1, (), txid)


def test_every_place_in_every_small_block(long: bool) -> None:
    for count in range(1, 200 if long else 40):
        txids = _txids(count)
        root = merkle_root(txids)
        for index in range(count):
            branch = build_branch(txids, index)
            verify_branch(txids[index], index, branch, root)
            for other in set(range(1 << len(branch))) - {index}:
                with pytest.raises(Refusal):
                    verify_branch(txids[index], other, branch, root)


@given(st.integers(1, 300), st.data())
def test_one_flipped_bit_breaks_a_branch(count: int, data: st.DataObject) -> None:
    txids = _txids(count)
    index = data.draw(st.integers(0, count - 1))
    branch = list(build_branch(txids, index))
    place = data.draw(st.integers(-2, len(branch) - 1))
    bit = data.draw(st.integers(0, 255))
    flip = (1 << bit).to_bytes(32, "big")

    def flipped(node: bytes, is_meant: bool) -> bytes:
        return bytes(a ^ b for a, b in zip(node, flip, strict=True)) if is_meant else node

    with pytest.raises(Refusal):
        verify_branch(
            flipped(txids[index], place == -2),
            index,
            [flipped(node, at == place) for at, node in enumerate(branch)],
            flipped(merkle_root(txids), place == -1),
        )


def test_odd_nodes_are_paired_with_themselves() -> None:
    a, b, c = _txids(3)
    root = double_sha256(double_sha256(a + b) + double_sha256(c + c))
    assert merkle_root([a, b, c]) == root
    assert build_branch([a, b, c], 2) == (c, double_sha256(a + b))
    verify_branch(c, 2, (c, double_sha256(a + b)), root)


def test_the_place_of_a_copy_is_refused() -> None:
    """CVE-2012-2459: the same root, were the copy taken for a fourth transaction."""
    a, b, c = _txids(3)
    root = merkle_root([a, b, c])
    with pytest.raises(Refusal, match="copied node") as caught:
        verify_branch(c, 3, (c, double_sha256(a + b)), root)
    assert caught.value.field == "tx_index"
    # A copy one level up: five transactions, the pair (e, e) stands twice.
    txids = _txids(5)
    branch = build_branch(txids, 4)
    verify_branch(txids[4], 4, branch, merkle_root(txids))
    with pytest.raises(Refusal, match="copied node"):
        verify_branch(txids[4], 6, branch, merkle_root(txids))


def test_a_copy_away_from_the_right_edge_is_refused() -> None:
    a, b = _txids(2)
    root = double_sha256(double_sha256(a + a) + b)
    with pytest.raises(Refusal, match="right edge"):
        verify_branch(a, 0, (a, b), root)


@pytest.mark.parametrize("order", [[0, 0], [0, 1, 2, 2], [0, 1, 2, 3, 4, 5, 4, 5], [1, 1, 0]])
def test_lists_with_two_readings_are_refused(order: list[int]) -> None:
    txids = _txids(6)
    with pytest.raises(Refusal, match="CVE-2012-2459"):
        merkle_root([txids[number] for number in order])


def test_an_inner_node_that_is_a_transaction_is_refused() -> None:
    """CVE-2017-12842: a real transaction of 64 bytes whose second half is the hash of a forged one."""
    # A txid whose fifth byte reads as "one input"; what stands beside it completes a transaction.
    forged = next(txid for txid in _txids(5_000) if txid[4] == 1)
    sibling = bytes(9) + b"\x00" + bytes(4) + b"\x01" + bytes(8) + b"\x04" + bytes(8)
    assert could_be_transaction(forged + sibling)
    with pytest.raises(Refusal, match="CVE-2017-12842"):
        verify_branch(forged, 0, (sibling,), double_sha256(forged + sibling))


def test_bounds() -> None:
    txid = _txids(1)[0]
    with pytest.raises(Refusal, match="at most 20"):
        verify_branch(txid, 0, (txid,) * (MAX_BRANCH + 1), txid)
    with pytest.raises(Refusal, match="1 levels"):
        verify_branch(txid, 2, _txids(2)[1:], txid)
    with pytest.raises(Refusal, match="1 levels"):
        verify_branch(txid, -1, _txids(2)[1:], txid)
    for short in ((b"", (), txid), (txid, (b"x",), txid), (txid, (), b"")):
        with pytest.raises(Refusal, match="32 bytes"):
            verify_branch(short[0], 0, short[1], short[2])
    for index in (-1, 1):
        with pytest.raises(Refusal, match="not among"):
            build_branch([txid], index)
    with pytest.raises(Refusal, match="missing"):
        merkle_root([])
    with pytest.raises(Refusal, match="32 bytes"):
        merkle_root([txid, b"x"])
