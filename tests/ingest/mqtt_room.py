"""A receiver on a room's ingest, and publishers that know when the broker has a message."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

import pytest
from gmqtt import Client  # type: ignore[import-untyped]
from gmqtt.mqtt.constants import MQTTv50, MQTTv311  # type: ignore[import-untyped]

from tests.ingest.room import GATEWAY, Room
from wattseal.ingest.ingest import Ingest
from wattseal.ingest.mqtt import Receiver
from wattseal.ingest.mqtt_broker import Broker
from wattseal.ingest.settings import Settings

PATIENCE_S = 20


@asynccontextmanager
async def receiving(
    room: Room,
    port: int,
    *,
    settings: Settings | None = None,
    workers: int = 0,
    **broker: Any,  # noqa: ANN401 - a Broker's
) -> AsyncIterator[tuple[Receiver, Ingest]]:
    """A started ingest with a connected receiver."""
    given = settings or room.settings
    ingest = Ingest.start(
        room.store, room.sequencer, workers=workers, gateway=GATEWAY, clock_ns=room.clock.ns, settings=given
    )
    receiver = Receiver(ingest)
    receiver.start(Broker(**{"host": "127.0.0.1", "port": port, "topic": "energy/+/+/+", **broker}))
    try:
        await asyncio.wait_for(receiver.connected.wait(), PATIENCE_S)
        yield receiver, ingest
    finally:
        await receiver.stop()
        await ingest.close()


async def until(condition: Callable[[], object], what: Callable[[], object] = lambda: "it did not happen") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {PATIENCE_S} s: {what()}")
        await asyncio.sleep(0.01)


def outcomes(receiver: Receiver) -> dict[str, int]:
    """Messages by outcome, or by reason where refused."""
    return {reason if outcome == "refused" else outcome: n for (outcome, reason), n in receiver.status.received.items()}


class Publisher:
    """A device's client; `sent` waits until the broker has acknowledged all."""

    def __init__(self, client_id: str = "device", *, user: str | None = None, password: str | None = None) -> None:
        self.client = Client(client_id, clean_session=True)
        self.client.set_config({"reconnect_retries": -2})
        if user is not None:
            self.client.set_auth_credentials(user, password)

    async def open(self, port: int, *, tls: SSLContext | None = None, old: bool = False) -> None:
        version = MQTTv311 if old else MQTTv50
        await self.client.connect("127.0.0.1", port, ssl=tls or False, version=version)

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=qos, retain=retain)

    async def sent(self) -> None:
        await asyncio.wait_for(self.client._persistent_storage.wait_empty(), PATIENCE_S)

    async def close(self) -> None:
        with contextlib.suppress(OSError):  # a broker that still writes when TLS was closed
            await self.client.disconnect()


@asynccontextmanager
async def publisher(
    port: int,
    client_id: str = "device",
    *,
    old: bool = False,
    **given: Any,  # noqa: ANN401 - of Publisher and open
) -> AsyncIterator[Publisher]:
    tls = given.pop("tls", None)
    client = Publisher(client_id, **given)
    await client.open(port, tls=tls, old=old)
    try:
        yield client
    finally:
        await client.close()
