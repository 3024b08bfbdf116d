from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from wattseal.anchor.regtest import (
    BITS,
    COINBASE_LABEL,
    GENESIS,
    LOCK_SCRIPT,
    LOCK_WITNESS,
    POW_LIMIT,
    SEQUENCE,
    Ledger,
    height_push,
    next_block,
    outpoints,
    subsidy_sat,
)
from wattseal.core.anchor_payload import anchor_script
from wattseal.core.bitcoin.block import WITNESS_COMMITMENT_PREFIX, Block, parse_block, witness_commitment
from wattseal.core.bitcoin.branch import merkle_root
from wattseal.core.bitcoin.digest import to_display
from wattseal.core.bitcoin.header import BlockHeader, check_proof_of_work, meets_target
from wattseal.core.bitcoin.tx import Transaction, TxInput, TxOutput
from wattseal.core.refusal import Refusal

START = 1_760_000_000


def grown(blocks: int) -> Ledger:
    ledger = Ledger(parse_block(GENESIS))
    for height in range(1, blocks + 1):
        ledger.apply(ledger.check(next_block(ledger, [], 0, START + height)))
    return ledger


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    """101 blocks: the next one may spend the first two coinbases."""
    return grown(101)


def spending(ledger: Ledger, number: int = 0, keep: int = 1_000) -> Transaction:
    """Spends the coinbase of block number + 1 and leaves `keep` satoshi to the miner."""
    outpoint, coin = list(ledger.coins.items())[number]
    return Transaction(
        version=2,
        inputs=(TxInput(*outpoint, script=b"", sequence=SEQUENCE),),
        outputs=(TxOutput(coin.value - keep, LOCK_SCRIPT), TxOutput(0, anchor_script(bytes(32)))),
        witnesses=(LOCK_WITNESS,),
        lock_time=0,
    )


def remined(header: BlockHeader) -> BlockHeader:
    while not meets_target(header):
        header = replace(header, nonce=header.nonce + 1)
    return header


def resealed(block: Block, coinbase: Transaction) -> Block:
    """The block with another coinbase, everything that commits to it made right again."""
    txs = (coinbase, *block.transactions[1:])
    root = merkle_root([tx.txid() for tx in txs])
    return Block(remined(replace(block.header, merkle_root=root, nonce=0)), txs)


def test_the_genesis_block_is_regtests() -> None:
    block = parse_block(GENESIS)
    shown = to_display(block.header.hash())
    assert shown == "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
    check_proof_of_work(block.header, POW_LIMIT)


@pytest.mark.parametrize(
    ("height", "push"),
    [
        (1, "51"),
        (16, "60"),
        (17, "0111"),
        (127, "017f"),
        (128, "028000"),
        (255, "02ff00"),
        (32_767, "02ff7f"),
        (32_768, "03008000"),
        (8_388_608, "0400008000"),
    ],
)
def test_heights_are_pushed_as_bip_34_wants(height: int, push: str) -> None:
    assert height_push(height).hex() == push


@pytest.mark.parametrize(
    ("height", "subsidy"),
    [(1, 50), (149, 50), (150, 25)],
)
def test_the_subsidy_in_bitcoin(height: int, subsidy: int) -> None:
    assert subsidy_sat(height) == subsidy * 100_000_000


def test_the_subsidy_runs_out() -> None:
    assert subsidy_sat(150 * 32) == 1
    assert subsidy_sat(150 * 33) == 0
    assert subsidy_sat(150 * 64) == subsidy_sat(150 * 1_000) == 0


def test_money_is_what_was_mined(ledger: Ledger) -> None:
    assert sum(coin.value for coin in ledger.coins.values()) == sum(subsidy_sat(height) for height in range(1, 102))
    assert ledger.tip_height == 101


def test_fees_go_to_the_miner() -> None:
    ledger = grown(101)
    before = sum(coin.value for coin in ledger.coins.values())
    txs = [spending(ledger, 0, keep=700), spending(ledger, 1, keep=300)]
    connection = ledger.check(next_block(ledger, txs, 1_000, START + 200))
    assert connection.fees == (0, 700, 300)
    ledger.apply(connection)
    assert sum(coin.value for coin in ledger.coins.values()) == before + subsidy_sat(102)
    assert not set(ledger.coins) & {outpoint for tx in txs for outpoint in outpoints(tx)}


def test_a_coin_made_in_a_block_can_be_spent_in_it(ledger: Ledger) -> None:
    first = spending(ledger)
    second = replace(
        first,
        inputs=(TxInput(first.txid(), 0, b"", SEQUENCE),),
        outputs=(TxOutput(first.outputs[0].value - 1, LOCK_SCRIPT),),
    )
    assert ledger.check(next_block(ledger, [first, second], 1_001, START + 200)).fees == (0, 1_000, 1)
    with pytest.raises(Refusal, match="does not exist"):
        ledger.check(next_block(ledger, [second, first], 1_001, START + 200))


def test_checking_changes_nothing(ledger: Ledger) -> None:
    coins, headers = dict(ledger.coins), list(ledger.headers)
    block = next_block(ledger, [spending(ledger)], 1_000, START + 200)
    assert ledger.check(block).block == block
    assert (ledger.coins, ledger.headers) == (coins, headers)


