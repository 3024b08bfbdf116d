"""Batches: closing, showing, exporting and anchoring; and the tiles, out of which a stranger rebuilds the tree."""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from decimal import Decimal

import pytest

from tests.api.live import Device, Server, bad, good
from wattseal.api.batch_export import BatchExport
from wattseal.api.batch_view import AnchorView, BatchList, BatchView
from wattseal.api.batches import Mined
from wattseal.core import jcs
from wattseal.core.anchor_check import ChainTrust, check
from wattseal.core.anchor_evidence import BitcoinEvidence
from wattseal.core.checkpoint import open_checkpoint
from wattseal.core.entry import Salts, Slots, entry_hash
from wattseal.core.merkle import leaf_hash, leaf_hashes, verify_inclusion
from wattseal.core.note_key import Verifier
from wattseal.core.tiles import TileEdge, bundles_of, decode_bundle, tiles_of


@pytest.fixture(scope="module")
def batch(server: Server) -> BatchView:
    """A closed batch with 300 records and some more entries: the tree has full tiles."""
    device, shy = Device("open", "o1", now=int(time.time()) - 20_000), Device("closed", "c1")
    server.enrol(device, disclosed=True, record_interval_s=60)
    server.enrol(shy)
    readings = [device.next()]
    readings += [device.next(time_s=device.last.time_s + 60, import_mwh=device.last.import_mwh + 5) for _ in range(300)]
    server.send(*readings)
    server.send(*(shy.next() for _ in range(5)))
    detail = [device.next(time_s=device.last.time_s + 1, import_mwh=device.last.import_mwh + 1) for _ in range(10)]
    assert {result["outcome"] for result in server.send(*detail)} == {"admitted"}  # and no record of its own
    return BatchView.model_validate(server.flush())


def verifier(server: Server) -> Verifier:
    signers = good(server.as_nobody.get("/api/v1/signers"))["items"]
    return Verifier.from_vkey(next(signer["vkey"] for signer in signers if signer["role"] == "log"))


def test_nothing_new_gives_the_same_batch(server: Server, batch: BatchView) -> None:
    assert server.flush()["checkpoint"] == batch.checkpoint


def test_lists_and_single_ones(server: Server, batch: BatchView) -> None:
    server.enrol(Device("more", "m1"))
    second = BatchView.model_validate(server.flush())
    assert (second.first_index, second.id) == (batch.last_index + 1, batch.id + 1)
    page = BatchList.model_validate(good(server.as_nobody.get("/api/v1/batches?limit=1")))
    assert [item.id for item in page.items] == [second.id]
    rest = good(server.as_nobody.get(f"/api/v1/batches?limit=5&cursor={page.next_cursor}"))
    assert [item["id"] for item in rest["items"]] == [batch.id]
    assert rest["next_cursor"] is None
    one = BatchView.model_validate(good(server.as_nobody.get(f"/api/v1/batches/{batch.id}")))
    assert (one.root, one.body["batch"], one.body["origin"]) == (batch.root, batch.id, server.settings.origin)


@pytest.mark.parametrize("batch_id", ["99", "-1", "x", "1.0", "9" * 30, "..%2f1"])
def test_batches_that_are_not_there(server: Server, batch: BatchView, batch_id: str) -> None:
    for path in ("", "/export"):
        assert server.as_nobody.get(f"/api/v1/batches/{batch_id}{path}").status_code in {400, 404}
    assert server.as_operator.post(f"/api/v1/batches/{batch_id}/anchor").status_code in {400, 404}


def test_closing_and_anchoring_need_an_operator(server: Server, batch: BatchView) -> None:
    paths = ("flush", f"{batch.id}/anchor", f"{batch.id}/anchor/simulate")
    with server.client(server.make_token("auditor")) as auditor:
        for path in paths:
            bad(server.as_nobody.post(f"/api/v1/batches/{path}"), 401)
            bad(auditor.post(f"/api/v1/batches/{path}"), 403)


def test_the_tree_can_be_rebuilt_from_the_tiles(server: Server, batch: BatchView) -> None:
    answer = server.as_nobody.get("/log/checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    checkpoint = open_checkpoint(answer.content, verifier(server)).checkpoint
    entries: list[bytes] = []
    for name in bundles_of(checkpoint.size):
        got = server.as_nobody.get(f"/log/{name.path}")
        assert got.headers["content-type"] == "application/octet-stream"
        assert got.headers["access-control-allow-origin"] == "*"
        entries += decode_bundle(got.content, name.width)
    edge = TileEdge()
    full = dict(edge.extend(leaf_hashes(entries)))
    assert edge.root() == checkpoint.root
    for tile in tiles_of(checkpoint.size):
        got = server.as_nobody.get(f"/log/{tile.path}")
        assert got.content == full.get(tile, dict(edge.partial_tiles()).get(tile))
        assert ("immutable" in got.headers["cache-control"]) == (tile.width == 256)


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/0/001",
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/00/000",
        "tile/9/000",
        "tile/entries/x000/000",
        "tile/entries/../../../wattseal.toml",
        "tile/..%2f..%2flog.key",
        "tile/",
        "tile/0/000/",
        "checkpoint/",
        "tile/0/%30%30%31",
    ],
)
def test_tiles_that_are_not_there(server: Server, batch: BatchView, path: str) -> None:
    bad(server.as_nobody.get(f"/log/{path}"), 404)


