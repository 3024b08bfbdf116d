"""Bitcoin's consensus rules with regtest's parameters, as far as the simulated chain makes use of them.

Narrower than Bitcoin on purpose: what these rules accept, Bitcoin Core accepts on regtest (tests/interop holds them
against libbitcoinkernel), while much that Core accepts is refused here. Every coin is locked with P2WSH of the script
OP_TRUE: a real segregated-witness output that anybody may spend, so there is no key to keep and nothing to sign.
Relay policy is no part of it: there is no network to relay to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from wattseal.core.bitcoin.block import MAX_BLOCK_WEIGHT, WITNESS_COMMITMENT_PREFIX, Block, witness_commitment
from wattseal.core.bitcoin.block import check_commitments as check_block_commitments
from wattseal.core.bitcoin.branch import merkle_root
from wattseal.core.bitcoin.chain import chain_named
from wattseal.core.bitcoin.header import BlockHeader, check_proof_of_work, meets_target
from wattseal.core.bitcoin.script import op_return_pushes
from wattseal.core.bitcoin.tx import Transaction, TxInput, TxOutput
from wattseal.core.refusal import Refusal

GENESIS: Final = bytes.fromhex(
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3"
    "888a51323a9fb8aa4b1e5e4adae5494dffff7f2002000000"
    "0101000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054"
    "696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f75742066"
    "6f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb6"
    "49f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)
BITS: Final = 0x207FFFFF
POW_LIMIT: Final = chain_named("regtest").pow_limit
HALVING_BLOCKS: Final = 150
COINBASE_MATURITY: Final = 100

OP_TRUE: Final = b"\x51"
LOCK_SCRIPT: Final = b"\x00\x20" + hashlib.sha256(OP_TRUE).digest()
LOCK_WITNESS: Final = (OP_TRUE,)
# Final with any lock time, without a relative lock time (BIP 68), and open to replacement (BIP 125).
SEQUENCE: Final = 0xFFFF_FFFD

# In every coinbase: whoever finds one of these blocks can read what it is.
COINBASE_LABEL: Final = b"/Wattseal simulated chain/"
_VERSION: Final = 0x2000_0000
_RESERVED: Final = bytes(32)
_MEDIAN_BLOCKS: Final = 11

Outpoint = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output: satoshi, and the height of its block if that block's coinbase made it."""

    value: int
    coinbase_height: int | None

    def mature_at(self, height: int) -> bool:
        """Whether a block at `height` may spend it."""
        return self.coinbase_height is None or height - self.coinbase_height >= COINBASE_MATURITY


@dataclass(frozen=True, slots=True)
class Connection:
    """A checked block with what it does to the coins; `fees` in satoshi, one per transaction, the coinbase's zero."""

    block: Block
    spent: frozenset[Outpoint]
    created: dict[Outpoint, Coin]
    fees: tuple[int, ...]


