from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.bitcoin_strategies import transactions
from tests.core.real_bitcoin import TX_170, TX_BIP143, TXID_170
from wattseal.core.bitcoin.digest import to_display
from wattseal.core.bitcoin.tx import (
    MAX_MONEY_SAT,
    MAX_TX_BYTES,
    Transaction,
    TxInput,
    TxOutput,
    could_be_transaction,
    parse_transaction,
)
from wattseal.core.refusal import Refusal


def test_the_first_payment() -> None:
    tx = parse_transaction(TX_170)
    assert to_display(tx.txid()) == TXID_170
    assert tx.wtxid() == tx.txid()
    assert tx.serialise() == tx.stripped() == TX_170
    assert [paid.value for paid in tx.outputs] == [1_000_000_000, 4_000_000_000]
    assert to_display(tx.inputs[0].prev_txid) == "0437cd7f8525ceed2324359c2d0ba26006d92d856a9c20fa0241106ee5a597c9"
    assert not tx.is_coinbase()
    assert tx.weight() == 4 * 275


def test_a_segregated_witness_transaction() -> None:
    tx = parse_transaction(TX_BIP143)
    assert to_display(tx.txid()) == "e8151a2af31c368a35053ddd4bdb285a8595c769a3ad83e0fa02314a602d4609"
    assert tx.serialise() == TX_BIP143
    assert tx.wtxid() != tx.txid()
    assert [len(stack) for stack in tx.witnesses] == [0, 2]
    assert (tx.version, tx.lock_time) == (1, 17)
    assert parse_transaction(tx.stripped()) == replace(tx, witnesses=())


@given(transactions())
def test_transactions_come_back(tx: Transaction) -> None:
    raw = tx.serialise()
    assert parse_transaction(raw) == tx
    assert parse_transaction(tx.stripped()).txid() == tx.txid()
    assert tx.weight() == 3 * len(tx.stripped()) + len(raw)


@given(transactions(), st.data())
def test_no_two_bytes_strings_are_one_transaction(tx: Transaction, data: st.DataObject) -> None:
    """Whatever is still accepted after a flipped bit serialises to exactly the bytes that were given."""
    raw = bytearray(tx.serialise())
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit >> 3] ^= 1 << (bit & 7)
    try:
        changed = parse_transaction(bytes(raw))
    except Refusal:
        return
    assert changed.serialise() == raw
    assert changed != tx


@given(transactions(), st.data())
def test_cut_off_or_longer_transactions_are_refused(tx: Transaction, data: st.DataObject) -> None:
    raw = tx.serialise()
    with pytest.raises(Refusal):
        parse_transaction(raw[: data.draw(st.integers(0, len(raw) - 1))])
    with pytest.raises(Refusal, match="too many"):
        parse_transaction(raw + data.draw(st.binary(min_size=1, max_size=5)))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_come_back(raw: bytes) -> None:
    try:
        tx = parse_transaction(raw)
    except Refusal:
        return
    assert tx.serialise() == raw


SPENT = TxInput(bytes([7] * 32), 0, b"", 0xFFFF_FFFF)


def _paying(*values: int, script: bytes = b"") -> Transaction:
    return Transaction(2, (SPENT,), tuple(TxOutput(value, script) for value in values), (), 0)


def test_64_bytes_are_refused_with_the_reason() -> None:
    tx = _paying(1, script=bytes(4))
    assert len(tx.stripped()) == 64
    with pytest.raises(Refusal, match="CVE-2017-12842"):
        parse_transaction(tx.serialise())
    # Witnesses do not hide it: the block commits to the stripped form.
    with pytest.raises(Refusal, match="CVE-2017-12842"):
        parse_transaction(replace(tx, witnesses=((b"x",),)).serialise())
    for length in (63, 65):
        assert parse_transaction(_paying(1, script=bytes(length - 60)).serialise()).outputs[0].value == 1


def test_what_could_be_a_transaction() -> None:
    assert could_be_transaction(_paying(1, script=bytes(4)).serialise())
    assert not could_be_transaction(bytes(64))
    assert not could_be_transaction(bytes([1] * 64))


@pytest.mark.parametrize(
    ("tx", "reason"),
    [
        (_paying(), "no outputs"),
        (replace(_paying(1, 1), inputs=()), "no inputs"),
        (replace(_paying(1), inputs=(), witnesses=((b"x",),)), "no inputs"),
        (_paying(MAX_MONEY_SAT + 1), "21 million"),
        (_paying(MAX_MONEY_SAT, 1), "21 million"),
        (_paying((1 << 64) - 1), "21 million"),
        (replace(_paying(1), witnesses=((),)), "without any witness"),
    ],
)
def test_impossible_transactions(tx: Transaction, reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        parse_transaction(tx.serialise())


def test_all_the_money_there_is() -> None:
    assert parse_transaction(_paying(MAX_MONEY_SAT).serialise()).outputs[0].value == MAX_MONEY_SAT


def test_an_unknown_witness_flag_is_refused() -> None:
    raw = bytearray(TX_BIP143)
    raw[5] = 2
    with pytest.raises(Refusal, match="unknown witness flag"):
        parse_transaction(bytes(raw))


def test_a_size_that_no_block_holds_is_refused_before_parsing() -> None:
    with pytest.raises(Refusal, match="any block"):
        parse_transaction(bytes(MAX_TX_BYTES + 1))


def test_a_coinbase_is_told_by_its_missing_coin() -> None:
    coinbase = replace(_paying(1), inputs=(TxInput(bytes(32), 0xFFFF_FFFF, b"\x51\x51", 0),))
    assert coinbase.is_coinbase()
    assert not replace(coinbase, inputs=(TxInput(bytes(32), 0, b"", 0),)).is_coinbase()
    assert not replace(coinbase, inputs=(*coinbase.inputs, SPENT)).is_coinbase()
