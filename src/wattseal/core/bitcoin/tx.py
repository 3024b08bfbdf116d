"""Transactions: both serialisations parsed strictly, and the id that a block commits to.

Consensus rules that need other data (scripts, signatures, whether coins exist) are not checked here. The limits on
sizes and values are Bitcoin's own, so nothing that stands in a block is refused, with one exception on purpose: a
transaction of exactly 64 bytes (see `parse_transaction`).
"""

from __future__ import annotations

from dataclasses import dataclass

from wattseal.core.bitcoin.digest import double_sha256
from wattseal.core.bitcoin.wire import Reader, byte_string, compact_size
from wattseal.core.refusal import Refusal

# A block's weight limit; a transaction made of witness alone could come near it.
MAX_TX_BYTES = 4_000_000
MAX_MONEY_SAT = 21_000_000 * 100_000_000
# The size of two hashes, which is what an inner node of a block's tree is made of.
INNER_NODE_BYTES = 64

_MIN_INPUT_BYTES = 32 + 4 + 1 + 4
_MIN_OUTPUT_BYTES = 8 + 1


@dataclass(frozen=True, slots=True)
class TxInput:
    """The coin that is spent: output `prev_index` of transaction `prev_txid` (internal order)."""

    prev_txid: bytes
    prev_index: int
    script: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class TxOutput:
    """`value` in satoshi, and the script that locks it."""

    value: int
    script: bytes


@dataclass(frozen=True, slots=True)
class Transaction:
    """A parsed transaction. `witnesses` has one stack for each input, or is empty in the legacy serialisation."""

    version: int
    inputs: tuple[TxInput, ...]
    outputs: tuple[TxOutput, ...]
    witnesses: tuple[tuple[bytes, ...], ...]
    lock_time: int

    def stripped(self) -> bytes:
        """The serialisation without witnesses: what the txid, and so the block's tree, commits to."""
        return self._version() + self._body() + self._lock_time()

    def serialise(self) -> bytes:
        """The bytes that were parsed: with witnesses (BIP 144) where there are any."""
        if not self.witnesses:
            return self.stripped()
        stacks = b"".join(
            compact_size(len(stack)) + b"".join(byte_string(item) for item in stack) for stack in self.witnesses
        )
        return self._version() + b"\x00\x01" + self._body() + stacks + self._lock_time()

    def txid(self) -> bytes:
        """Double SHA-256 of the stripped serialisation, internal order."""
        return double_sha256(self.stripped())

    def wtxid(self) -> bytes:
        """Double SHA-256 of the whole serialisation, internal order (BIP 141; a coinbase's counts as zeros there)."""
        return double_sha256(self.serialise())

    def weight(self) -> int:
        """Weight units (BIP 141): three times the stripped size plus the whole size."""
        return 3 * len(self.stripped()) + len(self.serialise())

    def is_coinbase(self) -> bool:
        """Whether this is a block's first transaction, which spends no coin."""
        first = self.inputs[0]
        return len(self.inputs) == 1 and first.prev_txid == bytes(32) and first.prev_index == 0xFFFF_FFFF

    def _version(self) -> bytes:
        return self.version.to_bytes(4, "little")

    def _body(self) -> bytes:
        parts = [compact_size(len(self.inputs))]
        for spent in self.inputs:
            index, sequence = spent.prev_index.to_bytes(4, "little"), spent.sequence.to_bytes(4, "little")
            parts += [spent.prev_txid, index, byte_string(spent.script), sequence]
        parts.append(compact_size(len(self.outputs)))
        for paid in self.outputs:
            parts += [paid.value.to_bytes(8, "little"), byte_string(paid.script)]
        return b"".join(parts)

    def _lock_time(self) -> bytes:
        return self.lock_time.to_bytes(4, "little")


def parse_transaction(raw: bytes) -> Transaction:
    """Parse one whole transaction, legacy or segregated-witness; anything after it is refused.

    A transaction whose stripped form has 64 bytes is refused: the same bytes could be an inner node of a block's tree
    (CVE-2017-12842), so that a branch through it could prove a transaction that no block holds.
    """
    if len(raw) > MAX_TX_BYTES:
        raise Refusal("tx", f"has {len(raw)} bytes, more than any block can hold")
    reader = Reader(raw, "tx")
    tx = read_transaction(reader)
    reader.finish()
    if len(tx.stripped()) == INNER_NODE_BYTES:
        raise Refusal("tx", "has 64 bytes and could be an inner node of a block's tree (CVE-2017-12842)")
    return tx


def could_be_transaction(node: bytes) -> bool:
    """Whether the two hashes under an inner node also parse as a transaction (by chance: about once in 2**42)."""
    reader = Reader(node, "node")
    try:
        read_transaction(reader)
        reader.finish()
    except Refusal:
        return False
    return True


def read_transaction(reader: Reader) -> Transaction:
    """Read the next transaction; the caller decides what may follow it and how large it may be."""
    version = reader.uint(4)
    # Without inputs a transaction means nothing, so a zero here can only be BIP 144's marker.
    segregated = reader.peek() == 0
    if segregated and reader.take(2) != b"\x00\x01":
        raise Refusal("tx", "has no inputs, or an unknown witness flag")
    inputs = tuple(_read_input(reader) for _ in range(reader.count(_MIN_INPUT_BYTES)))
    outputs = tuple(_read_output(reader) for _ in range(reader.count(_MIN_OUTPUT_BYTES)))
    if not inputs or not outputs:
        raise Refusal("tx", "has no inputs or no outputs")
    if sum(paid.value for paid in outputs) > MAX_MONEY_SAT:
        raise Refusal("tx", "pays more than 21 million bitcoin")
    witnesses: tuple[tuple[bytes, ...], ...] = ()
    if segregated:
        witnesses = tuple(tuple(reader.byte_string() for _ in range(reader.count(1))) for _ in inputs)
        if not any(witnesses):
            raise Refusal("tx", "has the witness serialisation without any witness")
    return Transaction(version, inputs, outputs, witnesses, lock_time=reader.uint(4))


def _read_input(reader: Reader) -> TxInput:
    return TxInput(reader.take(32), reader.uint(4), reader.byte_string(), reader.uint(4))


def _read_output(reader: Reader) -> TxOutput:
    return TxOutput(reader.uint(8), reader.byte_string())
