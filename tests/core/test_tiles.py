from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.checkpoint import open_checkpoint
from wattseal.core.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    inclusion_path,
    leaf_hash,
    leaf_hashes,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from wattseal.core.note_key import Verifier
from wattseal.core.refusal import Refusal
from wattseal.core.tiles import (
    ENTRIES,
    WIDTH,
    NodeReader,
    Tile,
    TileEdge,
    bundles_of,
    decode_bundle,
    encode_bundle,
    split_tile,
    tiles_of,
)

LEAVES = leaf_hashes(b"entry %d" % number for number in range(70_000))
LEVELS = Frontier().extend(LEAVES)
SIZES = [1, 2, 15, 255, 256, 257, 511, 512, 3_000, 65_535, 65_536, 65_537, 65_792, 70_000]


def read_tile(tile: Tile) -> bytes:
    """A tile by the specification's words: nodes of level 8·L, taken from the whole tree."""
    begin = tile.index * WIDTH
    return b"".join(LEVELS[8 * tile.level][begin : begin + tile.width])


def unreadable(tile: Tile) -> bytes:
    pytest.fail(f"read {tile.path}")


# --- Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "tile"),
    [
        ("tile/0/000", Tile(0, 0)),
        ("tile/0/x001/x234/067", Tile(0, 1_234_067)),
        ("tile/0/x001/x234/067.p/8", Tile(0, 1_234_067, 8)),
        ("tile/63/999", Tile(63, 999)),
        ("tile/entries/x001/000.p/255", Tile(ENTRIES, 1_000, 255)),
        ("tile/1/x036/x028/x797/x018/x963/967", Tile(1, (2**63 - 1) >> 8)),
    ],
)
def test_paths(path: str, tile: Tile) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@given(
    st.builds(Tile, st.integers(ENTRIES, 63), st.integers(0, 5_000) | st.integers(0, 2**55 - 1), st.integers(1, WIDTH))
)
def test_every_tile_has_one_path(tile: Tile) -> None:
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/1000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/00/000",
        "tile/-1/000",
        "tile/64/000",
        "tile/100/000",
        "tile/data/000",
        "tile/Entries/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000/p/1",
        "tile/0/000.p/1/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/x036/x028/x797/x018/x963/968",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/x001/x001/x001/x001/x001/x001/x001/001",
        "tile/0/\u0660\u0660\u0660",
        "tile/\u0661/000",
        "tile/8/0/000",
    ],
)
def test_other_spellings_are_refused(path: str) -> None:
    with pytest.raises(Refusal):
        Tile.parse(path)


@pytest.mark.parametrize("fields", [(-2, 0, 256), (64, 0, 256), (0, -1, 1), (0, 2**55, 1), (0, 0, 0), (0, 0, 257)])
def test_tiles_that_cannot_be(fields: tuple[int, int, int]) -> None:
    with pytest.raises(Refusal):
        Tile(*fields)


def test_paths_of_the_go_checksum_database(fixtures_dir: Path) -> None:
    """Go's paths carry the height, `tile/<H>/<L>/...`; C2SP fixes it at 8, leaves it out, and says entries for data."""
    rows = json.loads((fixtures_dir / "tlog" / "tile_paths" / "go_tlog_tilepaths.json").read_bytes())["rows"]
    parsed = 0
    for row in rows:
        prefix, _, *rest = row["path"].split("/")
        path = "/".join([prefix, *("entries" if part == "data" else part for part in rest)])
        if row["tile"] is None:
            with pytest.raises(Refusal):
                Tile.parse(path)
            continue
        height, level, index, width = row["tile"]
        # A full tile of Go's height is a full tile of ours.
        tile = Tile(level, index, WIDTH if width == 1 << height else width)
        assert Tile.parse(path) == tile
        assert tile.path == path
        parsed += 1
    assert (parsed, len(rows)) == (6, 8)


# --- Which tiles a tree consists of -----------------------------------------------------------------------------------


def test_the_example_of_the_specification() -> None:
    tiles = list(tiles_of(70_000))
    assert tiles == [
        *(Tile(0, index) for index in range(273)),
        Tile(0, 273, 112),
        Tile(1, 0),
        Tile(1, 1, 17),
        Tile(2, 0, 1),
    ]
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles_of(0)) == list(bundles_of(0)) == []
    assert list(bundles_of(70_000)) == [*(Tile(ENTRIES, index) for index in range(273)), Tile(ENTRIES, 273, 112)]


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_growth_adds_exactly_the_tiles_that_are_new(one: int, other: int) -> None:
    since, size = sorted((one, other))
    assert set(tiles_of(size, since)) == set(tiles_of(size)) - set(tiles_of(since))
    assert set(bundles_of(size, since)) == set(bundles_of(size)) - set(bundles_of(since))


