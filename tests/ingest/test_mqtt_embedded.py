"""The receiver and the broker inside the process: what `wattseal demo` runs on."""

from __future__ import annotations

import asyncio
import logging
import socket
import time

import pytest

from tests.ingest.mqtt_room import outcomes, publisher, receiving, until
from tests.ingest.room import NOW, Room, interval, meter
from wattseal.core.reading import parse_envelope
from wattseal.ingest.mqtt_embedded import embedded_broker


def test_readings_and_intervals_come_in(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    source = meter()
    room.enrol(source)
    room.clock.now_s = NOW + 3_600
    items = [source.read(NOW + 60 * place) for place in range(30)]

    async def work() -> None:
        start = time.monotonic()
        async with embedded_broker(0) as port:
            assert time.monotonic() - start < 5
            async with receiving(room, port, mqtt5=False) as (receiver, _), publisher(port, old=True) as device:
                # Once, on a busy machine, nothing that was published at once came through in 20 s; why is not known.
                for _ in range(20):
                    device.publish("energy/PLANT-01/gw/MTR-001", b"{")
                    await asyncio.sleep(0.2)
                    if outcomes(receiver):
                        break
                for item in items:
                    device.publish("energy/site/device-m1/m1", item)
                device.publish("energy/PLANT-01/gw/MTR-001", interval())
                await until(lambda: outcomes(receiver).get("admitted") == 31, lambda: outcomes(receiver))
                assert outcomes(receiver).keys() == {"admitted", "malformed"}
                await until(lambda: receiver.waiting == 0)
                assert receiver.status.connections == 1

    with caplog.at_level(logging.INFO):
        asyncio.run(work())
    assert not caplog.records
    with room.store.read() as read:
        stored = [row.digest for row in read.readings_after(1, 0, -1)]
    assert stored == [parse_envelope(item).digest for item in items]


def test_it_takes_a_free_port_if_its_own_is_taken() -> None:
    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            async with embedded_broker(taken.getsockname()[1]) as port:
                assert port != taken.getsockname()[1]
                # A whole session: of a connection without one, amqtt closes its side only some time later.
                async with publisher(port, old=True):
                    pass

    asyncio.run(work())
