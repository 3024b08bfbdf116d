"""Keys, meters, tariffs, tokens, decisions: what is registered counts at once, and what is odd is refused by name."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.api.live import INTERVAL_S, Device, Server, bad, good
from wattseal.api.meters import DeviceList, MeterView
from wattseal.api.quarantine import QuarantineList, QuarantineView
from wattseal.api.registered import DocumentList, RegisteredView
from wattseal.api.tokens import NewTokenView, TokenList
from wattseal.core.units import rfc3339


def test_a_key_and_a_meter_count_at_once(server: Server) -> None:
    device = Device("shop", "till")
    post = server.as_operator.post
    key = RegisteredView.model_validate(good(post("/api/v1/keys", json=device.key_document()), 201))
    meter = RegisteredView.model_validate(good(post("/api/v1/meters", json=device.meter_document()), 201))
    assert meter.index == key.index + 1
    assert (key.body["kid"], key.body["alg"], key.body["reason"]) == (device.element.kid.hex(), "ES256", "registered")
    assert (meter.body["role"], meter.body["record_interval_s"], meter.body["zone"]) == ("consumption", 300, "UTC")
    assert server.send(device.next())[0]["outcome"] == "admitted"
    found = MeterView.model_validate(good(server.as_operator.get(f"/api/v1/meters/{device.path}")))
    assert (found.meter, found.keys) == (meter.body, [key.body])
    devices = DeviceList.model_validate(good(server.as_operator.get("/api/v1/devices?site=shop")))
    assert [(item.iot_device_id, len(item.keys), len(item.meters)) for item in devices.items] == [("till", 1, 1)]
    entry = good(server.as_operator.get(f"/api/v1/logs/{meter.log_id}"))
    assert (entry["body"], entry["settlement"]) == (meter.body, None)


def test_meters_come_in_pages(server: Server) -> None:
    for number in range(5):
        good(
            server.as_operator.post("/api/v1/meters", json=Device("row", f"d{number}").meter_document() | {"kid": []}),
            201,
        )
    pages = [DocumentList.model_validate(page) for page in server.pages("/api/v1/meters?site=row&limit=2")]
    assert [len(page.items) for page in pages] == [2, 2, 1]
    seen = [item["iot_device_id"] for page in pages for item in page.items]
    assert seen == [f"d{number}" for number in range(5)]


def test_a_rotated_key_goes_on_with_the_meter(server: Server) -> None:
    old, new = Device("shop", "rotates"), Device("shop", "rotates")
    server.enrol(old)
    server.send(old.next(), old.next())
    since = old.last.time_s + 10
    given = new.key_document() | {"valid_from": rfc3339(since)}
    answer = good(server.as_operator.post(f"/api/v1/keys/{old.element.kid.hex()}/rotate", json=given), 201)
    body = RegisteredView.model_validate(answer).body
    assert (body["reason"], body["previous_kid"]) == ("rotated", old.element.kid.hex())
    assert body["previous_digest"] == old.digest(old.last).hex()
    reading = new.next(time_s=old.last.time_s + INTERVAL_S, import_mwh=old.last.import_mwh)
    assert server.send(reading)[0]["outcome"] == "admitted"
    late = old.next(time_s=since + INTERVAL_S)
    assert server.send(late)[0]["reason"] == "key-not-valid-then"
    again = server.as_operator.post(f"/api/v1/keys/{old.element.kid.hex()}/rotate", json=given)
    bad(again, 400)


def test_a_revoked_key(server: Server) -> None:
    device = Device("shop", "revoked")
    server.enrol(device)
    path = f"/api/v1/keys/{device.element.kid.hex()}"
    body = good(server.as_operator.post(f"{path}/revoke", json={"valid_until": "2026-01-01T00:00:00Z"}), 201)["body"]
    assert (body["valid_until"], body["reason"]) == ("2026-01-01T00:00:00Z", "revoked")
    assert good(server.as_operator.get(path)) == body
    assert server.send(device.next())[0]["reason"] == "key-not-valid-then"
    odds: list[object] = [{"valid_until": "soon"}, {"valid_until": "2030-01-01T00:00:00Z"}, {"until": None}, [], "x"]
    for odd in odds:
        bad(server.as_operator.post(f"{path}/revoke", json=odd), 400)
    bad(server.as_operator.post(f"/api/v1/keys/{32 * '0'}/revoke"), 404)


KEY, METER = Device("odd", "o1").key_document(), Device("odd", "o1").meter_document() | {"kid": []}
TARIFF: dict[str, Any] = {"tariff_id": "odd", "version": 1, "site_id": "odd", "price_sats_per_kwh": 100}
ODD = [
    ("keys", KEY | {"public_key": "00"}, "public_key"),
    ("keys", KEY | {"public_key": 128 * "0"}, "public_key"),
    ("keys", KEY | {"public_key": KEY["public_key"].upper()}, "public_key"),
    ("keys", KEY | {"site_id": "../x"}, "site_id"),
    ("keys", KEY | {"iot_device_id": "<img>"}, "iot_device_id"),
    ("keys", KEY | {"serial": ""}, "serial"),
    ("keys", KEY | {"serial": 66 * "0"}, "serial"),
    ("keys", KEY | {"kid": 32 * "0"}, "kid"),
    ("keys", KEY | {"reason": "rotated"}, "reason"),
    ("keys", KEY | {"provenance": "found"}, "provenance"),
    ("keys", KEY | {"valid_until": "2019-01-01T00:00:00Z"}, "valid_until"),
    ("keys", KEY | {"nmae": "x"}, "nmae"),
    ("meters", METER | {"meter_id": "a/b"}, "meter_id"),
    ("meters", METER | {"kid": [32 * "0"]}, "kid"),
    ("meters", METER | {"kid": "x"}, "kid"),
    ("meters", METER | {"role": "sub-main"}, "role"),
    ("meters", METER | {"record_interval_s": 0}, "record_interval_s"),
    ("meters", METER | {"record_interval_s": 300.5}, "record_interval_s"),
    ("meters", METER | {"rated_power_kw": -1}, "rated_power_kw"),
    ("meters", METER | {"rated_power_kw": 0}, "rated_power_kw"),
    ("meters", METER | {"zone": "Mars/Base"}, "zone"),
    ("meters", METER | {"zone": "../../etc/passwd"}, "zone"),
    ("meters", METER | {"disclosed": "yes"}, "disclosed"),
    ("meters", METER | {"schema_version": "meter-2"}, "schema_version"),
    ("tariffs", TARIFF | {"version": 0}, "version"),
    ("tariffs", TARIFF | {"price_sats_per_kwh": 0.0001}, "price_sats_per_kwh"),
    ("tariffs", TARIFF | {"price_sats_per_kwh": -1}, "price_sats_per_kwh"),
    ("tariffs", TARIFF | {"kind": "tiered"}, "kind"),
    ("tariffs", TARIFF | {"meters": ["x"]}, "meters"),
    ("tariffs", TARIFF | {"meters": ["x/y"]}, "meters"),
    ("tokens", {"label": "", "scopes": ["auditor"]}, "label"),
    ("tokens", {"label": "a\nb", "scopes": ["auditor"]}, "label"),
    ("tokens", {"label": "x", "scopes": []}, "scopes"),
    ("tokens", {"label": "x", "scopes": ["root"]}, "scopes"),
    ("tokens", {"label": "x", "scopes": [1]}, "scopes"),
    ("tokens", {"label": "x", "scopes": ["tenant"]}, "subject"),
    ("tokens", {"label": "x", "scopes": ["tenant"], "subject": ["../x"]}, "subject"),
    ("tokens", {"label": "x", "scopes": ["tenant"], "subject": ["a/b/c/d"]}, "subject"),
    ("tokens", {"label": "x", "scopes": ["auditor"], "expires": "2020-01-01T00:00:00Z"}, "expires"),
    ("tokens", {"label": "x", "scopes": ["auditor"], "admin": True}, "admin"),
]


@pytest.mark.parametrize(("what", "document", "field"), ODD)
def test_odd_documents_are_refused_by_name(server: Server, what: str, document: dict[str, Any], field: str) -> None:
    before = good(server.as_nobody.get("/health"))["entries"]
    problem = bad(server.as_operator.post(f"/api/v1/{what}", json=document), 400)
    assert problem["field"] == field
    assert good(server.as_nobody.get("/health"))["entries"] == before


@pytest.mark.parametrize("what", ["keys", "meters", "tariffs", "tokens"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"a":1,"a":1}', b'{"a":NaN}', b"\xff", b"[" * 50_000])
def test_odd_json_is_refused(server: Server, what: str, body: bytes) -> None:
    bad(server.as_operator.post(f"/api/v1/{what}", content=body), 400)


def test_a_tariff_prices_from_its_time_on(server: Server) -> None:
    device = Device("priced", "p1")
    server.enrol(device)
    turn = device.start_s + 2 * INTERVAL_S
    for version, price, since in ((1, 100, device.start_s), (2, 120.5, turn)):
        given = TARIFF | {"site_id": "priced", "version": version, "price_sats_per_kwh": price}
        good(server.as_operator.post("/api/v1/tariffs", json=given | {"valid_from": rfc3339(since)}), 201)
    assert (
        bad(server.as_operator.post("/api/v1/tariffs", json=TARIFF | {"site_id": "priced"}), 400)["field"] == "version"
    )
    server.send(*(device.next() for _ in range(4)))
    records = good(server.as_operator.get("/api/v1/logs?site=priced&order=oldest"))["items"]
    quotes = [(item["body"]["tx"]["price_sats_per_kwh"], item["body"]["tx"]["amount_sats"]) for item in records]
    assert quotes == [(100, 10), (100, 10), (120.5, 12.05)]
    assert len(good(server.as_operator.get("/api/v1/tariffs?site=priced"))["items"]) == 2


def test_tokens_come_and_go(server: Server) -> None:
    made = good(server.as_operator.post("/api/v1/tokens", json={"label": "x", "scopes": ["auditor"]}), 201)
    token = NewTokenView.model_validate(made)
    with server.client(token.token) as client:
        good(client.get("/api/v1/quarantine"))
        listed = TokenList.model_validate(good(server.as_operator.get("/api/v1/tokens")))
        assert [item.label for item in listed.items if item.id == token.id] == ["x"]
        assert token.token not in server.as_operator.get("/api/v1/tokens").text
        for path in (token.id, token.id):  # the second time it changes nothing
            assert good(server.as_operator.delete(f"/api/v1/tokens/{path}"))["revoked_at"]
        assert "revoked" in bad(client.get("/api/v1/quarantine"), 401)["detail"]
    bad(server.as_operator.delete(f"/api/v1/tokens/{16 * '0'}"), 404)
    bad(server.as_operator.delete("/api/v1/tokens/x"), 400)


def test_a_token_expires(server: Server) -> None:
    with server.client(server.make_token("auditor", expires=rfc3339(int(time.time()) + 2))) as client:
        good(client.get("/api/v1/quarantine"))
        time.sleep(2.1)
        assert "expired" in bad(client.get("/api/v1/quarantine"), 401)["detail"]


def test_decisions(server: Server) -> None:
    device = Device("shop", "decides")
    server.enrol(device)
    server.send(device.next(), device.next())
    low = device.next(import_mwh=device.last.import_mwh - 50)
    first = server.send(low)[0]
    second = server.send(device.next(import_mwh=device.last.import_mwh))[0]
    assert [first["reason"], second["reason"]] == ["register-fell", "register-fell"]
    post, path = server.as_operator.post, "/api/v1/quarantine/{}/decision"
    opened = QuarantineList.model_validate(good(server.as_operator.get("/api/v1/quarantine?state=open&limit=1000")))
    assert {item.log_id for item in opened.items} >= {first["log_id"], second["log_id"]}
    decided = post(path.format(first["log_id"]), json={"decision": "reject", "reason": "The display shows more."})
    view = QuarantineView.model_validate(good(decided, 201))
    assert view.decision is not None
    assert (view.state, view.decision.body["reason"]) == ("rejected", "The display shows more.")
    assert view.meter == device.path
    again = post(path.format(first["log_id"]), json={"decision": "release", "reason": "x"})
    assert "stands" in bad(again, 409)["detail"]
    good(post(path.format(second["log_id"]), json={"decision": "release", "reason": "Meter was swapped."}), 201)
    for state, log_id in (("rejected", first["log_id"]), ("released", second["log_id"])):
        listed = good(server.as_operator.get(f"/api/v1/quarantine?state={state}"))["items"]
        assert [item["log_id"] for item in listed] == [log_id]
    bad(post(path.format(32 * "0"), json={"decision": "reject", "reason": "x"}), 404)
    bad(post(path.format(first["log_id"]), json={"decision": "forget", "reason": "x"}), 400)
    bad(post(path.format(first["log_id"]), json={"decision": "reject", "reason": "x" * 2_000}), 400)


def test_quarantine_comes_in_pages(server: Server) -> None:
    device = Device("shop", "pages")
    server.enrol(device)
    server.send(device.next())
    sent = [server.send(device.odd(seq=1, prev=bytes([number]) * 32))[0]["log_id"] for number in range(5)]
    seen = [item["log_id"] for page in server.pages("/api/v1/quarantine?limit=2") for item in page["items"]]
    assert [log_id for log_id in seen if log_id in sent] == sent
    assert len(set(seen)) == len(seen)
