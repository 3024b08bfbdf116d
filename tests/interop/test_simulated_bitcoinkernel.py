"""The simulated chain before Bitcoin Core's own consensus code (libbitcoinkernel, regtest)."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.bitcoin_strategies import transactions
from tests.core.real_bitcoin import TX_170, TX_BIP143
from wattseal.anchor.simulated import SimulatedChain
from wattseal.core.bitcoin.block import WITNESS_COMMITMENT_PREFIX, Block, parse_block, witness_commitment
from wattseal.core.bitcoin.branch import merkle_root
from wattseal.core.bitcoin.header import BlockHeader, meets_target
from wattseal.core.bitcoin.tx import Transaction, TxOutput, parse_transaction
from wattseal.core.refusal import Refusal

# What the kernel's package gives us: it has no type information.
Untyped = Any

# In the past, since the kernel looks at the real clock and refuses blocks from the future.
NOW = 1_760_000_000


@pytest.fixture(scope="session")
def pbk() -> Untyped:
    """Skipped only on machines for which there is no wheel: where the tests must be complete, its absence fails."""
    if importlib.util.find_spec("pbk") is None:
        reason = "py-bitcoinkernel is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    import pbk

    return pbk


@pytest.fixture(scope="module")
def blocks() -> tuple[bytes, ...]:
    """Anchors one and many to a block, chained on each other's change, over a halving of the subsidy."""
    chain = SimulatedChain.create(NOW)
    number = 0
    for count in (1, 0, 2, 3, 7, 20):
        for _ in range(count):
            chain.publish(hashlib.sha256(number.to_bytes(4, "big")).digest(), NOW)
            number += 1
        chain.mine(NOW + 600 * number, 10)
    return chain.blocks()


def height_of(kernel: Untyped) -> int:
    return int(kernel.get_active_chain().height)


def feed(pbk: Untyped, kernel: Untyped, raws: tuple[bytes, ...]) -> None:
    for raw in raws:
        assert kernel.process_block(pbk.Block(raw))


def test_every_block_is_valid(pbk: Untyped, tmp_path: Path, blocks: tuple[bytes, ...]) -> None:
    kernel = pbk.load_chainman(tmp_path, pbk.ChainType.REGTEST)
    known = bytes(kernel.blocks[kernel.get_active_chain().block_tree_entries[0]])
    assert known == blocks[0]
    for height, raw in enumerate(blocks[1:], 1):
        assert kernel.process_block(pbk.Block(raw))
        assert height_of(kernel) == height, "the kernel did not connect the block"
    entries = kernel.get_active_chain().block_tree_entries
    assert [bytes(entry.block_hash) for entry in entries] == [parse_block(raw).header.hash() for raw in blocks]
    # Behind the first halving, at block 150.
    assert height_of(kernel) == 161
    assert max(len(parse_block(raw).transactions) for raw in blocks) == 21


def _remined(header: BlockHeader) -> BlockHeader:
    header = replace(header, nonce=0)
    while not meets_target(header):
        header = replace(header, nonce=header.nonce + 1)
    return header


def _with(block: Block, index: int, tx: Transaction) -> Block:
    """The block with another transaction, and everything that commits to it made right again."""
    txs = (*block.transactions[:index], tx, *block.transactions[index + 1 :])
    committed = TxOutput(0, WITNESS_COMMITMENT_PREFIX + witness_commitment(txs[1:], bytes(32)))
    txs = (replace(txs[0], outputs=(txs[0].outputs[0], committed)), *txs[1:])
    root = merkle_root([each.txid() for each in txs])
    return Block(_remined(replace(block.header, merkle_root=root)), txs)


def _greedier(block: Block) -> Block:
    coinbase = block.transactions[0]
    more = replace(coinbase.outputs[0], value=coinbase.outputs[0].value + 1)
    return _with(block, 0, replace(coinbase, outputs=(more, *coinbase.outputs[1:])))


def _other_lock(block: Block) -> Block:
    tx = block.transactions[1]
    return _with(block, 1, replace(tx, inputs=(replace(tx.inputs[0], prev_txid=bytes([1] * 32)),)))


def _wrong_height(block: Block) -> Block:
    coinbase = block.transactions[0]
    script = coinbase.inputs[0].script
    return _with(block, 0, replace(coinbase, inputs=(replace(coinbase.inputs[0], script=b"\x01\x65" + script[2:]),)))


