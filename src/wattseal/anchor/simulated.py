"""The simulated chain: an anchor port that is its own miner, wallet and node, in this process.

Its blocks, transactions, branches and proof of work are real in form: they obey regtest's consensus rules and start
from regtest's genesis block. They prove nothing about time, since anybody can make such a chain in a second. Chain name
"simulated", and `simulated` is true wherever the port is asked.

The stored blocks are the authority. A block or a pending transaction is handed to the `ChainStore` first and counts
only after the store has returned; a store that raises leaves the chain in memory as it was. If it is unclear whether
the store has kept the block all the same, load the chain anew. One chain belongs to one process and one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol, Self

from wattseal.anchor.port import AnchorStatus, AnchorTicket, AnchorUnavailableError
from wattseal.anchor.regtest import (
    COINBASE_MATURITY,
    GENESIS,
    LOCK_SCRIPT,
    LOCK_WITNESS,
    SEQUENCE,
    Coin,
    Connection,
    Ledger,
    Outpoint,
    next_block,
    outpoints,
    outputs_of,
)
from wattseal.core.anchor_check import BEACON_BYTES
from wattseal.core.anchor_evidence import BitcoinEvidence
from wattseal.core.anchor_payload import anchor_script, anchored_digest
from wattseal.core.bitcoin.block import parse_block
from wattseal.core.bitcoin.script import op_return_payloads
from wattseal.core.bitcoin.tx import Transaction, TxInput, TxOutput, parse_transaction
from wattseal.core.refusal import Refusal

CHAIN: Final = "simulated"
FINAL_DEPTH: Final = 6
BEACON_DEPTH: Final = 6
FEE_SAT_PER_VBYTE: Final = 2
# The first coinbase can be spent in the block after this many.
FIRST_BLOCKS: Final = COINBASE_MATURITY + 1
BLOCK_SECONDS: Final = 600
# About 600 weight units each: far below a block's limit.
_MAX_PENDING_PER_BLOCK: Final = 2_000
_MAX_TIME: Final = 0xFFFF_FFFF
_TX_VERSION: Final = 2


class ChainStore(Protocol):
    """Where a chain is kept. Both methods return only when a crash can no longer lose what they were given."""

    def save_blocks(self, first_height: int, blocks: Sequence[bytes]) -> None:
        """Keep raw blocks under `first_height` and the heights after it: all or none, and none that is taken."""

    def save_pending(self, txid: bytes, raw: bytes) -> None:
        """Keep a transaction that waits for a block. It may be dropped once a stored block holds it."""


class SimulatedChain:
    """An `AnchorPort`; beside the port's methods it has the ones that let a caller mine and look at the chain."""

    chain: Final = CHAIN
    simulated: Final = True
    final_depth: Final = FINAL_DEPTH

    def __init__(self, genesis: bytes, store: ChainStore | None) -> None:
        if genesis != GENESIS:
            raise Refusal("blocks.0", "is not regtest's genesis block")
        self._store = store
        self._blocks = [parse_block(genesis)]
        self._ledger = Ledger(self._blocks[0])
        # Digest -> the height of its block, the transaction's id, and its fee in satoshi.
        self._anchored: dict[bytes, tuple[int, bytes, int]] = {}
        # Digest -> the transaction that waits for a block, in the order of asking, and its fee in satoshi.
        self._pending: dict[bytes, tuple[Transaction, int]] = {}

    @classmethod
    def create(cls, now: int, store: ChainStore | None = None) -> Self:
        """A new chain with just enough blocks to pay for anchors, one each ten minutes, the last at `now`.

        `now` is in Unix seconds; two chains created for the same second have the same blocks.
        """
        chain = cls(GENESIS, store)
        start = now - FIRST_BLOCKS * BLOCK_SECONDS
        if start < chain._ledger.headers[0].time:
            raise Refusal("now", "is too early: the first blocks would be older than regtest's genesis block")
        for height in range(1, FIRST_BLOCKS + 1):
            chain._connect(chain._next(start + height * BLOCK_SECONDS))
        if store is not None:
            store.save_blocks(0, chain.blocks())
        return chain

    @classmethod
    def load(cls, blocks: Sequence[bytes], pending: Iterable[bytes] = (), store: ChainStore | None = None) -> Self:
        """The chain of these stored blocks (by height from 0), each one checked again as if it came from a stranger.

        `pending` are the stored waiting transactions in the order in which they were saved; those that a block holds
        by now are skipped. Refusal names the first block or transaction that breaks a rule.
        """
        if not blocks:
            raise Refusal("blocks", "are missing: create a chain instead")
        chain = cls(blocks[0], store)
        for height, raw in enumerate(blocks[1:], 1):
            try:
                chain._connect(chain._ledger.check(parse_block(raw)))
            except Refusal as refusal:
                raise Refusal(f"blocks.{height}", str(refusal)) from None
        for raw in pending:
            tx = parse_transaction(raw)
            digests = [digest for digest in _digests(tx) if digest not in chain._anchored]
            if digests:
                chain._pending[digests[0]] = tx, chain._fee(tx)
        return chain

    @property
    def tip_height(self) -> int:
        """The height of the last block."""
        return self._ledger.tip_height

    def blocks(self) -> tuple[bytes, ...]:
        """Every block's bytes, by height from 0: what `load` takes."""
        return tuple(block.serialise() for block in self._blocks)

    def pending(self) -> tuple[bytes, ...]:
        """The transactions that wait for a block: what `load` takes."""
        return tuple(tx.serialise() for tx, _ in self._pending.values())

    def known_blocks(self) -> dict[int, bytes]:
        """Height -> block hash (internal order), for a `ChainTrust`."""
        return {height: header.hash() for height, header in enumerate(self._ledger.headers)}

    def beacon(self) -> tuple[int, bytes]:
        """Height and first eight bytes of the hash of the block six below the tip, for readings to carry."""
        height = max(0, self.tip_height - BEACON_DEPTH)
        return height, self._ledger.headers[height].hash()[:BEACON_BYTES]

    def mine(self, now: int, n: int = 1) -> int:
        """Find `n` blocks over what is pending, each stored before it counts; returns the new tip's height.

        A block carries the time `now` (Unix seconds), or, where the chain is ahead of that, the earliest one allowed.
        """
        for _ in range(n):
            connection = self._next(max(now, self._ledger.earliest_time()))
            if self._store is not None:
                self._store.save_blocks(self.tip_height + 1, [connection.block.serialise()])
            self._connect(connection)
        return self.tip_height

    def publish(self, digest: bytes, now: int) -> AnchorTicket:
        """Pay for a transaction that commits to `digest`, unless there is one already; `mine` puts it in a block."""
        script = anchor_script(digest)
        if digest not in self._anchored and digest not in self._pending:
            tx = self._pay(script)
            fee = self._fee(tx)
            if self._store is not None:
                self._store.save_pending(tx.txid(), tx.serialise())
            self._pending[digest] = tx, fee
        return AnchorTicket(CHAIN, digest, now)

    def poll(self, ticket: AnchorTicket) -> AnchorStatus:
        """Where the anchor stands; `planned` only for a digest that was never published here."""
        if ticket.chain != CHAIN:
            raise Refusal("ticket.chain", f"is {ticket.chain}, not {CHAIN}")
        if ticket.digest in self._pending:
            tx, fee = self._pending[ticket.digest]
            return AnchorStatus("broadcast", simulated=True, txid=tx.txid(), fee_msat=fee * 1_000)
        if ticket.digest not in self._anchored:
            return AnchorStatus("planned", simulated=True)
        height, txid, fee = self._anchored[ticket.digest]
        return AnchorStatus(
            state="final" if self.tip_height - height + 1 >= FINAL_DEPTH else "in_block",
            simulated=True,
            txid=txid,
            fee_msat=fee * 1_000,
            height=height,
            evidence=self.evidence(ticket.digest),
        )

    def evidence(self, digest: bytes, depth: int = FINAL_DEPTH) -> BitcoinEvidence | None:
        """The evidence for `digest` with at most `depth` headers, its own block's first; None if no block holds it."""
        if digest not in self._anchored:
            return None
        height = self._anchored[digest][0]
        successors = self._ledger.headers[height + 1 : height + depth]
        return BitcoinEvidence.from_block(CHAIN, height, self._blocks[height], digest, successors)

    def _next(self, time: int) -> Connection:
        if not 0 <= time <= _MAX_TIME:
            raise Refusal("now", "does not fit a block header")
        chosen = list(self._pending.values())[:_MAX_PENDING_PER_BLOCK]
        block = next_block(self._ledger, [tx for tx, _ in chosen], sum(fee for _, fee in chosen), time)
        return self._ledger.check(block)

    def _connect(self, connection: Connection) -> None:
        self._ledger.apply(connection)
        self._blocks.append(connection.block)
        for tx, fee in zip(connection.block.transactions, connection.fees, strict=True):
            for digest in _digests(tx):
                self._anchored.setdefault(digest, (self.tip_height, tx.txid(), fee))
                self._pending.pop(digest, None)

    def _pool(self) -> tuple[set[Outpoint], dict[Outpoint, Coin]]:
        """The coins that pending transactions spend, and those that they make."""
        spent: set[Outpoint] = set()
        made: dict[Outpoint, Coin] = {}
        for tx, _ in self._pending.values():
            spent.update(outpoints(tx))
            made |= outputs_of(tx, None)
        return spent, made

    def _fee(self, tx: Transaction) -> int:
        return self._ledger.fee(tx, self.tip_height + 1, *self._pool())

    def _pay(self, script: bytes) -> Transaction:
        """A transaction with `script` as an output without value, paid from the oldest coin that can be spent."""
        spent, made = self._pool()
        # Every such transaction has one size, whichever coin pays for it.
        fee = FEE_SAT_PER_VBYTE * _vsize(_spending((bytes(32), 0), 0, script))
        for coins in (self._ledger.coins, made):
            for outpoint, coin in coins.items():
                if outpoint not in spent and coin.mature_at(self.tip_height + 1) and coin.value >= fee:
                    return _spending(outpoint, coin.value - fee, script)
        raise AnchorUnavailableError("the simulated wallet has no coin to spend: mine some blocks first")


def _digests(tx: Transaction) -> list[bytes]:
    """The digests that `tx` anchors."""
    return [digest for payload in op_return_payloads(tx) if (digest := anchored_digest(payload)) is not None]


def _spending(outpoint: Outpoint, change_sat: int, script: bytes) -> Transaction:
    return Transaction(
        version=_TX_VERSION,
        inputs=(TxInput(*outpoint, script=b"", sequence=SEQUENCE),),
        outputs=(TxOutput(change_sat, LOCK_SCRIPT), TxOutput(0, script)),
        witnesses=(LOCK_WITNESS,),
        lock_time=0,
    )


def _vsize(tx: Transaction) -> int:
    """Virtual bytes: a quarter of the weight, rounded up."""
    return -(-tx.weight() // 4)
