"""A block's Merkle tree: its root, and the branch that leads from one transaction to it.

Bitcoin's tree is not RFC 6962's: nodes are double SHA-256 without tags, and an odd node is paired with itself. Both
are known weaknesses (CVE-2017-12842, CVE-2012-2459), so the checks below refuse what a sound block cannot contain.
"""

from __future__ import annotations

from collections.abc import Sequence

from wattseal.core.bitcoin.digest import HASH_BYTES, double_sha256
from wattseal.core.bitcoin.tx import could_be_transaction
from wattseal.core.refusal import Refusal

# A block of 4,000,000 weight units holds at most 16,666 transactions of 60 bytes: 15 levels. The rest is room.
MAX_BRANCH = 20


def merkle_root(txids: Sequence[bytes]) -> bytes:
    """The root over `txids` (internal order, in the block's order)."""
    return _levels(txids)[-1][0]


def build_branch(txids: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The siblings from transaction `index` up to the root, the lowest first."""
    if not 0 <= index < len(txids):
        raise Refusal("tx_index", f"is not among the {len(txids)} transactions")
    branch = []
    for level in _levels(txids)[:-1]:
        sibling = index ^ 1
        branch.append(level[sibling] if sibling < len(level) else level[index])
        index >>= 1
    return tuple(branch)


def verify_branch(txid: bytes, index: int, branch: Sequence[bytes], root: bytes) -> None:
    """Refuse unless `branch` (lowest sibling first) leads from `txid`, as transaction `index` of a block, to `root`.

    Also refused: an index that the branch cannot hold, an inner node that is a transaction itself (CVE-2017-12842),
    and a position that exists only as the copy of an odd node, or a copy elsewhere than at the right edge
    (CVE-2012-2459). That the transaction parses, and does not have 64 bytes, is the caller's to check.
    """
    if len(branch) > MAX_BRANCH:
        raise Refusal("branch", f"has {len(branch)} levels; a block's tree has at most {MAX_BRANCH}")
    if any(len(node) != HASH_BYTES for node in (txid, root, *branch)):
        raise Refusal("branch", "holds something else than hashes of 32 bytes")
    if not 0 <= index < 1 << len(branch):
        raise Refusal("tx_index", f"does not fit a branch of {len(branch)} levels")
    node = txid
    at_right_edge = False
    for sibling in branch:
        is_right, copied = index & 1, sibling == node
        if copied and is_right:
            raise Refusal("tx_index", "is the place of a copied node: the transaction stands further left")
        if at_right_edge and not is_right and not copied:
            raise Refusal("branch", "pairs a node with itself elsewhere than at the right edge of the tree")
        at_right_edge = at_right_edge or copied
        pair = sibling + node if is_right else node + sibling
        if could_be_transaction(pair):
            raise Refusal("branch", "has an inner node that is a transaction itself (CVE-2017-12842)")
        node = double_sha256(pair)
        index >>= 1
    if node != root:
        raise Refusal("branch", "does not lead from the transaction to the block's Merkle root")


def _levels(txids: Sequence[bytes]) -> list[list[bytes]]:
    if not txids:
        raise Refusal("txids", "are missing: a block has at least one transaction")
    if any(len(txid) != HASH_BYTES for txid in txids):
        raise Refusal("txids", "hold something else than hashes of 32 bytes")
    levels = [list(txids)]
    while len(levels[-1]) > 1:
        level = levels[-1]
        # Two equal neighbours give the root of a shorter list too: whoever sees only the root cannot tell which.
        if any(level[left] == level[left + 1] for left in range(0, len(level) - 1, 2)):
            raise Refusal("txids", "repeat themselves, so that two lists would have one root (CVE-2012-2459)")
        paired = [*level, level[-1]] if len(level) % 2 else level
        levels.append([double_sha256(paired[left] + paired[left + 1]) for left in range(0, len(paired), 2)])
    return levels