class Ledger:
    """The chain's headers and coins. `check` changes nothing, so that a block can be stored before it counts."""

    __slots__ = ("coins", "headers")

    def __init__(self, genesis: Block) -> None:
        self.headers = [genesis.header]
        # The genesis block's own coin can never be spent.
        self.coins: dict[Outpoint, Coin] = {}

    @property
    def tip_height(self) -> int:
        """The height of the last block; the genesis block's is 0."""
        return len(self.headers) - 1

    def earliest_time(self) -> int:
        """The smallest time that the next block may carry: one second after the median of the last eleven."""
        times = sorted(header.time for header in self.headers[-_MEDIAN_BLOCKS:])
        return times[len(times) // 2] + 1

    def check(self, block: Block) -> Connection:
        """Check `block` as the next one; Refusal if any rule is broken."""
        height = len(self.headers)
        self._check_header(block.header)
        check_block_commitments(block)
        if block.weight() > MAX_BLOCK_WEIGHT:
            raise Refusal("block", "is heavier than Bitcoin allows")
        if not all(_is_known_output(paid) for tx in block.transactions for paid in tx.outputs):
            raise Refusal("block", "has outputs of a kind that this chain does not use")
        spent: set[Outpoint] = set()
        created: dict[Outpoint, Coin] = {}
        fees = [0]
        for tx in block.transactions[1:]:
            fees.append(self.fee(tx, height, spent, created))
            created |= outputs_of(tx, None)
            spent.update(outpoints(tx))
        coinbase = block.transactions[0]
        if coinbase.inputs[0].script != height_push(height) + COINBASE_LABEL:
            raise Refusal("coinbase", "does not carry the block's height (BIP 34) and this chain's label")
        if sum(paid.value for paid in coinbase.outputs) > subsidy_sat(height) + sum(fees):
            raise Refusal("coinbase", "pays itself more than subsidy and fees")
        created |= outputs_of(coinbase, height)
        return Connection(block, frozenset(spent), created, tuple(fees))

    def apply(self, connection: Connection) -> None:
        """Make a checked block the new tip. It must have been checked on the present one."""
        self.headers.append(connection.block.header)
        self.coins |= connection.created
        for outpoint in connection.spent:
            del self.coins[outpoint]

    def fee(self, tx: Transaction, height: int, spent: set[Outpoint], created: dict[Outpoint, Coin]) -> int:
        """The satoshi that `tx` leaves to the miner of a block at `height`; Refusal if it may not stand there.

        `created` and `spent` are the coins that the transactions in front of it make and use up.
        """
        if tx.lock_time or any(spending.sequence != SEQUENCE or spending.script for spending in tx.inputs):
            raise Refusal("tx", "uses lock times or input scripts, which this chain does not")
        if tx.witnesses != (LOCK_WITNESS,) * len(tx.inputs):
            raise Refusal("tx", "does not unlock its coins with the script OP_TRUE")
        available = 0
        used: set[Outpoint] = set()
        for outpoint in outpoints(tx):
            coin = created.get(outpoint) or self.coins.get(outpoint)
            if coin is None or outpoint in spent or outpoint in used:
                raise Refusal("tx", "spends a coin that does not exist or is spent already")
            if not coin.mature_at(height):
                raise Refusal("tx", f"spends a coinbase before {COINBASE_MATURITY} blocks have passed")
            used.add(outpoint)
            available += coin.value
        fee = available - sum(paid.value for paid in tx.outputs)
        if fee < 0:
            raise Refusal("tx", "pays more than it spends")
        return fee

    def _check_header(self, header: BlockHeader) -> None:
        if header.prev_hash != self.headers[-1].hash():
            raise Refusal("header", "does not build on the last block")
        if header.bits != BITS:
            raise Refusal("header.bits", "are not regtest's, which never change")
        check_proof_of_work(header, POW_LIMIT)
        if header.time < self.earliest_time():
            raise Refusal("header.time", "is not after the median of the last eleven blocks")
        if header.version != _VERSION:
            raise Refusal("header.version", "is not the one that this chain uses")


def outpoints(tx: Transaction) -> list[Outpoint]:
    """The coins that `tx` spends."""
    return [(spending.prev_txid, spending.prev_index) for spending in tx.inputs]


def outputs_of(tx: Transaction, coinbase_height: int | None) -> dict[Outpoint, Coin]:
    """The coins that `tx` makes: the outputs under this chain's one lock; no other output can be spent here."""
    txid = tx.txid()
    return {
        (txid, index): Coin(paid.value, coinbase_height)
        for index, paid in enumerate(tx.outputs)
        if paid.script == LOCK_SCRIPT
    }


def _is_known_output(paid: TxOutput) -> bool:
    return paid.script == LOCK_SCRIPT or bool(op_return_pushes(paid.script))


def subsidy_sat(height: int) -> int:
    """New satoshi in the block at `height`: 50 bitcoin, halved every 150 blocks."""
    halvings = height // HALVING_BLOCKS
    return 50 * 100_000_000 >> halvings if halvings < 64 else 0


def height_push(height: int) -> bytes:
    """The script bytes that push `height` as BIP 34 wants them: OP_1 to OP_16, else the shortest signed number."""
    if height <= 16:
        return bytes([0x50 + height])
    # One bit more for the sign.
    width = height.bit_length() // 8 + 1
    return bytes([width]) + height.to_bytes(width, "little")


def next_block(ledger: Ledger, transactions: Sequence[Transaction], fees_sat: int, time: int) -> Block:
    """The next block over `transactions`, its proof of work found by trying nonces from 0 (two on average)."""
    height = len(ledger.headers)
    commitment = witness_commitment(transactions, _RESERVED)
    coinbase = Transaction(
        version=2,
        inputs=(TxInput(bytes(32), 0xFFFF_FFFF, height_push(height) + COINBASE_LABEL, 0xFFFF_FFFF),),
        outputs=(
            TxOutput(subsidy_sat(height) + fees_sat, LOCK_SCRIPT),
            TxOutput(0, WITNESS_COMMITMENT_PREFIX + commitment),
        ),
        witnesses=((_RESERVED,),),
        lock_time=0,
    )
    whole = (coinbase, *transactions)
    root = merkle_root([tx.txid() for tx in whole])
    return Block(_mined(ledger.headers[-1].hash(), root, time), whole)


def _mined(prev_hash: bytes, root: bytes, time: int) -> BlockHeader:
    header = BlockHeader(_VERSION, prev_hash, root, time, BITS, nonce=0)
    while not meets_target(header):
        header = replace(header, nonce=header.nonce + 1)
    return header
