"""The interval that the white paper publishes, through a real broker (docs/tutorial/mqtt.md)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.ingest.mosquitto import start_mosquitto
from tests.ingest.mqtt_room import outcomes, publisher, receiving, until
from tests.ingest.room import Room

pytestmark = pytest.mark.realserver


def test_the_white_papers_interval(room: Room, tmp_path: Path) -> None:
    """2.47 kW for 12.34 kWh in 300 s is wrong: the record has what follows from the energy, and keeps the claim."""
    raw = (
        b'{"ts_start":"2025-12-01T10:10:00Z","ts_end":"2025-12-01T10:15:00Z","interval_s":300,"energy_kwh":12.34,'
        b'"power_kw_avg":2.47,"price_sats_per_kwh":100,"status":"ok","tags":["peak"]}'
    )
    room.clock.now_s = 1_764_584_200

    async def work(port: int) -> None:
        async with (
            receiving(room, port, topic="$share/wattseal/energy/+/+/+") as (receiver, _),
            publisher(port) as device,
        ):
            device.publish("energy/PLANT-01/gw-PLANT01-003/MTR-001", raw)
            await until(lambda: outcomes(receiver) == {"admitted": 1}, lambda: outcomes(receiver))

    with start_mosquitto(tmp_path / "broker") as port:
        asyncio.run(work(port))
    (record,) = room.records()
    assert (record.site_id, record.iot_device_id, record.meter_id) == ("PLANT-01", "gw-PLANT01-003", "MTR-001")
    body = room.rows()[0].body
    assert b'"power_kw_avg":148.08' in body
    assert b'"kind":"reported"' in body
    assert b'"claims":{"power_kw_avg":2.47}' in body
    assert b'"amount_sats":1234' in body
    assert b'"tags":["peak"]' in body
