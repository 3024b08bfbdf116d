"""The Merkle tree of RFC 6962 §2.1 over SHA-256: roots, growth, and the proofs of RFC 9162 §2.1.3 and §2.1.4.

Two words are used throughout. A *leaf* is the hash of an entry, 32 bytes. The *complete node* (level, index) is the
hash over the 2**level leaves that start at index * 2**level. Complete nodes never change while the tree grows, so they
may be stored; every other node lies on the tree's right edge and is composed here when it is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final

from wattseal.core.refusal import Refusal

HASH_BYTES: Final = 32
MAX_SIZE: Final = 2**63 - 1
EMPTY_ROOT: Final = sha256(b"").digest()

ReadNode = Callable[[int, int], bytes]
"""(level, index) -> the hash of that complete node."""


class ProofMismatch(Refusal):
    """A well-formed proof does not lead to the root that it was checked against."""


def leaf_hash(entry: bytes) -> bytes:
    """The leaf of an entry: SHA-256(0x00 ‖ entry)."""
    return sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """The leaves of many entries, in one pass."""
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """The parent of two nodes: SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


def _pair(nodes: Sequence[bytes]) -> list[bytes]:
    """The parents of nodes 0 and 1, 2 and 3, ...; an odd one at the end has none yet."""
    return [sha256(b"\x01" + left + right).digest() for left, right in zip(nodes[::2], nodes[1::2], strict=False)]


def check_hashes(field: str, hashes: Sequence[bytes]) -> None:
    """Refuse unless each is exactly 32 bytes."""
    if not set(map(len, hashes)) <= {HASH_BYTES}:
        raise Refusal(field, "a SHA-256 hash is 32 bytes")


def check_size(field: str, size: int) -> None:
    """Refuse unless this can be the number of leaves in a tree."""
    if not 0 <= size <= MAX_SIZE:
        raise Refusal(field, "a tree has from 0 to 2**63 - 1 leaves")


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of these leaves (RFC 6962 §2.1). Refuses a leaf that is not 32 bytes."""
    check_hashes("leaves", leaves)
    if not leaves:
        return EMPTY_ROOT
    nodes = list(leaves)
    while len(nodes) > 1:
        # A node without a right sibling rises unchanged: this is the RFC's split at the largest power of two.
        lone = nodes[len(nodes) & ~1 :]
        nodes = _pair(nodes) + lone
    return nodes[0]


class Frontier:
    """The right edge of a growing tree: the complete nodes, largest first, that its leaves fall into.

    It is all that is needed to append and to know the root: one hash for each bit that is set in the size.
    Refuses a size out of range and nodes that do not belong to it in number or length.
    """

    __slots__ = ("_nodes", "_size")

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        check_size("size", size)
        self._size = size
        self._nodes = list(nodes)
        if len(self._nodes) != size.bit_count():
            raise Refusal("nodes", f"a tree of {size} leaves has {size.bit_count()} nodes on its edge")
        check_hashes("nodes", self._nodes)

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._size

    @property
    def nodes(self) -> tuple[bytes, ...]:
        """The complete nodes on the edge, largest (leftmost) first."""
        return tuple(self._nodes)

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves so far."""
        if not self._nodes:
            return EMPTY_ROOT
        return _fold(self._nodes)

    def append(self, leaf: bytes) -> None:
        """Add one leaf; amortised one hash."""
        check_hashes("leaf", (leaf,))
        check_size("size", self._size + 1)
        node, carry = leaf, self._size
        while carry & 1:
            node = node_hash(self._nodes.pop(), node)
            carry >>= 1
        self._nodes.append(node)
        self._size += 1

    def extend(self, leaves: Sequence[bytes]) -> list[list[bytes]]:
        """Add many leaves; return the nodes that this completed, by level.

        `result[k]` holds the new complete nodes of level k in order, the first of which has the index
        `old size >> k`. `result[0]` are the leaves; levels where nothing was completed are left out at the end.
        All leaves are added or, on a refusal, none.
        """
        check_hashes("leaves", leaves)
        check_size("size", self._size + len(leaves))
        levels: list[list[bytes]] = []
        edge, lower = self._nodes.copy(), []
        run, carry = list(leaves), self._size
        while run:
            levels.append(run)
            nodes = [edge.pop(), *run] if carry & 1 else run
            if len(nodes) & 1:
                lower.append(nodes[-1])
            run = _pair(nodes)
            carry >>= 1
        lower.reverse()
        self._nodes = edge + lower
        self._size += len(leaves)
        return levels


def _fold(nodes: Sequence[bytes]) -> bytes:
    """The root over complete nodes of falling size, which is what the tree's right edge consists of."""
    root = nodes[-1]
    for node in nodes[-2::-1]:
        root = node_hash(node, root)
    return root


# --- Proofs: verified -------------------------------------------------------------------------------------------------


