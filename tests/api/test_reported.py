"""POST /api/v1/logs with JSON: the bytes are kept as they came, a token is needed, and odd JSON is named."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import pytest

from tests.api.live import Server, bad, good
from wattseal.api.submission import ResultList, ResultView, split_json
from wattseal.core.refusal import Refusal
from wattseal.serve import read_store

INTERVAL: dict[str, Any] = {
    "site_id": "hall",
    "iot_device_id": "gateway",
    "meter_id": "m1",
    "ts_start": "2026-01-31T12:00:00Z",
    "ts_end": "2026-01-31T12:05:00Z",
    "interval_s": 300,
    "energy_kwh": 12.34,
    "power_kw_avg": 2.47,
    "price_sats_per_kwh": 100,
    "status": "ok",
    "tags": ["line-1"],
}


def post(server: Server, body: bytes | str, *, client: httpx.Client | None = None) -> httpx.Response:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return (client or server.as_operator).post("/api/v1/logs", content=body, headers=headers)


def text(**changes: object) -> str:
    return json.dumps(INTERVAL | changes)


def test_one_interval_becomes_a_record(server: Server) -> None:
    sent = text(meter_id="one")
    result = good(post(server, f"  {sent}\n"))
    ResultView.model_validate(result)
    assert result["outcome"] == "admitted"
    assert result["digest"] == hashlib.sha256(sent.encode()).hexdigest()
    record = good(server.as_operator.get(f"/api/v1/logs/{result['log_id']}"))
    body = record["body"]
    assert (body["energy_kwh"], body["power_kw_avg"], body["evidence"]["kind"]) == (12.34, 148.08, "reported")
    assert body["evidence"]["claims"] == {"power_kw_avg": 2.47}
    assert body["tx"]["amount_sats"] == 1234
    assert (record["key"], record["settlement"]) == (None, {"status": "pending"})
    assert good(post(server, sent)) == result | {"outcome": "duplicate"}
    with read_store(server.settings) as store, store.read() as read:
        raw = read.raw(result["index"])
    assert raw is not None
    assert raw[0] == sent.encode()


def test_an_array_keeps_each_element_as_it_came(server: Server) -> None:
    spaced = '{ "meter_id" : "many", ' + text(meter_id="x").removeprefix("{").replace('"meter_id": "x", ', "")
    items = [text(meter_id="a"), spaced, text(meter_id="a", energy_kwh=5), text(meter_id="b", energy_kwh=-1)]
    results = ResultList.model_validate(good(post(server, f"[{items[0]} ,\n {items[1]},{items[2]},{items[3]}]")))
    assert [result.outcome for result in results.results] == ["admitted", "admitted", "quarantined", "refused"]
    assert [result.digest for result in results.results[:3]] == [
        hashlib.sha256(item.encode()).hexdigest() for item in items[:3]
    ]
    assert results.results[2].reason == "equivocation"
    assert (results.results[3].reason, results.results[3].field) == ("malformed", "energy_kwh")
    assert results.counts == {"admitted": 2, "quarantined": 1, "refused": 1}


def test_an_overlap_is_set_aside(server: Server) -> None:
    assert good(post(server, text(meter_id="o")))["outcome"] == "admitted"
    late = text(meter_id="o", ts_start="2026-01-31T12:04:00Z", ts_end="2026-01-31T12:09:00Z")
    assert good(post(server, late))["reason"] == "overlap"


ODD: dict[str, tuple[bytes | str, str]] = {
    "NaN": (text().replace("12.34", "NaN"), "NaN"),
    "Infinity": (text().replace("12.34", "-Infinity"), "Infinity"),
    "a duplicate key": (text().replace("{", '{"energy_kwh": 1, ', 1), "is given twice"),
    "a duplicate key deep inside": (text(tx={"channel": "ln"}).replace('"tx": {', '"tx": {"channel": "ln", '), "twice"),
    "an unknown member": (text(energy_wh=1), "is no member"),
    "seven decimals": (text(energy_kwh=0.1234567), "finer than 6 decimals"),
    "a negative energy": (text(energy_kwh=-0.1), "negative"),
    "an energy as text": (text(energy_kwh="12.34"), "must be a number"),
    "an energy of 400 digits": (text().replace("12.34", "9" * 400), "digits"),
    "an energy of 1e400": (text().replace("12.34", "1e400"), "digits"),
    "another interval": (text(interval_s=301), "ts_end - ts_start"),
    "no time zone": (text(ts_start="2026-01-31T12:00:00"), "RFC 3339"),
    "a path for a site": (text(site_id="../x"), "A-Z a-z 0-9"),
    "markup for a device": (text(iot_device_id="<img src=x onerror=alert(1)>"), "A-Z a-z 0-9"),
    "no meter": (json.dumps({name: INTERVAL[name] for name in INTERVAL if name != "meter_id"}), "missing"),
    "a status of its own": (text(status="fine"), "must be one of"),
    "17 tags": (text(tags=["t"] * 17), "16"),
    "another version": (text(schema_version="emlog-2"), "emlog-1.1"),
    "evidence": (text(evidence={"kind": "device"}), "given by the gate"),
    "paid already": (text(tx={"settlement_status": "paid"}), "must be pending"),
    "a number": ("5", "must be a JSON object"),
    "nothing": ("", ""),
    "half of it": (text()[:-1], ""),
    "two": (text() + text(), ""),
    "not UTF-8": (text().encode().replace(b"line-1", b"\xff\xfe"), "UTF-8"),
    "100,000 brackets": ("[" * 100_000, "nested"),
    "100,000 braces": ('{"a":' * 100_000, "nested"),
    "more than 16,384 bytes": (text(tags=["x"]).replace("x", "x" * 17_000), "longer than"),
    "an empty array": ("[]", "0 items"),
    "10,001 intervals": ("[" + ",".join(["1"] * 10_001) + "]", "10001 items"),
    "a million numbers": ("[" + ",".join(["1"] * 1_000_000) + "]", "too many items"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_json_is_refused_and_named(server: Server, name: str) -> None:
    before = good(server.as_nobody.get("/health"))["entries"]
    body, reason = ODD[name]
    problem = bad(post(server, body), 400)
    assert reason in problem["reason"]
    assert problem["field"]
    assert good(server.as_nobody.get("/health"))["entries"] == before


def test_a_token_is_needed(server: Server) -> None:
    problem = bad(post(server, text(), client=server.as_nobody), 401)
    assert "report" in problem["detail"]
    for scope, subject in (("auditor", ()), ("enrol", ()), ("tenant", ("hall",))):
        token = server.make_token(scope, subject=subject)
        with server.client(token) as client:
            bad(post(server, text(), client=client), 403)


def test_a_reporter_reports_for_its_meters_alone(server: Server) -> None:
    with server.client(server.make_token("report", subject=("yard/gateway",))) as client:
        assert good(post(server, text(site_id="yard"), client=client))["outcome"] == "admitted"
        bad(post(server, text(site_id="yard-2"), client=client), 403)
        before = good(server.as_nobody.get("/health"))["entries"]
        bad(post(server, f"[{text(site_id='yard', meter_id='m2')},{text()}]", client=client), 403)
        assert good(server.as_nobody.get("/health"))["entries"] == before


def test_split_json_keeps_bytes() -> None:
    assert split_json(b' [{"a": 1 } , "x"]', 5) == ([b'{"a": 1 }', b'"x"'], True)
    assert split_json(b' {"a": [1]}\n', 5) == ([b'{"a": [1]}'], False)
    with pytest.raises(Refusal, match="send 1 to 1"):
        split_json(b"[1,2]", 1)
