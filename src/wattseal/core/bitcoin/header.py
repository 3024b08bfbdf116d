"""Block headers: 80 bytes, their proof of work, and runs of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wattseal.core.bitcoin.digest import double_sha256
from wattseal.core.bitcoin.wire import Reader
from wattseal.core.refusal import Refusal

HEADER_BYTES = 80


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """A parsed header.

    `version` is signed. `prev_hash` and `merkle_root` are in internal order. `time` is in Unix seconds as the miner
    set it: Bitcoin's rules let it lie up to two hours ahead, and behind as far as the median of the eleven blocks
    before. `bits` is the compact target.
    """

    version: int
    prev_hash: bytes
    merkle_root: bytes
    time: int
    bits: int
    nonce: int

    def serialise(self) -> bytes:
        """The 80 bytes."""
        return b"".join(
            (
                self.version.to_bytes(4, "little", signed=True),
                self.prev_hash,
                self.merkle_root,
                self.time.to_bytes(4, "little"),
                self.bits.to_bytes(4, "little"),
                self.nonce.to_bytes(4, "little"),
            )
        )

    def hash(self) -> bytes:
        """The block's hash, 32 bytes in internal order."""
        return double_sha256(self.serialise())


def parse_header(raw: bytes) -> BlockHeader:
    """Parse exactly 80 bytes. Says nothing yet about proof of work: see `check_proof_of_work`."""
    if len(raw) != HEADER_BYTES:
        raise Refusal("header", f"has {len(raw)} bytes instead of {HEADER_BYTES}")
    reader = Reader(raw, "header")
    return BlockHeader(
        version=int.from_bytes(reader.take(4), "little", signed=True),
        prev_hash=reader.take(32),
        merkle_root=reader.take(32),
        time=reader.uint(4),
        bits=reader.uint(4),
        nonce=reader.uint(4),
    )


def decode_target(bits: int) -> int:
    """The target that compact `bits` stand for, 1 to 2**256 - 1; Refusal if negative, too large or zero."""
    size, mantissa = bits >> 24, bits & 0x7FFFFF
    if mantissa and bits & 0x800000:
        raise Refusal("header.bits", "give a negative target")
    if mantissa and mantissa.bit_length() + 8 * (size - 3) > 256:
        raise Refusal("header.bits", "give a target of more than 256 bits")
    target = mantissa << 8 * (size - 3) if size > 3 else mantissa >> 8 * (3 - size)
    if not target:
        raise Refusal("header.bits", "give the target zero, which no block can meet")
    return target


def block_work(bits: int) -> int:
    """How many hashes a block with this target costs on average: 2**256 // (target + 1), as Bitcoin Core counts."""
    return (1 << 256) // (decode_target(bits) + 1)


def meets_target(header: BlockHeader) -> bool:
    """Whether the header's hash is at or below its own target; Refusal if `bits` give no target."""
    return int.from_bytes(header.hash(), "little") <= decode_target(header.bits)


def check_proof_of_work(header: BlockHeader, pow_limit: int) -> None:
    """Refuse a header whose target is easier than `pow_limit` or whose hash is above its own target."""
    if decode_target(header.bits) > pow_limit:
        raise Refusal("header.bits", "give an easier target than this chain allows")
    if not meets_target(header):
        raise Refusal("header", "has a hash above its own target: no proof of work")


def verify_header_chain(headers: Sequence[BlockHeader], pow_limit: int) -> int:
    """Check a run of headers, oldest first, and return the work in it (expected number of hashes, all headers summed).

    Checked: each header names the hash of the one before it, and each has the proof of work that it claims itself,
    no easier than `pow_limit`. NOT checked, since a run alone cannot show it: that the first header belongs to the
    chain, that the targets follow the difficulty adjustment, the rules for times and versions, and the blocks'
    contents. A run is therefore worth no more than its work, unless the caller knows one of its hashes from elsewhere.
    Raises Refusal for an empty run and for the first header that fails, named "headers.<index>".
    """
    if not headers:
        raise Refusal("headers", "are missing")
    work = 0
    previous = headers[0].prev_hash
    for index, header in enumerate(headers):
        if header.prev_hash != previous:
            raise Refusal(f"headers.{index}", "does not name the header before it")
        try:
            check_proof_of_work(header, pow_limit)
        except Refusal as refusal:
            raise Refusal(f"headers.{index}{refusal.field.removeprefix('header')}", refusal.reason) from None
        previous = header.hash()
        work += block_work(header.bits)
    return work
