"""The receiver against a real Mosquitto."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.ingest.mosquitto import start_mosquitto
from tests.ingest.mqtt_room import outcomes, publisher, receiving, until
from tests.ingest.room import NOW, Room, interval, meter

pytestmark = pytest.mark.realserver


def test_readings_and_intervals_come_in(room: Room, tmp_path: Path) -> None:
    source = meter()
    room.enrol(source)
    room.clock.now_s = NOW + 900
    items = [source.read(NOW + 60 * place) for place in range(10)]

    async def work(port: int) -> None:
        async with (
            receiving(room, port, topic="$share/wattseal/energy/+/+/+") as (receiver, _),
            publisher(port) as device,
        ):
            for item in items:
                device.publish("energy/site/device-m1/m1", item)
            device.publish("energy/PLANT-01/gw/MTR-001", interval())
            await device.sent()
            await until(lambda: outcomes(receiver) == {"admitted": 11}, lambda: outcomes(receiver))
            await until(lambda: receiver.waiting == 0)

    with start_mosquitto(tmp_path / "broker") as port:
        asyncio.run(work(port))
    assert len(room.records()) == 10
