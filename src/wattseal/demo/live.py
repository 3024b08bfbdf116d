"""The demonstration's meters go on while the server runs: a reading of each every few seconds, by the real clock.

They publish over MQTT as devices do, to the broker in this process, and forget a reading when the broker has it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import structlog
from gmqtt import Client  # type: ignore[import-untyped]
from gmqtt.mqtt.constants import MQTTv311  # type: ignore[import-untyped]

from wattseal.demo.meter import DemoMeter
from wattseal.ingest.mqtt import Receiver
from wattseal.log.port import SET_ASIDE, Read
from wattseal.serve import Site

EVERY_S: Final = 5
_LOOK_S: Final = 0.05
_NO_RECONNECT: Final = -2
"""The broker ends with this process; nobody is to be knocked at then. (gmqtt: −1 would mean for ever.)"""
_log = structlog.get_logger()


def resume(read: Read, site: Site, fleet: Sequence[DemoMeter]) -> None:
    """Let each meter go on after its last reading in the log."""
    registry = site.ingest.registry
    for meter in fleet:
        place = meter.place
        meter_no = registry.meter_nos[f"{place.site_id}/{place.iot_device_id}/{place.meter_id}"]
        rows = [
            row for row in read.chain_tail(registry.chain_nos[meter.element.kid, meter_no]) if row.state != SET_ASIDE
        ]
        if rows:
            last = max(rows, key=lambda row: (row.epoch, row.seq))
            meter.resume(last.epoch, last.digest)


async def run(site: Site, fleet: Sequence[DemoMeter]) -> None:
    """Read and publish until the task is cancelled or the log halts."""
    receiver = site.services.mqtt
    if receiver is None or receiver.broker is None:
        raise RuntimeError("the demonstration needs the setting mqtt_embedded")
    with site.store.read() as read:
        resume(read, site, fleet)
    await receiver.connected.wait()  # without a subscriber the broker would forget what comes
    client = Client("demonstration", clean_session=True)
    client.set_config({"reconnect_retries": _NO_RECONNECT})
    await client.connect(receiver.broker.host, receiver.broker.port, version=MQTTv311)
    try:
        await _publish_for_ever(site, receiver, client, fleet)
    finally:
        await client.disconnect()


async def _publish_for_ever(site: Site, receiver: Receiver, client: Client, fleet: Sequence[DemoMeter]) -> None:
    has_begun, published = False, 0
    while (halted := site.ingest.halted) is None:
        now_s = int(time.time())
        for meter in fleet:
            place = meter.place
            topic = f"energy/{place.site_id}/{place.iot_device_id}/{place.meter_id}"
            client.publish(topic, meter.read(now_s), qos=1)
        published += len(fleet)
        while not has_begun and site.ingest.halted is None:
            if receiver.status.received.total() >= published:
                # What was made before the start, and this: under a checkpoint now, not at the batch's end.
                has_begun = True
                await site.ingest.flush()
            await asyncio.sleep(_LOOK_S)
        await asyncio.sleep(EVERY_S - time.time() % EVERY_S)
    _log.error("demonstration", error=halted)
