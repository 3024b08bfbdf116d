"""Who sees what: a tenant its meters, everybody the disclosed ones, an auditor all; a token no more than its scopes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.api.live import SEQUENCE, Device, Server, bad, good
from wattseal.core.units import rfc3339


@pytest.fixture(scope="module")
def house(server: Server) -> dict[str, Device]:
    """Two flats, whose ids begin alike, and a public meter, with three records each; all in a batch."""
    devices = {
        "flat-1": Device("house", "flat-1"),
        "flat-10": Device("house", "flat-10"),
        "roof": Device("house", "roof"),
    }
    for name, device in devices.items():
        server.enrol(device, disclosed=name == "roof", role="production" if name == "roof" else "consumption")
        server.send(*(device.next() for _ in range(4)))
    tariff = {"tariff_id": "flat", "version": 1, "site_id": "house", "price_sats_per_kwh": 90}
    good(server.as_operator.post("/api/v1/tariffs", json=tariff), 201)
    server.flush()
    return devices


@pytest.fixture(scope="module")
def clients(server: Server, house: dict[str, Device]) -> Iterator[dict[str, httpx.Client]]:
    """By what they are: nobody, tenant (of flat 1), auditor, reporter, enroller, operator."""
    tokens = {
        "tenant": server.make_token("tenant", subject=("house/flat-1",)),
        "auditor": server.make_token("auditor"),
        "reporter": server.make_token("report"),
        "enroller": server.make_token("enrol", subject=("house/flat-1",)),
    }
    with ExitStack() as stack:
        clients = {name: stack.enter_context(server.client(token)) for name, token in tokens.items()}
        yield clients | {"nobody": server.as_nobody, "operator": server.as_operator}


SEES = {
    "nobody": {"roof"},
    "reporter": {"roof"},
    "enroller": {"roof"},
    "tenant": {"flat-1", "roof"},
    "auditor": {"flat-1", "flat-10", "roof"},
    "operator": {"flat-1", "flat-10", "roof"},
}


def names(items: list[dict[str, Any]]) -> set[str]:
    return {item["iot_device_id"] for item in items}


@pytest.mark.parametrize("who", SEES)
def test_lists(clients: dict[str, httpx.Client], who: str) -> None:
    get = clients[who].get
    assert names([item["body"] for item in good(get("/api/v1/logs?limit=1000"))["items"]]) == SEES[who]
    assert names([item["body"] for item in good(get("/api/v1/logs?order=oldest"))["items"]]) == SEES[who]
    for device in ("flat-1", "flat-10", "roof"):
        count = 3 if device in SEES[who] else 0
        assert len(good(get(f"/api/v1/logs?site=house&device={device}"))["items"]) == count
    assert names(good(get("/api/v1/meters"))["items"]) == SEES[who]
    assert names(good(get("/api/v1/keys"))["items"]) == SEES[who]
    assert names(good(get("/api/v1/devices"))["items"]) == SEES[who]
    assert len(good(get("/api/v1/tariffs"))["items"]) == 1


@pytest.mark.parametrize("who", SEES)
def test_single_ones(clients: dict[str, httpx.Client], house: dict[str, Device], who: str) -> None:
    get, records = clients[who].get, good(clients["operator"].get("/api/v1/logs"))["items"]
    for name, device in house.items():
        log_id = next(item["log_id"] for item in records if item["body"]["iot_device_id"] == name)
        period = f"from={rfc3339(device.start_s)}&to={rfc3339(device.start_s + 900)}"
        for path in (
            f"/api/v1/logs/{log_id}",
            f"/api/v1/logs/{log_id}/proof",
            f"/api/v1/logs/{log_id}/proof?format=tlog-proof",
            f"/api/v1/logs/{log_id}/proof?format=bundle",
            f"/api/v1/bundles?meter={device.path}&{period}",
            f"/api/v1/meters/{device.path}",
            f"/api/v1/keys/{device.element.kid.hex()}",
        ):
            if name in SEES[who]:
                assert get(path).status_code == 200, path
            else:
                assert "operator" not in json.dumps(bad(get(path), 404)), path


@pytest.mark.parametrize("who", SEES)
def test_exports_and_pages_show_no_more(clients: dict[str, httpx.Client], who: str) -> None:
    hidden = {"flat-1", "flat-10", "roof"} - SEES[who]
    for path in ("/api/v1/batches/0/export", "/api/v1/batches", "/", "/health", "/metrics"):
        text = clients[who].get(path).text
        assert not [name for name in hidden if f'"{name}"' in text or f"/{name}/" in text], path


def test_what_only_operators_and_auditors_see(clients: dict[str, httpx.Client]) -> None:
    for path in ("/api/v1/quarantine", "/api/v1/inbox"):
        bad(clients["nobody"].get(path), 401)
        for who in ("tenant", "reporter", "enroller"):
            bad(clients[who].get(path), 403)
        for who in ("auditor", "operator"):
            good(clients[who].get(path))
    for who in ("tenant", "reporter", "enroller", "auditor"):
        bad(clients[who].get("/api/v1/tokens"), 403)


WRITES = {
    "/api/v1/tokens": {"label": "x", "scopes": ["operator"]},
    "/api/v1/tariffs": {"tariff_id": "x", "version": 1, "site_id": "house", "price_sats_per_kwh": 1},
    "/api/v1/keys/" + 32 * "0" + "/revoke": {},
    "/api/v1/quarantine/" + 32 * "0" + "/decision": {"decision": "reject", "reason": "x"},
}


@pytest.mark.parametrize("path", WRITES)
def test_writing_is_for_operators(server: Server, clients: dict[str, httpx.Client], path: str) -> None:
    before = good(server.as_nobody.get("/health"))["entries"]
    bad(clients["nobody"].post(path, json=WRITES[path]), 401)
    for who in ("tenant", "reporter", "enroller", "auditor"):
        bad(clients[who].post(path, json=WRITES[path]), 403)
    assert good(server.as_nobody.get("/health"))["entries"] == before


def test_an_enroller_registers_within_its_subject(server: Server, clients: dict[str, httpx.Client]) -> None:
    enroller, inside, outside = clients["enroller"], Device("house", "flat-1", "m2"), Device("house", "flat-2")
    good(enroller.post("/api/v1/keys", json=inside.key_document()), 201)
    good(enroller.post("/api/v1/meters", json=inside.meter_document()), 201)
    bad(enroller.post("/api/v1/keys", json=outside.key_document()), 403)
    bad(enroller.post("/api/v1/meters", json=outside.meter_document() | {"kid": []}), 403)
    bad(clients["tenant"].post("/api/v1/keys", json=outside.key_document()), 403)
    other = Device("house", "flat-1")
    kid = next(
        key["kid"] for key in good(server.as_operator.get("/api/v1/keys"))["items"] if key["iot_device_id"] == "roof"
    )
    bad(enroller.post(f"/api/v1/keys/{kid}/rotate", json=other.key_document()), 403)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer x",
        "Bearer wattseal_" + 43 * "A",
        "Bearer wattseal_" + 44 * "A",
        "Basic d2F0dHNlYWw6eA==",
        "wattseal_" + 43 * "A",
        "Bearer wattseal_" + 10_000 * "A",
    ],
)
def test_odd_tokens_are_refused_everywhere(server: Server, house: dict[str, Device], header: str) -> None:
    for path in ("/api/v1/logs", "/api/v1/tokens"):
        answer = server.as_nobody.get(path, headers={"Authorization": header})
        bad(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"


def test_strangers_are_slowed_down_and_operators_are_not(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("slow")
    with Server(folder, anonymous_per_s=1, anonymous_burst=3) as server:
        device = Device("slow", "s1")
        server.enrol(device)
        readings = [device.next() for _ in range(8)]
        server.send(*readings[:3])
        headers = {"Content-Type": SEQUENCE}
        answer = server.as_nobody.post("/api/v1/logs", content=readings[3] + readings[4], headers=headers)
        bad(answer, 429)
        assert 1 <= int(answer.headers["retry-after"]) <= 3
        problem = bad(server.as_nobody.post("/api/v1/logs", content=b"".join(readings[3:]), headers=headers), 429)
        assert "at most 3" in problem["next_step"]
        assert [result["outcome"] for result in server.send(*readings[3:], token=True)] == ["admitted"] * 5


def test_a_demonstration_shows_all(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Server(tmp_path_factory.mktemp("demo"), demo=True, public_records=True) as server:
        device = Device("demo", "d1")
        server.enrol(device)
        server.send(device.next(), device.next())
        assert len(good(server.as_nobody.get("/api/v1/logs"))["items"]) == 1
        assert "demonstration" in server.as_nobody.get("/").text
        assert good(server.as_nobody.get("/health"))["demo"] is True
        signers = good(server.as_nobody.get("/api/v1/signers"))["items"]
        assert all(signer["simulated"] for signer in signers)
        bad(server.as_nobody.get("/api/v1/tokens"), 401)