def _other_witness(block: Block) -> Block:
    return Block(block.header, (block.transactions[0], replace(block.transactions[1], witnesses=((b"\x00",),))))


def _other_payload(block: Block) -> Block:
    """The anchored digest changed behind the miner's back: the header no longer commits to it."""
    tx = block.transactions[1]
    script = tx.outputs[1].script
    changed = replace(tx, outputs=(tx.outputs[0], replace(tx.outputs[1], script=script[:-1] + bytes([script[-1] ^ 1]))))
    return Block(block.header, (block.transactions[0], changed))


def _unmined(block: Block) -> Block:
    header = block.header
    while meets_target(header):
        header = replace(header, nonce=header.nonce + 1)
    return replace(block, header=header)


def _immature(block: Block) -> Block:
    """Spends the coinbase of block 101 in block 102."""
    chain = SimulatedChain.create(NOW)
    coinbase = parse_block(chain.blocks()[101]).transactions[0]
    tx = block.transactions[1]
    return _with(block, 1, replace(tx, inputs=(replace(tx.inputs[0], prev_txid=coinbase.txid()),)))


# What is changed, and what the kernel calls it: the names of its BlockValidationResult.
TAMPERINGS: dict[str, tuple[Callable[[Block], Block], str]] = {
    "a satoshi too many": (_greedier, "CONSENSUS"),
    "a coin that does not exist": (_other_lock, "CONSENSUS"),
    "a coinbase spent too early": (_immature, "CONSENSUS"),
    "another height": (_wrong_height, "CONSENSUS"),
    "another witness": (_other_witness, "MUTATED"),
    "another digest": (_other_payload, "MUTATED"),
    "no proof of work": (_unmined, "INVALID_HEADER"),
    "an old time": (
        lambda block: replace(block, header=_remined(replace(block.header, time=NOW - 6_000_000))),
        "INVALID_HEADER",
    ),
    "another target": (
        lambda block: replace(block, header=_remined(replace(block.header, bits=0x207FFFFE))),
        "INVALID_HEADER",
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_tampered_block_is_refused_by_both(
    pbk: Untyped, tmp_path: Path, blocks: tuple[bytes, ...], name: str
) -> None:
    """Block 102 holds the first anchor. The kernel refuses the changed block and then takes the true one."""
    results: list[str] = []
    callbacks = pbk.ValidationInterfaceCallbacks(
        block_checked=lambda _data, _block, state: results.append(state.block_validation_result.name)
    )
    kernel = pbk.load_chainman(tmp_path, pbk.ChainType.REGTEST, callbacks)
    feed(pbk, kernel, blocks[1:102])
    change, result = TAMPERINGS[name]
    tampered = change(parse_block(blocks[102])).serialise()
    with pytest.raises(Refusal) as caught:
        SimulatedChain.load([*blocks[:102], tampered])
    assert caught.value.field == "blocks.102"
    results.clear()
    # A block whose fault shows only when it is connected is taken and then marked invalid.
    with contextlib.suppress(pbk.ProcessBlockException):
        kernel.process_block(pbk.Block(tampered))
    assert results == [result]
    assert height_of(kernel) == 101
    feed(pbk, kernel, blocks[102:103])
    assert height_of(kernel) == 102


@given(transactions())
def test_transactions_are_read_as_core_reads_them(pbk: Untyped, tx: Transaction) -> None:
    theirs = pbk.Transaction(tx.serialise())
    assert bytes(theirs.txid) == tx.txid()
    assert bytes(theirs) == tx.serialise()
    assert theirs.locktime == tx.lock_time
    assert [paid.amount for paid in theirs.outputs] == [paid.value for paid in tx.outputs]


@given(st.sampled_from([TX_170, TX_BIP143]), st.data())
def test_what_we_read_core_reads(pbk: Untyped, raw: bytes, data: st.DataObject) -> None:
    """Whatever bytes our stricter parser accepts, Core's accepts too, with the same id."""
    changed = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    try:
        ours = parse_transaction(bytes(changed))
    except Refusal:
        return
    assert bytes(pbk.Transaction(bytes(changed)).txid) == ours.txid()
