"""Whole blocks: parsed, and checked against the two hashes that commit to their transactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wattseal.core.bitcoin.branch import merkle_root
from wattseal.core.bitcoin.digest import double_sha256
from wattseal.core.bitcoin.header import HEADER_BYTES, BlockHeader, parse_header
from wattseal.core.bitcoin.tx import Transaction, read_transaction
from wattseal.core.bitcoin.wire import Reader, compact_size
from wattseal.core.refusal import Refusal

# BIP 141: also the most bytes that a block can have.
MAX_BLOCK_WEIGHT = 4_000_000
# BIP 141: OP_RETURN, a push of 36 bytes, and four bytes of marker in front of the commitment.
WITNESS_COMMITMENT_PREFIX = bytes.fromhex("6a24aa21a9ed")

# Version 4, one input of 41 bytes, one output of 9 and the lock time, with the two counts.
_MIN_TX_BYTES = 60


@dataclass(frozen=True, slots=True)
class Block:
    """A header and the transactions that came with it; `check_commitments` says whether they belong together."""

    header: BlockHeader
    transactions: tuple[Transaction, ...]

    def serialise(self) -> bytes:
        """The bytes that were parsed."""
        count = compact_size(len(self.transactions))
        return self.header.serialise() + count + b"".join(tx.serialise() for tx in self.transactions)

    def txids(self) -> tuple[bytes, ...]:
        """The transactions' ids in the block's order."""
        return tuple(tx.txid() for tx in self.transactions)

    def weight(self) -> int:
        """Weight units (BIP 141)."""
        framing = HEADER_BYTES + len(compact_size(len(self.transactions)))
        return 4 * framing + sum(tx.weight() for tx in self.transactions)


def parse_block(raw: bytes) -> Block:
    """Parse one whole block; anything after it is refused. Proof of work and commitments are checked elsewhere."""
    if len(raw) > MAX_BLOCK_WEIGHT:
        raise Refusal("block", f"has {len(raw)} bytes, more than Bitcoin allows")
    header = parse_header(raw[:HEADER_BYTES])
    reader = Reader(raw[HEADER_BYTES:], "block")
    transactions = tuple(read_transaction(reader) for _ in range(reader.count(_MIN_TX_BYTES)))
    reader.finish()
    return Block(header, transactions)


def check_commitments(block: Block) -> None:
    """Refuse unless the header commits to the transactions and the coinbase to the witnesses (BIP 141)."""
    coinbases = [tx.is_coinbase() for tx in block.transactions]
    if coinbases.count(True) != 1 or not coinbases[0]:
        raise Refusal("block", "does not begin with its one coinbase transaction")
    if merkle_root(block.txids()) != block.header.merkle_root:
        raise Refusal("block", "holds other transactions than its header commits to")
    first = block.transactions[0]
    committed = [out.script for out in first.outputs if out.script.startswith(WITNESS_COMMITMENT_PREFIX)]
    # BIP 141: the last such output counts, and bytes after the commitment have no meaning yet.
    claimed = committed[-1][len(WITNESS_COMMITMENT_PREFIX) :][:32] if committed else None
    if claimed is None:
        if any(tx.witnesses for tx in block.transactions):
            raise Refusal("block", "carries witnesses that it does not commit to")
        return
    if len(first.witnesses) != 1 or len(first.witnesses[0]) != 1 or len(first.witnesses[0][0]) != 32:
        raise Refusal("block", "has a coinbase without the one reserved value of 32 bytes in its witness")
    if claimed != witness_commitment(block.transactions[1:], first.witnesses[0][0]):
        raise Refusal("block", "holds other witnesses than its coinbase commits to")


def witness_commitment(others: Sequence[Transaction], reserved: bytes) -> bytes:
    """The 32 bytes that a coinbase commits to (BIP 141): over the wtxids of all `others`, its own counted as zeros."""
    wtxids = [bytes(32), *(tx.wtxid() for tx in others)]
    return double_sha256(merkle_root(wtxids) + reserved)
