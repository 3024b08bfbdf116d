"""Links to brokers that misbehave: each ends soon, with a reason in plain words, and costs no more than itself."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TypeAlias

import pytest
import structlog

from tests.ingest.mqtt_room import PATIENCE_S, until
from tests.ingest.room import GATEWAY, Room
from wattseal.ingest import mqtt
from wattseal.ingest.ingest import Ingest
from wattseal.ingest.mqtt import Receiver
from wattseal.ingest.mqtt_broker import Broker
from wattseal.ingest.mqtt_link import MAX_PACKET_BYTES, MAX_UNSENT_BYTES, Link, LinkError

Behaviour: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CONNACK = b"\x20\x03\x00\x00\x00"
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
TOPIC = b"energy/a/b/c"


def published(payload: bytes, mid: int = 7) -> bytes:
    """A PUBLISH of QoS 1, with a length that fits one byte."""
    body = len(TOPIC).to_bytes(2) + TOPIC + mid.to_bytes(2) + b"\x00" + payload
    return b"\x32" + bytes([len(body)]) + body


@asynccontextmanager
async def liar(then: Behaviour, connack: bytes = CONNACK) -> AsyncIterator[tuple[int, list[int]]]:
    """A broker that accepts and subscribes everybody, and then behaves so. Yields its port, and when who came."""
    came: list[int] = []
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(time.monotonic_ns() // 1_000_000)
        try:
            await reader.read(4_096)
            writer.write(connack)
            subscribe = await reader.read(4_096)
            writer.write(b"\x90\x04" + subscribe[2:4] + b"\x00\x01")
            await then(reader, writer)
        except OSError:
            pass  # the link was broken, as it should
        finally:
            writer.transport.abort()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)  # little fits in before it shows
        async with await asyncio.start_server(accepted, sock=listening) as server:
            yield server.sockets[0].getsockname()[1], came
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)


async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def after(*packets: bytes) -> Behaviour:
    """Send that, and then be silent."""

    async def then(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(packets))
        await silent(reader, writer)

    return then


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4_096):
        writer.write(PINGRESP * data.count(PINGREQ))


def broker(port: int, keepalive_s: int = 30) -> Broker:
    return Broker("127.0.0.1", port, "energy/+/+/+", keepalive_s=keepalive_s)


async def ended(link: Link) -> str:
    await asyncio.wait({link.lost}, timeout=PATIENCE_S)
    why = link.lost.result()
    start = time.monotonic()
    await link.close()
    assert time.monotonic() - start < 1
    return why


def test_a_broker_that_stops_reading() -> None:
    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Nobody takes what comes, so that the stream soon reads no more.
        while True:
            writer.write(published(b"{}") * 2_000)
            await writer.drain()

    async def work() -> None:
        received: list[int] = []

        def receive(_topic: bytes, mid: int, _payload: bytes) -> None:
            received.append(mid)
            link.acknowledge([mid])

        async with liar(flood) as (port, _):
            link = Link(broker(port, keepalive_s=1), receive)
            await link.open()
            # What the kernel would take for the broker is no part of this.
            link._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
            most, start = 0, time.monotonic()
            while not link.lost.done() and time.monotonic() - start < PATIENCE_S:
                most = max(most, link._transport.get_write_buffer_size())
                await asyncio.sleep(0.02)
            assert "no sign of life" in await ended(link)
            # What one piece of 64 KiB held more is acknowledged too.
            assert MAX_UNSENT_BYTES < most < 2 * MAX_UNSENT_BYTES

    asyncio.run(work())


def test_a_broker_that_answers_no_ping() -> None:
    async def work() -> None:
        async with liar(silent) as (port, _):
            link = Link(broker(port, keepalive_s=1), lambda *_: None)
            await link.open()
            start = time.monotonic()
            assert "no sign of life for 1 s" in await ended(link)
            assert time.monotonic() - start < 2.5

    asyncio.run(work())


@pytest.mark.parametrize("is_held", [False, True])
def test_a_quiet_broker_is_kept(*, is_held: bool) -> None:
    """Also while we do not listen: how long the queue is full says nothing about the broker."""

    async def work() -> None:
        async with liar(answering) as (port, _):
            link = Link(broker(port, keepalive_s=1), lambda *_: None)
            await link.open()
            if is_held:
                link.pause()
            for _ in range(2):
                await asyncio.sleep(1.8)
            assert not link.lost.done()
            await link.close()

    asyncio.run(work())


def test_what_comes_while_it_is_held_waits() -> None:
    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(20):
            writer.write(published(b"{}") * 2_000)
            await writer.drain()

    async def work() -> None:
        received: list[int] = []

        def receive(_topic: bytes, mid: int, _payload: bytes) -> None:
            received.append(mid)
            link.pause()

        async with liar(flood) as (port, _):
            link = Link(broker(port), receive)
            await link.open()
            await until(lambda: received)
            before = len(received)
            await asyncio.sleep(0.5)
            assert len(received) == before < 4_000
            await link.close()

    asyncio.run(work())


def test_a_packet_that_is_too_long_ends_the_link_before_it_came() -> None:
    sent = 0

    async def declare(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"\x32\x80\x84\xaf\x5f")  # 200,000,000 bytes
        for _ in range(3_000):
            writer.write(bytes(65_536))
            await writer.drain()
            sent += 65_536

    async def work() -> None:
        async with liar(declare) as (port, _):
            link = Link(broker(port), lambda *_: None)
            await link.open()
            assert f"more than {MAX_PACKET_BYTES} bytes" in await ended(link)
            assert sent < 10_000_000

    asyncio.run(work())


def test_the_longest_packet_comes_in() -> None:
    # Its fixed header has 4 bytes, and counts.
    rest = len(TOPIC).to_bytes(2) + TOPIC + b"\x00\x07\x00"
    payload = bytes(MAX_PACKET_BYTES - 4 - len(rest))
    longest = b"\x32\xfc\xff\x03" + rest + payload
    assert len(longest) == MAX_PACKET_BYTES

    async def work() -> None:
        received: list[bytes] = []
        async with liar(after(longest, longest)) as (port, _):
            link = Link(broker(port), lambda _topic, _mid, got: received.append(got))
            await link.open()
            await until(lambda: len(received) == 2)
            assert set(received) == {payload}
            await link.close()

    asyncio.run(work())


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x32" + b"\xff" * 100,
        b"\x32\x00",
        b"\x32\x02\xff\xff",
        b"\x32\x06\x00\x01a\x00\x01\xff",
        b"\x00\x00",
        b"\xf0\x00",
        b"\x10\x00",
    ],
)
def test_garbage_ends_the_link_at_once(garbage: bytes) -> None:
    async def work() -> None:
        received: list[bytes] = []
        async with liar(after(garbage, published(b"{}"))) as (port, _):
            link = Link(broker(port), lambda _topic, _mid, payload: received.append(payload))
            await link.open()
            start = time.monotonic()
            why = await ended(link)
            assert "no MQTT" in why or "more than" in why
            assert time.monotonic() - start < 1
            assert not received

    asyncio.run(work())


@pytest.mark.parametrize("connack", [b"\x20\x00", b"\x20\x05\x00\x00\x02\xff\xff", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_connack_that_is_none(connack: bytes) -> None:
    async def work() -> None:
        async with liar(silent, connack) as (port, _):
            link = Link(broker(port), lambda *_: None)
            start = time.monotonic()
            with pytest.raises(LinkError, match="no MQTT"):
                await link.open()
            await link.close()
            assert time.monotonic() - start < 2

    asyncio.run(work())


def test_a_broker_that_always_breaks_is_asked_less_and_less(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "_FIRST_WAIT_MS", 64)

    async def work() -> None:
        ingest = Ingest.start(
            room.store, room.sequencer, workers=0, gateway=GATEWAY, clock_ns=room.clock.ns, settings=room.settings
        )
        async with liar(after(b"\x00\x00")) as (port, came):
            receiver = Receiver(ingest)
            receiver.start(broker(port))
            await until(lambda: len(came) == 6)
            status = receiver.status
            await until(lambda: status.connected_s is None and status.fault is not None)
            assert "no MQTT" in (status.fault or "")
            await receiver.stop()
        await ingest.close()
        waits = [then - now for now, then in pairwise(came)]
        assert all(wait >= 32 << place for place, wait in enumerate(waits)), waits

    with structlog.testing.capture_logs() as logs:
        asyncio.run(work())
    lines = [entry["detail"] for entry in logs if entry["event"] == "mqtt"]
    assert len(lines) == len(set(lines)), lines


def test_a_good_link_makes_the_next_wait_short(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "_FIRST_WAIT_MS", 64)
    monkeypatch.setattr(mqtt, "STABLE_S", 0.2)
    left = 4

    async def recovers(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            await asyncio.sleep(0.5)
        writer.write(b"\x00\x00")
        await writer.drain()
        await asyncio.sleep(0.1)

    async def work() -> list[int]:
        ingest = Ingest.start(
            room.store, room.sequencer, workers=0, gateway=GATEWAY, clock_ns=room.clock.ns, settings=room.settings
        )
        async with liar(recovers) as (port, came):
            receiver = Receiver(ingest)
            receiver.start(broker(port))
            await until(lambda: len(came) == 7)
            await receiver.stop()
        await ingest.close()
        return came

    with structlog.testing.capture_logs() as logs:
        came = asyncio.run(work())
    waits = [then - now for now, then in pairwise(came)]
    assert waits[2] >= 32 << 2
    assert max(waits[3:]) < 500 + 64 + 300, waits
    lines = [entry["detail"].split(" ")[0] for entry in logs if entry["event"] == "mqtt"]
    assert lines[:1] == ["connected"]
    assert lines.count("connected") >= 2, lines
