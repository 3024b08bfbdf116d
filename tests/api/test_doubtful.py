"""Doubtful data over HTTP: late readings, declared discontinuities, and the commands for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.api.live import Device, Server, bad, good
from wattseal.cli.main import main

Command = Callable[..., str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("doubt"), workers=0, gap_hold_s=0) as running:
        yield running


@pytest.fixture
def wattseal(server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("WATTSEAL_TOKEN", server.token)

    def run(*arguments: object, code: int = 0) -> str:
        capsys.readouterr()
        found = main([*map(str, arguments), "--server", server.url])
        out, err = capsys.readouterr()
        assert found == code, err
        return out + err

    return run


def test_a_superseded_record_says_so(server: Server) -> None:
    device = Device("doubt", "late")
    server.enrol(device)
    items = [device.next() for _ in range(4)]
    server.send(items[0], items[3])
    (gap,) = good(server.as_operator.get("/api/v1/logs?device=late"))["items"]
    assert (gap["body"]["status"], gap["superseded_by"]) == ("gap", None)
    assert [result["outcome"] for result in server.send(items[1], items[2])] == ["late", "late"]
    shown = good(server.as_operator.get("/api/v1/logs?device=late&order=oldest"))["items"]
    assert [item["body"]["status"] for item in shown] == ["gap", "ok", "ok", "ok"]
    assert [item["superseded_by"] is None for item in shown] == [False, True, True, True]
    by = good(server.as_operator.get(f"/api/v1/logs/{shown[0]['superseded_by']['log_id']}"))
    assert (by["body"]["schema_version"], len(by["body"]["by"])) == ("supersession-1", 3)


def test_a_discontinuity_over_http(server: Server) -> None:
    device = Device("doubt", "swapped")
    server.enrol(device)
    server.send(device.next(), device.next())
    last = device.last
    route = f"/api/v1/meters/{device.path}/discontinuities"
    post = server.as_operator.post
    wrong = {"kind": "meter-swap", "import_before_kwh": 1, "reason": "a test"}
    assert bad(post(route, json=wrong), 400)["field"] == "import_before_kwh"
    assert bad(post(route, json={**wrong, "more": 1}), 400)["field"] == "more"
    bad(server.as_nobody.post(route, json=wrong), 401)
    assert bad(post("/api/v1/meters/a/b/c/discontinuities", json=wrong), 400)["field"] == "meter_id"
    right = {"kind": "meter-swap", "import_before_kwh": 5.15, "import_after_kwh": 0.5, "reason": "a test"}
    made = good(post(route, json=right), 201)
    assert made["body"]["after"] == Device.digest(last).hex()
    assert good(server.as_operator.get(route))["items"] == [made]
    bad(server.as_nobody.get(route), 404)
    assert server.send(device.next(import_mwh=600_000))[0]["outcome"] == "admitted"
    record = good(server.as_operator.get("/api/v1/logs?device=swapped"))["items"][0]["body"]
    assert (record["evidence"]["kind"], record["energy_kwh"], record["status"]) == ("operator", 0.15, "ok")


def test_the_commands(server: Server, wattseal: Command) -> None:
    device = Device("doubt", "commands")
    server.enrol(device)
    server.send(device.next(), device.next())
    fell = server.send(device.next(import_mwh=600_000))[0]
    bad_one = server.send(device.odd(serial=b"other", seq=99))[0]
    listed = wattseal("quarantine", "list")
    assert fell["log_id"] in listed
    assert "the import register fell from 5.1 to 0.6 kWh" in listed
    shown = wattseal("quarantine", "show", fell["log_id"])
    assert "a swap, a rollover, a reset, or tampering" in shown
    assert "wattseal device swap" in shown
    item = json.loads(wattseal("quarantine", "show", fell["log_id"], "--json"))
    assert (item["digest"], item["state"]) == (Device.digest(device.last).hex(), "open")
    refused = wattseal("device", "swap", device.path, "--before", "4", "--after", "0.5", "--reason", "x", code=1)
    assert "energy would be negative" in refused
    said = wattseal("device", "swap", device.path, "--before", "5.15", "--after", "0.5", "--reason", "protocol 7")
    assert "A meter swap of doubt/commands/main is entry" in said
    shown = wattseal("quarantine", "show", fell["log_id"])
    assert "settled   meter-swap by" in shown
    assert fell["log_id"] not in wattseal("quarantine", "list")
    assert "it cannot be released: a reading with another serial" in wattseal("quarantine", "show", bad_one["log_id"])
    refused = wattseal("quarantine", "release", bad_one["log_id"], "--reason", "x", code=1)
    assert "can never be verified; reject it" in refused
    rejected = wattseal("quarantine", "reject", bad_one["log_id"], "--reason", "another device")
    assert "rejected: wrong-serial" in rejected
    assert "stands" in wattseal("quarantine", "release", bad_one["log_id"], "--reason", "x", code=1)
    assert "rejected" in wattseal("quarantine", "list", "--state", "all")
    server.send(device.next(import_mwh=0))
    wattseal("device", "reset", device.path, "--reason", "a thunderstorm")
    assert server.send(device.next(import_mwh=100))[0]["outcome"] == "admitted"
    assert "is no number of kWh" in wattseal(
        "device", "rollover", device.path, "--before", "x", "--reason", "x", code=1
    )
