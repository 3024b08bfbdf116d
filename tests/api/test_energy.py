"""Energy by time and place, as a client gets it from a real server."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx
import pytest

from tests.api.live import INTERVAL_S, Device, Server, bad, good
from wattseal.api.energy import EnergyAnswer
from wattseal.core.units import rfc3339


@pytest.fixture(scope="module")
def devices(server: Server) -> list[Device]:
    """Two devices with nine records of 0.1 kWh each, quoted; the second in Kolkata."""
    devices = [Device("north", "n1"), Device("south", "s1")]
    for device, zone in zip(devices, ("Europe/Zurich", "Asia/Kolkata"), strict=True):
        server.enrol(device, zone=zone)
    tariff = {"tariff_id": "t", "version": 1, "site_id": "north", "price_sats_per_kwh": 100}
    good(server.as_operator.post("/api/v1/tariffs", json=tariff | {"valid_from": "2020-01-01T00:00:00Z"}), 201)
    for device in devices:
        server.send(*(device.next() for _ in range(10)))
    return devices


def asked(server: Server, query: str, client: httpx.Client | None = None) -> dict[str, Any]:
    answer = good((client or server.as_operator).get(f"/api/v1/energy?{query}"))
    EnergyAnswer.model_validate(answer)
    return answer


def of(device: Device) -> str:
    return f"from={device.start_s}&to={device.start_s + 9 * INTERVAL_S}"


def test_totals_and_groups(server: Server, devices: list[Device]) -> None:
    device = devices[0]
    for _ in range(2):
        answer = asked(server, f"by=device&{of(device)}")
        assert [(item["site_id"], item["iot_device_id"]) for item in answer["items"]] == [
            ("north", "n1"),
            ("south", "s1"),
        ]
        assert answer["items"][0] == {
            "site_id": "north",
            "iot_device_id": "n1",
            "records": 9,
            "covered_s": 2_700,
            "estimated_s": 0,
            "energy_kwh": 0.9,
            "energy_mwh": 900_000,
            "export_kwh": 0,
            "export_mwh": 0,
            "priced_mwh": 900_000,
            "amount_sats": 90,
            "amount_msat": 90_000,
            "kinds": {"device": 2_700},
        }
        assert (answer["total"]["records"], answer["total"]["energy_mwh"]) == (18, 1_800_000)
        assert (answer["from"], answer["by"]) == (rfc3339(device.start_s), ["device"])
        server.flush()  # the same from rollups


@pytest.mark.parametrize(
    "by", ["hour", "day", "month", "year", "site", "meter", "kind", "day,device", "hour,meter,kind"]
)
def test_every_grouping_adds_up(server: Server, devices: list[Device], by: str) -> None:
    answer = asked(server, f"by={by}&{of(devices[0])}")
    assert answer["items"]
    for name in ("records", "covered_s", "energy_mwh", "amount_msat"):
        assert sum(item[name] for item in answer["items"]) == answer["total"][name]
    assert answer["total"]["energy_mwh"] == 1_800_000


def test_a_part_of_the_time(server: Server, devices: list[Device]) -> None:
    start = devices[0].start_s
    answer = asked(server, f"by=site&site=north&from={start + 300}&to={start + 750}")
    (item,) = answer["items"]
    assert (item["records"], item["covered_s"], item["energy_mwh"], item["estimated_s"]) == (2, 450, 150_000, 150)
    assert asked(server, f"by=day&device=n1&meter=main&{of(devices[0])}")["total"]["records"] == 9
    assert asked(server, "by=day&site=nowhere")["items"] == []
    assert asked(server, "")["total"]["records"] == 18
    for by in ("year", "month"):  # where the calendar ends
        assert asked(server, f"by={by}&from=253402000000&to=253402300799&device=n1&meter=main")["items"] == []


def test_a_tenant_sees_its_meters_alone(server: Server, devices: list[Device]) -> None:
    tenant = server.client(server.make_token("tenant", subject=("south",)))
    assert {item["site_id"] for item in asked(server, "by=site", tenant)["items"]} == {"south"}
    assert asked(server, "by=site&site=north", tenant)["total"]["records"] == 0
    assert asked(server, "by=site", server.as_nobody)["items"] == []
    tenant.close()
    assert len(devices) == 2


@pytest.fixture(params=["format=csv", "accept"])
def table(request: pytest.FixtureRequest, server: Server, devices: list[Device]) -> list[dict[str, str]]:
    query, headers = f"by=meter&{of(devices[0])}", {"Accept": "text/csv"} if request.param == "accept" else {}
    more = "" if request.param == "accept" else "&format=csv"
    response = server.as_operator.get(f"/api/v1/energy?{query}{more}", headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(response.text)))


def test_csv(table: list[dict[str, str]]) -> None:
    assert [(row["site_id"], row["iot_device_id"], row["meter_id"]) for row in table] == [
        ("north", "n1", "main"),
        ("south", "s1", "main"),
    ]
    assert table[0]["energy_kwh"] == "0.9"
    assert table[0]["amount_sats"] == "90"
    assert table[0]["covered_s_device"] == "2700"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=week", "by"),
        ("by=day,day", "by"),
        ("by=day,month", "by"),
        ("by=", "by"),
        ("from=5&to=4", "from"),
        ("from=0&to=9999999999", "from"),
        ("by=hour&from=0&to=3100000000", "from"),
        ("site=a/b", "site"),
        ("sort=up", "sort"),
        ("format=xml", "format"),
        ("from=yesterday", "from"),
    ],
)
def test_bad_input(server: Server, devices: list[Device], query: str, field: str) -> None:
    assert devices
    assert bad(server.as_operator.get(f"/api/v1/energy?{query}"), 400)["field"] == field