def inclusion_path_length(index: int, size: int) -> int:
    """How many hashes the inclusion path of leaf `index` in a tree of `size` leaves has."""
    # Below the level where the paths of this leaf and of the last leaf meet, each level gives one sibling; above it the
    # leaf lies on the right edge, where only a left sibling gives one.
    meet = (index ^ (size - 1)).bit_length()
    return meet + (index >> meet).bit_count()


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that an inclusion path leads to (RFC 9162 §2.1.3.2).

    `path` goes from the leaf's sibling up. Refuses, before anything is hashed, an index or size out of range, a path
    whose length does not belong to them, and hashes that are not 32 bytes.
    """
    check_size("size", size)
    if not 0 <= index < size:
        raise Refusal("index", f"a tree of {size} leaves has no leaf {index}")
    meet = (index ^ (size - 1)).bit_length()
    expected = meet + (index >> meet).bit_count()
    if len(path) != expected:
        raise Refusal("path", f"leaf {index} of {size} has a path of {expected} hashes, not {len(path)}")
    check_hashes("leaf", (leaf,))
    check_hashes("path", path)
    node = leaf
    for level in range(meet):
        node = node_hash(path[level], node) if index >> level & 1 else node_hash(node, path[level])
    for sibling in path[meet:]:
        node = node_hash(sibling, node)
    return node


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Return if the path shows that `leaf` is number `index` in the tree of `size` leaves with this root.

    Raises ProofMismatch if it shows another root, Refusal if it is malformed. A root does not bind its tree's size, so
    take both from one signed checkpoint.
    """
    check_hashes("root", (root,))
    if root_from_inclusion(leaf, index, size, path) != root:
        raise ProofMismatch("inclusion", f"the path of leaf {index} does not lead to the root of the {size} leaves")


def verify_consistency(size1: int, root1: bytes, size2: int, root2: bytes, path: Sequence[bytes]) -> None:
    """Return if the tree of `size2` leaves is the tree of `size1` leaves with leaves appended (RFC 9162 §2.1.4.2).

    Raises ProofMismatch if it is not, Refusal if the proof is malformed. The RFC defines no proof from an empty tree,
    and none is accepted: whoever has seen nothing yet has nothing to check.
    """
    check_size("size1", size1)
    check_size("size2", size2)
    if not 0 < size1 <= size2:
        raise Refusal("size1", f"there is no consistency proof from {size1} to {size2} leaves")
    # The right edge of the older tree starts at its largest complete subtree that ends exactly at size1 (`shift` levels
    # high). `meet` is the level below which the last leaves of both trees have different ancestors.
    shift = (size1 & -size1).bit_length() - 1
    meet = ((size1 - 1) ^ (size2 - 1)).bit_length()
    # That subtree is the whole older tree if size1 is a power of two: then its hash is root1, and the proof omits it.
    omitted = size1 == 1 << shift
    edge = (size1 - 1) >> shift
    inner = max(meet - shift, 0)
    expected = 0 if size1 == size2 else (not omitted) + inner + (edge >> inner).bit_count()
    if len(path) != expected:
        raise Refusal("path", f"the proof from {size1} to {size2} leaves has {expected} hashes, not {len(path)}")
    check_hashes("root1", (root1,))
    check_hashes("root2", (root2,))
    check_hashes("path", path)
    if size1 == size2:
        if root1 != root2:
            raise ProofMismatch("consistency", f"two different roots for the same {size1} leaves")
        return
    older = newer = root1 if omitted else path[0]
    siblings = path if omitted else path[1:]
    for level, sibling in enumerate(siblings):
        if level >= inner or edge >> level & 1:
            older = node_hash(sibling, older)
            newer = node_hash(sibling, newer)
        else:
            newer = node_hash(newer, sibling)
    if older != root1:
        raise ProofMismatch("consistency", f"the proof does not lead to the root of the {size1} leaves")
    if newer != root2:
        raise ProofMismatch("consistency", f"the proof does not lead to the root of the {size2} leaves")


# --- Proofs: made -----------------------------------------------------------------------------------------------------


def _range_root(read_node: ReadNode, begin: int, end: int) -> bytes:
    """The hash over leaves begin to end of one of the RFC's subtrees: complete, or on the right edge."""
    nodes = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        nodes.append(read_node(level, begin >> level))
        begin += 1 << level
    return _fold(nodes)


def inclusion_path(read_node: ReadNode, index: int, size: int) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 §2.1.1, from the leaf's sibling up.

    Refuses an index outside the tree. What `read_node` raises goes through.
    """
    check_size("size", size)
    if not 0 <= index < size:
        raise Refusal("index", f"a tree of {size} leaves has no leaf {index}")
    path = []
    begin, end = 0, size
    while end - begin > 1:
        split = begin + (1 << (end - begin - 1).bit_length() - 1)
        if index < split:
            path.append(_range_root(read_node, split, end))
            end = split
        else:
            path.append(_range_root(read_node, begin, split))
            begin = split
    path.reverse()
    return path


def consistency_path(read_node: ReadNode, size1: int, size2: int) -> list[bytes]:
    """PROOF(size1, D[size2]) of RFC 6962 §2.1.2; empty for equal sizes.

    Refuses unless 0 < size1 <= size2. What `read_node` raises goes through.
    """
    check_size("size2", size2)
    if not 0 < size1 <= size2:
        raise Refusal("size1", f"there is no consistency proof from {size1} to {size2} leaves")
    path = []
    begin, end = 0, size2
    while end != size1:
        split = begin + (1 << (end - begin - 1).bit_length() - 1)
        if size1 <= split:
            path.append(_range_root(read_node, split, end))
            end = split
        else:
            path.append(_range_root(read_node, begin, split))
            begin = split
    if begin:
        # Not the older tree's root itself, which the verifier has, but the last part of it.
        path.append(_range_root(read_node, begin, end))
    path.reverse()
    return path
