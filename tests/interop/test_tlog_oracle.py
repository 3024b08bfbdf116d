"""Our logs read by tlog-scales, and logs that tlog-scales wrote read by us.

It shares no code and no author with this project; its proof checks are the algorithms of RFC 9162 step by step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import PlainEd25519Signer, Vkey, VkeySet
from tlog_scales.tlog import (
    Checkpoint as OracleCheckpoint,
)
from tlog_scales.tlog import (
    ConsistencyProof,
    ConsistencyProofInvalid,
    InclusionProof,
    InclusionProofInvalid,
)
from tlog_scales.writer import TilesWriter

from wattseal.core.checkpoint import Checkpoint, open_checkpoint
from wattseal.core.merkle import (
    consistency_path,
    inclusion_path,
    leaf_hash,
    leaf_hashes,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from wattseal.core.note import Note
from wattseal.core.note_key import CosignatureV1Signer, Ed25519Signer, Verifier
from wattseal.core.tiles import NodeReader, Tile, TileEdge, bundles_of, decode_bundle, encode_bundle, tiles_of

ORIGIN = "log.example/energy"
SEED = bytes(range(32))
LOG = Ed25519Signer(ORIGIN, SEED)
WITNESS = CosignatureV1Signer("witness.example/w1", bytes([7] * 32))
TIME = 1_700_000_000

# Empty and partial tiles, full ones, and 65,536 leaves, where a third level of tiles begins.
GROWTH = [1, 2, 3, 255, 256, 257, 600, 1_000, 65_535, 65_536, 65_800]


def entry(number: int) -> bytes:
    return b"entry %d " % number + bytes(number % 5)


ENTRIES = [entry(number) for number in range(GROWTH[-1])]
LEAVES = leaf_hashes(ENTRIES)
ROOTS = {size: tree_root(LEAVES[:size]) for size in GROWTH}


def write(folder: Path, tile: Tile, data: bytes) -> None:
    path = folder / tile.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def grow(folder: Path) -> Iterator[int]:
    """Write a log with our modules, one checkpoint after the other; yield its size at each."""
    edge = TileEdge()
    for size in GROWTH:
        for bundle in bundles_of(size, edge.size):
            begin = bundle.index * 256
            write(folder, bundle, encode_bundle(ENTRIES[begin : begin + bundle.width]))
        for tile, data in [*edge.extend(LEAVES[edge.size : size]), *edge.partial_tiles()]:
            write(folder, tile, data)
        body = Checkpoint(ORIGIN, edge.size, edge.root()).body()
        (folder / "checkpoint").write_bytes(bytes(Note(body, (LOG.sign(body), WITNESS.sign(body, TIME)))))
        yield size


def indexes(size: int) -> list[int]:
    return sorted({0, size // 3, max(0, size - 257), size - 1})


def test_the_oracle_reads_our_log(tmp_path: Path) -> None:
    reader = TilesReader(LocalBackend(tmp_path))
    for size in grow(tmp_path):
        head = reader.get_checkpoint()
        assert (head.origin, head.size, head.root_hash) == (ORIGIN, size, ROOTS[size])
        head.verify(Vkey.from_string(LOG.verifier.vkey))
        assert reader.calculate_root_hash() == head.root_hash
        for index in indexes(size):
            assert reader.get_entry(index) == ENTRIES[index]
            reader.get_inclusion_proof(index, size).check(LEAVES[index], head.root_hash)
        for older in GROWTH[: GROWTH.index(size) + 1]:
            reader.get_consistency_proof(older, size).check(ROOTS[older], head.root_hash)


def test_the_oracle_verifies_our_cosignatures(tmp_path: Path) -> None:
    next(grow(tmp_path))
    head = OracleCheckpoint.from_text((tmp_path / "checkpoint").read_text(encoding="utf-8"))
    keys = [Vkey.from_string(key.vkey) for key in (LOG.verifier, WITNESS.verifier)]
    assert {vkey.name for vkey, _ in VkeySet(*keys).verify(head.signatures, head)} == {ORIGIN, "witness.example/w1"}
    stranger = CosignatureV1Signer("witness.example/w1", SEED).verifier
    assert not VkeySet(Vkey.from_string(stranger.vkey)).verify(head.signatures, head)
    forged = OracleCheckpoint(head.origin, head.size + 1, head.root_hash, head.signatures)
    with pytest.raises(InvalidSignature):
        forged.verify(keys[0])


def test_our_proofs_are_those_of_the_oracle(tmp_path: Path) -> None:
    for _ in grow(tmp_path):
        pass
    oracle = TilesReader(LocalBackend(tmp_path))
    oracle.set_size(GROWTH[-1])
    ours = NodeReader(lambda tile: (tmp_path / tile.path).read_bytes(), GROWTH[-1])
    for size in GROWTH:
        for index in indexes(size):
            path = inclusion_path(ours, index, size)
            assert path == oracle.get_inclusion_proof(index, size).node_hashes
            InclusionProof(index, size, path).check(LEAVES[index], ROOTS[size])
            with pytest.raises(InclusionProofInvalid):
                InclusionProof(index, size, path).check(leaf_hash(b"another"), ROOTS[size])
        for older in (older for older in GROWTH if older < size):
            path = consistency_path(ours, older, size)
            assert path == oracle.get_consistency_proof(older, size).node_hashes
            ConsistencyProof(older, size, path).check(ROOTS[older], ROOTS[size])
            with pytest.raises(ConsistencyProofInvalid):
                ConsistencyProof(older, size, path).check(ROOTS[older], leaf_hash(b"another"))


def test_we_read_a_log_of_the_oracle(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    writer = TilesWriter.create(folder, ORIGIN)
    signer = PlainEd25519Signer(ORIGIN, SEED)
    verifier = Verifier.from_vkey(signer.vkey.serialize())  # type: ignore[no-untyped-call]
    assert verifier == LOG.verifier

    def read(tile: Tile) -> bytes:
        return (folder / tile.path).read_bytes()

    seen: list[Checkpoint] = []
    # Each commit syncs every file it writes: less growth than above, over the same kinds of sizes.
    for size in (1, 3, 255, 256, 257, 700):
        for added in ENTRIES[writer.size : size]:
            writer.add_leaf(added)
        writer.commit([signer])
        head = open_checkpoint((folder / "checkpoint").read_bytes(), verifier).checkpoint
        assert (head.size, head.root) == (size, tree_root(LEAVES[:size]))
        assert entries_in(folder, size) == ENTRIES[:size]
        edge = TileEdge()
        built = dict([*edge.extend(LEAVES[:size]), *edge.partial_tiles()])
        assert built == {tile: read(tile) for tile in tiles_of(size)}
        assert TileEdge(size, read).root() == head.root
        reader = NodeReader(read, size)
        for index in range(0, size, 37):
            path = inclusion_path(reader, index, size)
            verify_inclusion(LEAVES[index], index, size, path, head.root)
        for older in seen:
            path = consistency_path(reader, older.size, size)
            verify_consistency(older.size, older.root, size, head.root, path)
        seen.append(head)


def entries_in(folder: Path, size: int) -> Sequence[bytes]:
    found: list[bytes] = []
    for bundle in bundles_of(size):
        found += decode_bundle((folder / bundle.path).read_bytes(), bundle.width)
    return found
