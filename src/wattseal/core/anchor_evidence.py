"""The evidence that a Bitcoin block commits to a digest: one transaction, its branch, and headers.

The format is docs/spec/anchor.md §3. What the evidence is worth to somebody is decided by `wattseal.core.anchor_check`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from wattseal.core.anchor_payload import anchor_payload
from wattseal.core.bitcoin.block import Block
from wattseal.core.bitcoin.branch import MAX_BRANCH, build_branch
from wattseal.core.bitcoin.chain import chain_named
from wattseal.core.bitcoin.digest import HASH_BYTES
from wattseal.core.bitcoin.header import HEADER_BYTES, BlockHeader
from wattseal.core.bitcoin.script import op_return_payloads
from wattseal.core.refusal import Refusal

EVIDENCE_FORMAT: Final = "wattseal-anchor-bitcoin-1"
# Nodes do not relay a transaction above this size.
MAX_EVIDENCE_TX = 100_000
# Two weeks of blocks: one difficulty period.
MAX_HEADERS = 2_016
MAX_HEIGHT = (1 << 31) - 1

_MEMBERS: Final = frozenset({"format", "chain", "tx", "tx_index", "branch", "height", "headers"})
_HEX = re.compile(r"(?:[0-9a-f]{2})*")


@dataclass(frozen=True, slots=True)
class BitcoinEvidence:
    """Sizes are checked, the content is not: that is `anchor_check.check`.

    `tx` is the transaction without witnesses. `branch` leads from its txid at place `tx_index` to the Merkle root of
    `headers[0]`; its hashes are in internal order, the lowest sibling first. `headers[0]` is the block that holds the
    transaction, claimed to stand at `height`; the other headers are its successors in order.
    """

    chain: str
    tx: bytes
    tx_index: int
    branch: tuple[bytes, ...]
    height: int
    headers: tuple[bytes, ...]

    def __post_init__(self) -> None:
        chain_named(self.chain)
        if not 1 <= len(self.tx) <= MAX_EVIDENCE_TX:
            raise Refusal("tx", f"must have 1 to {MAX_EVIDENCE_TX} bytes")
        if len(self.branch) > MAX_BRANCH or any(len(node) != HASH_BYTES for node in self.branch):
            raise Refusal("branch", f"must be at most {MAX_BRANCH} hashes of {HASH_BYTES} bytes")
        if not 0 <= self.tx_index < 1 << len(self.branch):
            raise Refusal("tx_index", f"does not fit a branch of {len(self.branch)} levels")
        if not 0 <= self.height <= MAX_HEIGHT:
            raise Refusal("height", f"must be 0 to {MAX_HEIGHT}")
        if not 1 <= len(self.headers) <= MAX_HEADERS or any(len(header) != HEADER_BYTES for header in self.headers):
            raise Refusal("headers", f"must be 1 to {MAX_HEADERS} headers of {HEADER_BYTES} bytes")

    @classmethod
    def from_block(
        cls, chain: str, height: int, block: Block, digest: bytes, successors: Sequence[BlockHeader] = ()
    ) -> Self:
        """The evidence that `block` commits to `digest`; Refusal if none of its transactions does."""
        payload = anchor_payload(digest)
        for index, tx in enumerate(block.transactions):
            if payload in op_return_payloads(tx):
                return cls(
                    chain=chain,
                    tx=tx.stripped(),
                    tx_index=index,
                    branch=build_branch(block.txids(), index),
                    height=height,
                    headers=tuple(header.serialise() for header in (block.header, *successors)),
                )
        raise Refusal("digest", "is in no transaction of this block")

    @classmethod
    def from_json(cls, obj: object) -> Self:
        """Read what `to_json` writes; an unknown or missing member, or anything out of bounds, is refused."""
        if not isinstance(obj, dict):
            raise Refusal("evidence", "is not a JSON object")
        if obj.keys() != _MEMBERS:
            names = ", ".join(sorted(str(name)[:40] for name in obj.keys() ^ _MEMBERS)[:8])
            raise Refusal("evidence", f"has members that are missing or not known: {names}")
        if obj["format"] != EVIDENCE_FORMAT:
            raise Refusal("format", f"is not {EVIDENCE_FORMAT}")
        if not isinstance(obj["chain"], str):
            raise Refusal("chain", "is not text")
        return cls(
            chain=obj["chain"],
            tx=_unhex("tx", obj["tx"], MAX_EVIDENCE_TX),
            tx_index=_integer("tx_index", obj["tx_index"]),
            branch=_unhex_list("branch", obj["branch"], MAX_BRANCH, HASH_BYTES),
            height=_integer("height", obj["height"]),
            headers=_unhex_list("headers", obj["headers"], MAX_HEADERS, HEADER_BYTES),
        )

    def to_json(self) -> dict[str, object]:
        """Plain values for a JSON encoder; bytes become lower-case hex."""
        return {
            "format": EVIDENCE_FORMAT,
            "chain": self.chain,
            "tx": self.tx.hex(),
            "tx_index": self.tx_index,
            "branch": [node.hex() for node in self.branch],
            "height": self.height,
            "headers": [header.hex() for header in self.headers],
        }


def _integer(field: str, value: object) -> int:
    # JSON's true would count as 1.
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refusal(field, "is not an integer")
    return value


def _unhex(field: str, value: object, most: int) -> bytes:
    if not isinstance(value, str):
        raise Refusal(field, "is not text")
    if len(value) > 2 * most:
        raise Refusal(field, f"is longer than {most} bytes")
    if not _HEX.fullmatch(value):
        raise Refusal(field, "is not lower-case hex")
    return bytes.fromhex(value)


def _unhex_list(field: str, value: object, most: int, item_bytes: int) -> tuple[bytes, ...]:
    if not isinstance(value, list):
        raise Refusal(field, "is not an array")
    if len(value) > most:
        raise Refusal(field, f"has more than {most} entries")
    return tuple(_unhex(f"{field}.{index}", item, item_bytes) for index, item in enumerate(value))