def test_tiles_of_the_largest_tree_are_named() -> None:
    largest = 2**63 - 1
    assert [tile.width for tile in tiles_of(largest, largest - 1)] == [255]
    assert [tile.level for tile in tiles_of(1 << 56, (1 << 56) - 1)] == list(range(8))
    for name in (tiles_of, bundles_of):
        for size, since, field in ((2**63, 0, "size"), (-1, -1, "size"), (5, -1, "since"), (5, 6, "since")):
            with pytest.raises(Refusal) as refused:
                next(name(size, since))
            assert refused.value.field == field


# --- Entry bundles ----------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=WIDTH))
def test_bundles(entries: list[bytes]) -> None:
    data = encode_bundle(entries)
    assert decode_bundle(data, len(entries)) == entries
    with pytest.raises(Refusal, match="1 bytes after"):
        decode_bundle(data + b"\x00", len(entries))
    with pytest.raises(Refusal, match=f"ends within entry {len(entries) - 1}"):
        decode_bundle(data[:-1], len(entries))
    if len(entries) < WIDTH:
        with pytest.raises(Refusal, match=f"ends within entry {len(entries)}"):
            decode_bundle(data, len(entries) + 1)


def test_bundles_keep_their_bounds() -> None:
    assert encode_bundle([b"\xff" * 65_535]) == b"\xff" * 65_537
    for width in (1, 256):
        assert encode_bundle([b""] * width) == b"\x00\x00" * width
        assert decode_bundle(b"\x00\x00" * width, width) == [b""] * width
    for entries in ([], [b""] * 257, [bytes(65_536)]):
        with pytest.raises(Refusal):
            encode_bundle(entries)
    for width in (0, 257, -1):
        with pytest.raises(Refusal):
            decode_bundle(b"\x00\x00" * abs(width), width)


# --- Reading ----------------------------------------------------------------------------------------------------------


def test_every_complete_node_is_read_from_tiles() -> None:
    for size in SIZES[:9]:
        reader = NodeReader(read_tile, size)
        for level in range(size.bit_length()):
            for index in range(size >> level):
                assert reader(level, index) == LEVELS[level][index]
            with pytest.raises(Refusal):
                reader(level, size >> level)