Change = Callable[[BlockHeader], BlockHeader]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda header: remined(replace(header, prev_hash=bytes(32))), "last block"),
        (lambda header: remined(replace(header, bits=BITS - 1)), "never change"),
        (lambda header: remined(replace(header, time=START + 96)), "median"),
        (lambda header: remined(replace(header, version=4)), "version"),
        (lambda header: remined(replace(header, merkle_root=bytes(32))), "other transactions"),
    ],
)
def test_headers_that_break_a_rule(ledger: Ledger, change: Change, reason: str) -> None:
    block = next_block(ledger, [], 0, START + 200)
    ledger.check(block)
    with pytest.raises(Refusal, match=reason):
        ledger.check(replace(block, header=change(block.header)))


def test_proof_of_work_is_needed(ledger: Ledger) -> None:
    block = next_block(ledger, [], 0, START + 200)
    header = block.header
    while meets_target(header):
        header = replace(header, nonce=header.nonce + 1)
    with pytest.raises(Refusal, match="no proof of work"):
        ledger.check(replace(block, header=header))


def test_the_earliest_time(ledger: Ledger) -> None:
    # The blocks 91 to 101 came one second apart: their median is block 96's.
    assert ledger.earliest_time() == START + 97
    ledger.check(next_block(ledger, [], 0, START + 97))


def _also(tx: Transaction, **changes: object) -> Transaction:
    return replace(tx, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tx: _also(tx, lock_time=1), "lock times"),
        (lambda tx: _also(tx, inputs=(replace(tx.inputs[0], sequence=0xFFFF_FFFF),)), "lock times"),
        (lambda tx: _also(tx, inputs=(replace(tx.inputs[0], script=b"\x51"),)), "input scripts"),
        (lambda tx: _also(tx, witnesses=()), "OP_TRUE"),
        (lambda tx: _also(tx, witnesses=((b"\x52",),)), "OP_TRUE"),
        (lambda tx: _also(tx, inputs=(replace(tx.inputs[0], prev_index=1),)), "does not exist"),
        (lambda tx: _also(tx, inputs=(replace(tx.inputs[0], prev_txid=bytes([1] * 32)),)), "does not exist"),
        (lambda tx: _also(tx, inputs=tx.inputs * 2, witnesses=tx.witnesses * 2), "spent already"),
        (lambda tx: _also(tx, outputs=(TxOutput(50 * 100_000_000 + 1, LOCK_SCRIPT),)), "more than it spends"),
        (lambda tx: _also(tx, outputs=(TxOutput(1, b"\x51"),)), "outputs of a kind"),
        (lambda tx: _also(tx, outputs=(TxOutput(0, b"\x6a\xac"),)), "outputs of a kind"),
    ],
)
def test_transactions_that_break_a_rule(
    ledger: Ledger, change: Callable[[Transaction], Transaction], reason: str
) -> None:
    tx = spending(ledger)
    ledger.check(next_block(ledger, [tx], 1_000, START + 200))
    with pytest.raises(Refusal, match=reason):
        ledger.check(next_block(ledger, [change(tx)], 0, START + 200))


def test_a_coin_cannot_be_spent_twice_in_one_block(ledger: Ledger) -> None:
    first, second = spending(ledger, keep=1_000), spending(ledger, keep=2_000)
    with pytest.raises(Refusal, match="spent already"):
        ledger.check(next_block(ledger, [first, second], 3_000, START + 200))


def test_a_coinbase_matures_after_100_blocks(ledger: Ledger) -> None:
    ledger.check(next_block(ledger, [spending(ledger, 1)], 1_000, START + 200))
    with pytest.raises(Refusal, match="100 blocks"):
        ledger.check(next_block(ledger, [spending(ledger, 2)], 1_000, START + 200))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tx: _also(tx, outputs=(replace(tx.outputs[0], value=tx.outputs[0].value + 1), tx.outputs[1])), "more"),
        (lambda tx: _also(tx, inputs=(replace(tx.inputs[0], script=height_push(103) + COINBASE_LABEL),)), "BIP 34"),
        (lambda tx: _also(tx, inputs=(replace(tx.inputs[0], script=height_push(102)),)), "label"),
        (lambda tx: _also(tx, outputs=(replace(tx.outputs[0], script=b"\x51"), tx.outputs[1])), "outputs of a kind"),
    ],
)
def test_coinbases_that_break_a_rule(ledger: Ledger, change: Callable[[Transaction], Transaction], reason: str) -> None:
    block = next_block(ledger, [spending(ledger)], 1_000, START + 200)
    ledger.check(resealed(block, block.transactions[0]))
    with pytest.raises(Refusal, match=reason):
        ledger.check(resealed(block, change(block.transactions[0])))


def test_a_block_must_not_be_too_heavy(ledger: Ledger) -> None:
    tx = spending(ledger)
    outputs = (*tx.outputs, *(TxOutput(0, b"\x6a\x4c\xff" + bytes(255)) for _ in range(3_800)))
    block = next_block(ledger, [replace(tx, outputs=outputs)], 1_000, START + 200)
    assert block.weight() > 4_000_000
    with pytest.raises(Refusal, match="heavier"):
        ledger.check(block)
    ledger.check(next_block(ledger, [replace(tx, outputs=outputs[:3_600])], 1_000, START + 200))


def test_the_witness_commitment_covers_the_witnesses(ledger: Ledger) -> None:
    tx = spending(ledger)
    block = next_block(ledger, [tx], 1_000, START + 200)
    script = block.transactions[0].outputs[1].script
    assert script == WITNESS_COMMITMENT_PREFIX + witness_commitment([tx], bytes(32))
    with pytest.raises(Refusal, match="other witnesses"):
        ledger.check(replace(block, transactions=(block.transactions[0], replace(tx, witnesses=((b"\x52",),)))))