def test_an_export_proves_every_entry_and_shows_what_may_be_seen(server: Server, batch: BatchView) -> None:
    data = server.as_nobody.get(f"/api/v1/batches/{batch.id}/export").content
    export = BatchExport.model_validate_json(data)
    root, size = bytes.fromhex(batch.root), batch.last_index + 1
    bodies = 0
    for entry in export.entries:
        path = [bytes.fromhex(export.hashes[place]) for place in entry.path]
        verify_inclusion(leaf_hash(bytes.fromhex(entry.entry)), entry.index, size, path, root)
        if entry.body is not None:
            bodies += 1
            assert entry.body["schema_version"] == "batch-1" or entry.body["site_id"] == "open"
    assert (len(export.entries), bodies) == (size, 301)
    assert export.checkpoint_body + "\n" == (batch.checkpoint or "").partition("— ")[0]


def test_an_operators_export_opens_every_entry(server: Server, batch: BatchView) -> None:
    data = server.as_operator.get(f"/api/v1/batches/{batch.id}/export").content
    entries = json.loads(data, parse_float=Decimal)["entries"]
    assert len(entries) == batch.last_index + 1
    for entry in entries:
        salts, slots = (list(map(bytes.fromhex, entry[name])) for name in ("salts", "slots"))
        body = jcs.dumps(entry["body"])
        assert body in data  # sent as it was hashed
        assert entry_hash(Salts(*salts), body, Slots(*slots)).hex() == entry["entry"]


def test_an_export_in_pages_and_as_files(server: Server, batch: BatchView) -> None:
    base = f"/api/v1/batches/{batch.id}/export?limit=100"
    seen = [entry["index"] for page in server.pages(base, server.as_nobody) for entry in page["entries"]]
    assert seen == list(range(batch.first_index, batch.last_index + 1))
    answer = server.as_nobody.get(f"/api/v1/batches/{batch.id}/export?format=zip")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.read("checkpoint").decode() == batch.checkpoint
        assert BatchExport.model_validate_json(archive.read("batch.json")).batch.id == batch.id
        assert (batch.checkpoint or "").startswith(archive.read("checkpoint.body").decode())
    bad(server.as_nobody.get(f"{base}&cursor=AAAAAAAB4kA"), 400)


def test_anchoring(server: Server, batch: BatchView) -> None:
    path = f"/api/v1/batches/{batch.id}/anchor"
    first = AnchorView.model_validate(good(server.as_operator.post(path)))
    body = (batch.checkpoint or "").partition("\n\n")[0] + "\n"
    assert (first.state, first.simulated, first.digest) == (
        "broadcast",
        True,
        hashlib.sha256(body.encode()).hexdigest(),
    )
    assert good(server.as_operator.post(path)) == first.model_dump()
    mined = Mined.model_validate(good(server.as_operator.post(f"{path}/simulate?blocks=1")))
    assert (mined.anchor.state, mined.anchor.height, mined.anchor.id) == ("in_block", mined.height, first.id)
    assert mined.anchor.reference == first.reference
    final = Mined.model_validate(good(server.as_operator.post(f"{path}/simulate")))
    assert (final.anchor.state, final.height) == ("final", mined.height + 6)
    view = BatchView.model_validate(good(server.as_nobody.get(f"/api/v1/batches/{batch.id}")))
    assert view.anchor is not None
    assert (view.anchor.state, len(view.anchors)) == ("final", 1)
    record = good(server.as_nobody.get("/api/v1/logs?limit=1"))["items"][0]
    assert record["anchor"]["state"] == "final"
    assert good(server.as_nobody.get("/health"))["anchored_batch"] == batch.id


def test_the_evidence_of_an_anchor_checks(server: Server, batch: BatchView) -> None:
    export = good(server.as_nobody.get(f"/api/v1/batches/{batch.id}/export?limit=1"))
    evidence = BitcoinEvidence.from_json(export["anchors"][0]["evidence"])
    digest = hashlib.sha256(export["checkpoint_body"].encode()).digest()
    known = {evidence.height: bytes.fromhex(export["anchors"][0]["block_hash"])[::-1]}
    finding = check(evidence, digest, ChainTrust("simulated", simulated=True, known_blocks=known))
    assert (finding.state, finding.simulated) == ("yes", True), finding


def test_odd_numbers_of_blocks(server: Server, batch: BatchView) -> None:
    for blocks in ("0", "101", "-1", "x"):
        bad(server.as_operator.post(f"/api/v1/batches/{batch.id}/anchor/simulate?blocks={blocks}"), 400)
