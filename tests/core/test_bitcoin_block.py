from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.bitcoin_strategies import transactions
from tests.core.real_bitcoin import GENESIS_HASH, GENESIS_HEADER
from wattseal.anchor.regtest import GENESIS
from wattseal.anchor.simulated import SimulatedChain
from wattseal.core.bitcoin.block import MAX_BLOCK_WEIGHT, Block, check_commitments, parse_block
from wattseal.core.bitcoin.branch import merkle_root
from wattseal.core.bitcoin.digest import to_display
from wattseal.core.bitcoin.header import parse_header
from wattseal.core.bitcoin.tx import Transaction, TxOutput
from wattseal.core.refusal import Refusal


def _committed(header_of: Block, txs: tuple[Transaction, ...]) -> Block:
    return Block(replace(header_of.header, merkle_root=merkle_root([tx.txid() for tx in txs])), txs)


@pytest.fixture(scope="module")
def with_anchor() -> Block:
    chain = SimulatedChain.create(1_760_000_000)
    chain.publish(bytes(32), 1_760_000_000)
    chain.mine(1_760_000_600)
    return parse_block(chain.blocks()[-1])


def test_the_genesis_block() -> None:
    # Bitcoin's and regtest's differ in time, bits and nonce only.
    block = parse_block(GENESIS)
    check_commitments(block)
    real = parse_block(GENESIS_HEADER + GENESIS[80:])
    check_commitments(real)
    assert to_display(real.header.hash()) == GENESIS_HASH
    assert b"Chancellor on brink" in real.transactions[0].inputs[0].script
    assert real.serialise() == GENESIS_HEADER + GENESIS[80:]
    assert (len(GENESIS), real.weight()) == (285, 4 * 285)


@given(st.lists(transactions(), min_size=1, max_size=4))
def test_blocks_come_back(txs: list[Transaction]) -> None:
    block = Block(parse_header(GENESIS_HEADER), tuple(txs))
    raw = block.serialise()
    assert parse_block(raw) == block
    for other in (raw + b"\x00", raw[:-1]):
        with pytest.raises(Refusal):
            parse_block(other)


def test_size_is_bounded_first() -> None:
    with pytest.raises(Refusal, match="more than Bitcoin allows"):
        parse_block(bytes(MAX_BLOCK_WEIGHT + 1))


def test_a_block_with_witnesses(with_anchor: Block) -> None:
    check_commitments(with_anchor)
    assert parse_block(with_anchor.serialise()) == with_anchor


def _drop_commitment(txs: tuple[Transaction, ...]) -> tuple[Transaction, ...]:
    return (replace(txs[0], outputs=txs[0].outputs[:1]), *txs[1:])


def _later_commitment(txs: tuple[Transaction, ...]) -> tuple[Transaction, ...]:
    """The last one counts: a wrong one behind the right one."""
    wrong = TxOutput(0, txs[0].outputs[1].script[:-1] + b"\x00")
    return (replace(txs[0], outputs=(*txs[0].outputs, wrong)), *txs[1:])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda txs: txs[::-1], "begin with its one coinbase"),
        (lambda txs: (*txs, replace(txs[0], version=7)), "begin with its one coinbase"),
        (lambda txs: txs[1:], "begin with its one coinbase"),
        (lambda txs: (txs[0], replace(txs[1], witnesses=((b"\x52",),))), "other witnesses"),
        (lambda txs: (replace(txs[0], witnesses=((bytes([1] * 32),),)), txs[1]), "other witnesses"),
        (lambda txs: (replace(txs[0], witnesses=()), txs[1]), "one reserved value"),
        (lambda txs: (replace(txs[0], witnesses=((bytes(31),),)), txs[1]), "one reserved value"),
        (lambda txs: (replace(txs[0], witnesses=((bytes(32), b""),)), txs[1]), "one reserved value"),
        (_drop_commitment, "does not commit to"),
        (_later_commitment, "other witnesses"),
    ],
)
def test_commitments_that_fail(
    with_anchor: Block, change: Callable[[tuple[Transaction, ...]], tuple[Transaction, ...]], reason: str
) -> None:
    with pytest.raises(Refusal, match=reason):
        check_commitments(_committed(with_anchor, change(with_anchor.transactions)))


def test_another_transaction_than_the_headers(with_anchor: Block) -> None:
    txs = with_anchor.transactions
    with pytest.raises(Refusal, match="other transactions"):
        check_commitments(replace(with_anchor, transactions=(txs[0], replace(txs[1], lock_time=1))))
    with pytest.raises(Refusal, match="CVE-2012-2459"):
        check_commitments(replace(with_anchor, transactions=(*txs, *txs[1:], *txs[1:])))


def test_a_block_without_transactions_is_refused() -> None:
    with pytest.raises(Refusal, match="coinbase"):
        check_commitments(parse_block(GENESIS_HEADER + b"\x00"))