def test_proofs_come_out_of_tiles() -> None:
    for size in SIZES:
        reader = NodeReader(read_tile, size)
        root = tree_root(LEAVES[:size])
        for index in {0, size // 3, size // 2, max(0, size - 257), size - 1}:
            verify_inclusion(LEAVES[index], index, size, inclusion_path(reader, index, size), root)
        for older in (older for older in SIZES if older <= size):
            path = consistency_path(reader, older, size)
            verify_consistency(older, tree_root(LEAVES[:older]), size, root, path)


def test_a_tile_is_read_once_while_it_is_kept() -> None:
    read = []

    def counting(tile: Tile) -> bytes:
        read.append(tile)
        return read_tile(tile)

    reader = NodeReader(counting, 70_000, keep=2)
    for _ in range(3):
        reader(0, 5)
        reader(3, 4)
        reader(8, 272)
    assert read == [Tile(0, 0), Tile(1, 1, 17)]
    reader(0, 7)
    reader(0, 69_999)  # in place of the tile that was not used for longest
    reader(0, 5)
    assert read == [Tile(0, 0), Tile(1, 1, 17), Tile(0, 273, 112)]
    reader(8, 272)
    assert read[3:] == [Tile(1, 1, 17)]
    assert NodeReader(read_tile, 300, keep=0)(3, 4) == LEVELS[3][4]


def test_tiles_of_a_wrong_length_and_nodes_outside_are_refused() -> None:
    for change in (lambda data: data[:-1], lambda data: data + b"\x00", lambda data: b"", lambda data: data * 2):
        with pytest.raises(Refusal):
            NodeReader(lambda tile, change=change: change(read_tile(tile)), 300)(0, 7)  # type: ignore[misc]
    reader = NodeReader(unreadable, 300)
    for level, index in ((-1, 0), (0, -1), (0, 300), (8, 1), (9, 0), (63, 0)):
        with pytest.raises(Refusal):
            reader(level, index)
    with pytest.raises(Refusal):
        split_tile(Tile(0, 0, 2), bytes(32))
    with pytest.raises(Refusal, match="size"):
        NodeReader(unreadable, 2**63)


# --- Writing ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 700), max_size=5), st.booleans())
def test_the_edge_yields_every_tile(steps: list[int], reopened: bool) -> None:
    edge = TileEdge()
    written: dict[Tile, bytes] = {}
    for step in steps:
        since = edge.size
        full = edge.extend(LEAVES[since : since + step])
        assert all(tile.width == WIDTH for tile, _ in full)
        new = [*full, *edge.partial_tiles()]
        assert len(dict(new)) == len(new)
        assert set(tiles_of(edge.size, since)) <= set(dict(new)) <= set(tiles_of(edge.size))
        written.update(new)
        assert edge.root() == tree_root(LEAVES[: edge.size])
        if reopened:
            edge = TileEdge(edge.size, written.__getitem__)
    assert edge.size == sum(steps)
    for tile in tiles_of(edge.size):
        assert written[tile] == read_tile(tile)


def test_the_edge_grows_over_two_levels_of_tiles_at_once_or_bit_by_bit() -> None:
    edge = TileEdge()
    written = dict([*edge.extend(LEAVES), *edge.partial_tiles()])
    assert sorted(written) == sorted(tiles_of(70_000))
    assert all(data == read_tile(tile) for tile, data in written.items())
    steps = TileEdge()
    written = {}
    for size in SIZES:
        new = dict([*steps.extend(LEAVES[steps.size : size]), *steps.partial_tiles()])
        assert all(len(data) == 32 * tile.width for tile, data in new.items())
        assert set(new) <= set(tiles_of(size))
        written.update(new)
    assert {tile: written[tile] for tile in tiles_of(70_000)} == {tile: read_tile(tile) for tile in tiles_of(70_000)}
    slow = TileEdge()
    written = {}
    for begin in range(0, 70_000, 1_111):
        written.update(slow.extend(LEAVES[begin : begin + 1_111]))
    written.update(slow.partial_tiles())
    assert written == {tile: read_tile(tile) for tile in tiles_of(70_000)}
    assert slow.root() == edge.root() == tree_root(LEAVES)


def test_an_edge_is_reopened_at_every_kind_of_size() -> None:
    for size in SIZES:
        edge = TileEdge(size, read_tile)
        assert edge.root() == tree_root(LEAVES[:size])
        assert dict(edge.partial_tiles()) == {tile: read_tile(tile) for tile in tiles_of(size) if tile.width < WIDTH}
        edge.extend(LEAVES[size : size + 300])
        assert edge.root() == tree_root(LEAVES[: size + 300])


def test_an_edge_refuses_what_it_cannot_build_on() -> None:
    assert TileEdge().root() == EMPTY_ROOT
    assert TileEdge().partial_tiles() == []
    with pytest.raises(Refusal):
        TileEdge(3)
    with pytest.raises(Refusal):
        TileEdge(3, lambda tile: bytes(64))
    for size in (-1, 2**63):
        with pytest.raises(Refusal, match="size"):
            TileEdge(size, unreadable)
    edge = TileEdge(3, read_tile)
    with pytest.raises(Refusal):
        edge.extend([LEAVES[3], b"short"])
    assert (edge.size, edge.root()) == (3, tree_root(LEAVES[:3]))
    assert dict(edge.partial_tiles()) == {Tile(0, 0, 3): read_tile(Tile(0, 0, 3))}


# --- A log that Tessera wrote -----------------------------------------------------------------------------------------


def test_a_tessera_log_from_its_entries_to_every_root(fixtures_dir: Path) -> None:
    log = fixtures_dir / "tlog" / "tessera_log"
    verifier = Verifier.from_vkey(json.loads((log / "vkey.json").read_bytes())["vkey"])

    def read(tile: Tile) -> bytes:
        return (log / tile.path).read_bytes()

    roots: dict[int, bytes] = {}
    names = [*(f"checkpoint.{size}" for size in range(16)), "checkpoint"]
    for name in names:
        checkpoint = open_checkpoint((log / name).read_bytes(), verifier).checkpoint
        assert roots.setdefault(checkpoint.size, checkpoint.root) == checkpoint.root
        entries: list[bytes] = []
        for bundle in bundles_of(checkpoint.size):
            entries += decode_bundle(read(bundle), bundle.width)
        leaves = leaf_hashes(entries)
        edge = TileEdge()
        written = dict([*edge.extend(leaves), *edge.partial_tiles()])
        assert edge.root() == tree_root(leaves) == checkpoint.root
        assert {tile: read(tile) for tile in tiles_of(checkpoint.size)} == written
        assert TileEdge(checkpoint.size, read).root() == checkpoint.root
        reader = NodeReader(read, checkpoint.size)
        for index, entry in enumerate(entries):
            path = inclusion_path(reader, index, checkpoint.size)
            verify_inclusion(leaf_hash(entry), index, checkpoint.size, path, checkpoint.root)
    assert sorted(roots) == list(range(16))
    assert roots[0] == EMPTY_ROOT
    reader = NodeReader(read, 15)
    for size1 in range(1, 16):
        verify_consistency(size1, roots[size1], 15, roots[15], consistency_path(reader, size1, 15))
