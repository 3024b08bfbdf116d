"""Live values from a real server: soon, bounded, scoped, and ended with the server."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.live import Device, Server, bad, good
from wattseal.core.units import rfc3339
from wattseal.ingest.live import MAX_LISTENERS


class Events:
    """The events of a stream that is being read."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.iter_lines()

    def next(self) -> tuple[str, dict[str, Any]]:
        name = ""
        for line in self._lines:
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))
        raise EOFError

    def begins(self) -> None:
        assert next(self._lines) == "retry: 2000"


@contextmanager
def listening(client: httpx.Client, query: str = "") -> Iterator[Events]:
    with client.stream("GET", f"/api/v1/live?{query}") as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        events = Events(response)
        events.begins()
        yield events


@pytest.fixture
def device(server: Server) -> Device:
    made = Device("live", f"d{time.time_ns()}")
    server.enrol(made)
    return made


def test_a_reading_shows_within_a_second(server: Server, device: Device) -> None:
    with listening(server.as_operator, f"device={device.device_id}") as events:
        server.send(device.next(power_mw=3_200_000))
        sent = time.monotonic()
        name, value = events.next()
        assert time.monotonic() - sent < 1
        assert name == "reading"
        assert value == {
            "meter": device.path,
            "site_id": "live",
            "iot_device_id": device.device_id,
            "meter_id": "main",
            "time": rfc3339(device.last.time_s),
            "power_kw": 3.2,
            "power_mw": 3_200_000,
            "import_kwh": 5,
            "import_mwh": 5_000_000,
            "export_kwh": 0,
            "export_mwh": 0,
        }
        server.send(device.next(power_mw=-1))
        assert events.next()[1]["power_mw"] == -1


def test_a_new_listener_gets_the_last_value_at_once(server: Server, device: Device) -> None:
    server.send(*(device.next(power_mw=power) for power in (1, 2, 3)))
    with listening(server.as_operator, f"device={device.device_id}") as events:
        assert events.next()[1]["power_mw"] == 3


def test_an_interval_shows(server: Server) -> None:
    name = f"r{time.time_ns()}"
    start = int(time.time()) // 300 * 300 - 600
    said = {"site_id": "live", "iot_device_id": name, "meter_id": "m", "interval_s": 300, "energy_kwh": 12.34}
    with listening(server.as_operator, f"site=live&device={name}&meter=m") as events:
        given = said | {"ts_start": rfc3339(start), "ts_end": rfc3339(start + 300)}
        good(server.as_operator.post("/api/v1/logs", json=given))
        kind, value = events.next()
    assert kind == "interval"
    assert value["power_kw_avg"] == 148.08
    assert (value["energy_mwh"], value["ts_end"]) == (12_340_000, rfc3339(start + 300))
    with listening(server.as_operator, f"device={name}") as events:
        assert events.next() == (kind, value)


def test_a_tenant_hears_its_meters_alone(server: Server, device: Device) -> None:
    other = Device("live", f"o{time.time_ns()}")
    public = Device("live", f"p{time.time_ns()}")
    server.enrol(other)
    bad(server.as_nobody.get("/api/v1/live"), 401)
    server.enrol(public)
    good(server.as_operator.post("/api/v1/meters", json=public.meter_document() | {"disclosed": True}), 201)
    tenant = server.client(server.make_token("tenant", subject=(f"live/{device.device_id}",)))
    with listening(tenant) as events, listening(server.as_nobody, f"device={device.device_id}") as of_nobody:
        server.send(other.next())
        server.send(device.next())
        assert events.next()[1]["meter"] == device.path
        good(server.as_operator.post("/api/v1/meters", json=device.meter_document() | {"disclosed": True}), 201)
        server.send(device.next())
        assert of_nobody.next()[1]["time"] == rfc3339(device.last.time_s)
    tenant.close()


def test_a_client_that_does_not_read_disturbs_nobody(server: Server, device: Device) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        head = f"GET /api/v1/live?device={device.device_id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}"
        slow.sendall(f"{head}\r\n\r\n".encode())
        with listening(server.as_operator, f"device={device.device_id}") as events:
            for number in range(30):
                server.send(device.next(power_mw=number, import_mwh=5_000_000))
                assert events.next()[1]["power_mw"] == number


def test_so_many_may_listen(server: Server) -> None:
    clients = []
    try:
        for _ in range(MAX_LISTENERS):
            client = server.client(server.token)
            response = client.send(client.build_request("GET", "/api/v1/live"), stream=True)
            assert response.status_code == 200
            clients.append((client, response))
        bad(server.as_operator.get("/api/v1/live"), 503)
    finally:
        for client, response in clients:
            response.close()
            client.close()
    end = time.monotonic() + 10
    while True:  # who has left makes room
        with server.as_operator.stream("GET", "/api/v1/live") as response:
            if response.status_code == 200:
                break
        assert time.monotonic() < end
        time.sleep(0.05)


def test_streams_end_with_the_server(tmp_path: Path) -> None:
    with Server(tmp_path, workers=0) as server, server.client(server.token) as client:
        with listening(client) as events:
            begun = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - begun < 5
            with pytest.raises(EOFError):
                events.next()
        server.start()


@pytest.mark.parametrize("query", ["site=a/b", "color=red"])
def test_bad_input(server: Server, query: str) -> None:
    bad(server.as_nobody.get(f"/api/v1/live?{query}"), 400)
