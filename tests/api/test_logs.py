"""Reading records, and their proofs, which the verifier of the bare package accepts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.live import Device, Server, bad, good
from wattseal.api.logs import Proof
from wattseal.api.record_view import EntryList, EntryView
from wattseal.core.bundle import parse_bundle
from wattseal.core.checkpoint import open_checkpoint
from wattseal.core.emlog import parse_body
from wattseal.core.merkle import leaf_hash, verify_inclusion
from wattseal.core.note_key import Verifier
from wattseal.core.policy import Policy
from wattseal.core.tlog_proof import TlogProof
from wattseal.core.tlog_proof import verify as verify_tlog_proof
from wattseal.core.trust import parse_trust
from wattseal.core.units import rfc3339
from wattseal.core.verify import verify


@pytest.fixture(scope="module")
def devices(server: Server) -> list[Device]:
    """Two devices on two sites with 9 records each, in a closed batch."""
    devices = [Device("north", "n1"), Device("south", "s1", "roof")]
    for device in devices:
        server.enrol(device, disclosed=device.site_id == "north")
        results = server.send(*(device.next() for _ in range(10)))
        assert [result["outcome"] for result in results] == ["admitted"] * 10
    server.flush()
    return devices


def listed(server: Server, query: str = "") -> list[dict[str, Any]]:
    page = EntryList.model_validate(good(server.as_operator.get(f"/api/v1/logs?{query}")))
    return [item.model_dump() for item in page.items]


def verifier(server: Server) -> Verifier:
    signers = good(server.as_nobody.get("/api/v1/signers"))["items"]
    return Verifier.from_vkey(next(signer["vkey"] for signer in signers if signer["role"] == "log"))


def test_filters(server: Server, devices: list[Device]) -> None:
    device = devices[0]
    assert len(listed(server)) == 18
    assert {item["body"]["site_id"] for item in listed(server, "site=north")} == {"north"}
    assert len(listed(server, "site=north&device=n1&meter=main")) == 9
    assert listed(server, "site=north&meter=roof") == []
    since, until = rfc3339(device.start_s + 600), rfc3339(device.start_s + 1_500)
    found = listed(server, f"site=north&from={since}&to={until}")
    assert sorted(item["body"]["ts_start"] for item in found) == [
        rfc3339(device.start_s + 300 * step) for step in (2, 3, 4)
    ]
    assert listed(server, f"site=north&from={device.start_s + 600}&to={device.start_s + 1_500}") == found
    assert len(listed(server, "status=ok")) == 18
    assert listed(server, "status=gap") == []


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_cover_all_once(server: Server, devices: list[Device], order: str) -> None:
    pages = server.pages(f"/api/v1/logs?order={order}&limit=5")
    seen = [item["index"] for page in pages for item in page["items"]]
    assert len(seen) == 18
    assert seen == sorted(set(seen), reverse=order == "newest")


@pytest.mark.parametrize(
    "query",
    [
        "site=../x",
        "site=<img>",
        "site=" + 65 * "a",
        "device=",
        "meter=%00",
        "from=yesterday",
        "from=2026-01-01",
        "to=99999999999999",
        "from=-5",
        "status=fine",
        "limit=0",
        "limit=1001",
        "limit=1.5",
        "cursor=abc",
        "cursor=AAAAAAAAAAA%3D",
        "cursor=________%2F__",
        "order=up",
        "sites=north",
        "site=north&site=south",
        "site=north&SITE=south",
    ],
)
def test_odd_queries_are_refused(server: Server, devices: list[Device], query: str) -> None:
    problem = bad(server.as_operator.get(f"/api/v1/logs?{query}"), 400)
    assert problem["field"] == query.rsplit("&", maxsplit=1)[-1].split("=", maxsplit=1)[0]
    assert problem["reason"]


@pytest.mark.parametrize("log_id", ["x", "..%2f..%2fx", "%3Cimg%3E", 33 * "0", 32 * "G", 32 * "%C3%A4"])
def test_odd_ids_are_refused(server: Server, log_id: str) -> None:
    assert server.as_operator.get(f"/api/v1/logs/{log_id}").status_code in {400, 404}


def test_a_record_that_is_not_there(server: Server) -> None:
    bad(server.as_operator.get(f"/api/v1/logs/{32 * '0'}"), 404)


def test_a_record_is_shown_as_it_was_hashed(server: Server, devices: list[Device]) -> None:
    item = listed(server, "site=south&order=oldest")[0]
    raw = server.as_operator.get(f"/api/v1/logs/{item['log_id']}").content
    body = raw[raw.index(b'"body":') + 7 : raw.index(b',"key":')]
    record = parse_body(body)  # refuses all but the canonical bytes
    assert record.energy_mwh == 100_000
    view = EntryView.model_validate_json(raw)
    assert view.key is not None
    assert (view.key.provenance, view.key.simulated) == ("registered", True)
    assert view.batch is not None
    assert view.batch.id == 0
    assert view.anchor is None


def test_the_inclusion_proof(server: Server, devices: list[Device]) -> None:
    for item in listed(server):
        proof = Proof.model_validate(good(server.as_operator.get(f"/api/v1/logs/{item['log_id']}/proof")))
        opened = open_checkpoint(proof.checkpoint.encode(), verifier(server))
        assert (opened.checkpoint.root.hex(), opened.checkpoint.size) == (proof.root, proof.tree_size)
        leaf, path = leaf_hash(bytes.fromhex(proof.entry)), [bytes.fromhex(value) for value in proof.hashes]
        verify_inclusion(leaf, proof.leaf_index, proof.tree_size, path, opened.checkpoint.root)


def test_the_tlog_proof(server: Server, devices: list[Device]) -> None:
    item = listed(server)[0]
    answer = server.as_operator.get(f"/api/v1/logs/{item['log_id']}/proof?format=tlog-proof")
    assert f'filename="{item["log_id"]}.tlog-proof"' in answer.headers["content-disposition"]
    entry = bytes.fromhex(good(server.as_operator.get(f"/api/v1/logs/{item['log_id']}/proof"))["entry"])
    policy = Policy.parse(f"log {verifier(server).vkey}\nquorum none\n".encode())
    verify_tlog_proof(TlogProof.parse(answer.content), entry, policy)


def trust(server: Server) -> str:
    vkey = verifier(server).vkey
    return f'version = 1\n[[log]]\norigin = "{server.settings.origin}"\nvkey = "{vkey}"\n'


def test_bundles_verify(server: Server, devices: list[Device]) -> None:
    device = devices[1]
    item = listed(server, "site=south")[0]
    one = server.as_operator.get(f"/api/v1/logs/{item['log_id']}/proof?format=bundle").content
    period = {"meter": device.path, "from": rfc3339(device.start_s), "to": rfc3339(device.start_s + 2_700)}
    many = server.as_operator.get("/api/v1/bundles", params=period)
    assert many.headers["content-disposition"].endswith('.wattseal.json"')
    for data, records in ((one, 1), (many.content, 9)):
        bundle = parse_bundle(data)
        assert len(bundle.records) == records
        verdicts = verify(bundle, parse_trust(trust(server), lambda _: b""))
        words = [getattr(verdicts, name).word for name in ("included", "authentic", "complete")]
        assert words == ["yes", "yes", "yes"], verdicts
        assert verdicts.authentic.simulated
    since = good(server.as_operator.get("/api/v1/bundles", params=period | {"since": 5}))
    assert since["consistency"]["size"] == 5


def test_odd_bundles_are_refused(server: Server, devices: list[Device]) -> None:
    get, path, start_s = server.as_operator.get, devices[0].path, devices[0].start_s
    for query, field in (
        (f"meter={path}&from=5&to=5", "to"),
        (f"meter={path}&from=5", "to"),
        ("meter=../x&from=5&to=6", "meter"),
        (f"meter={path}&from=5&to=6", "period"),
        (f"meter={path}&from={start_s}&to={start_s + 300}&since=100000", "since"),
    ):
        assert bad(get(f"/api/v1/bundles?{query}"), 400)["field"] == field
    bad(get("/api/v1/bundles?meter=a/b/c&from=5&to=6"), 404)
    item = listed(server)[0]
    assert bad(get(f"/api/v1/logs/{item['log_id']}/proof?since=3"), 400)["field"] == "since"
    assert bad(get(f"/api/v1/logs/{item['log_id']}/proof?format=pdf"), 400)["field"] == "format"


def test_before_the_batch_closes_there_is_no_proof(server: Server, devices: list[Device]) -> None:
    result = server.send(devices[0].next())[0]
    record = good(server.as_operator.get(f"/api/v1/logs/{result['log_id']}"))
    assert (record["batch"], record["anchor"]) == (None, None)
    answer = server.as_operator.get(f"/api/v1/logs/{result['log_id']}/proof")
    assert answer.headers["retry-after"] == "3600"
    assert "flush" in bad(answer, 409)["next_step"]
    batch = server.flush()
    after = good(server.as_operator.get(f"/api/v1/logs/{result['log_id']}"))
    assert after["batch"]["id"] == batch["id"] == 1
    assert json.loads(server.as_operator.get(f"/api/v1/logs/{result['log_id']}/proof").content)["batch_id"] == 1
