"""The receiver against a real Mosquitto: what it acknowledges is durable, and what is not durable comes again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest.mosquitto import free_port, start_mosquitto
from tests.ingest.mqtt_room import outcomes, publisher, receiving, until
from tests.ingest.room import NOW, Room, interval, meter, signed
from tests.log.faulty import FaultyStore, Plan
from wattseal.core.reading import parse_envelope
from wattseal.ingest.settings import Settings
from wattseal.log.sequencer import Halted
from wattseal.simulate.fleet import SimulatedMeter

pytestmark = pytest.mark.realserver

SHARED = "$share/wattseal/energy/+/+/+"
TOPIC = "energy/site/device-m1/m1"


@pytest.fixture
def source(room: Room) -> SimulatedMeter:
    source = meter()
    room.enrol(source)
    room.clock.now_s = NOW + 3_600
    return source


def digests(room: Room) -> list[bytes]:
    """Of all stored readings, as they stand in their chains."""
    with room.store.read() as read:
        return [row.digest for chain in read.chains() for row in read.readings_after(chain.chain_no, 0, -1)]


def digests_of(items: list[bytes]) -> list[bytes]:
    return [parse_envelope(item).digest for item in items]


def test_readings_and_intervals_come_in(room: Room, source: SimulatedMeter, tmp_path: Path) -> None:
    items = [source.read(NOW + 60 * place) for place in range(10)]

    async def work(port: int) -> None:
        async with receiving(room, port, topic=SHARED) as (receiver, _), publisher(port) as device:
            for item in items:
                device.publish(TOPIC, item)
            device.publish("energy/PLANT-01/gw/MTR-001", interval())
            device.publish("energy/PLANT-01/gw/MTR-002", interval(), qos=0)
            await device.sent()
            await until(lambda: outcomes(receiver) == {"admitted": 12}, lambda: outcomes(receiver))
            await until(lambda: receiver.waiting == 0)
            assert receiver.lag_ms == 0

    with start_mosquitto(tmp_path / "broker") as port:
        asyncio.run(work(port))
    assert digests(room) == digests_of(items)
    assert {record.meter_id for record in room.records()} == {"m1", "MTR-001", "MTR-002"}


def test_the_same_again_is_a_duplicate(room: Room, source: SimulatedMeter, tmp_path: Path) -> None:
    item = source.read(NOW)

    async def work(port: int) -> None:
        async with publisher(port) as device:
            device.publish(TOPIC, item, retain=True)
            device.publish("energy/PLANT-01/gw/MTR-001", interval(), retain=True)
            await device.sent()
            for life in range(1, 3):
                # Without a session, so each time the broker sends what it retains.
                async with receiving(room, port, session_s=0) as (receiver, _):
                    expected = {"admitted": 2} if life == 1 else {"duplicate": 2}
                    await until(lambda: outcomes(receiver) == expected, lambda: outcomes(receiver))  # noqa: B023

    with start_mosquitto(tmp_path / "broker") as port:
        asyncio.run(work(port))
    assert digests(room) == digests_of([item])


def test_what_is_refused_is_acknowledged_and_kept(room: Room, source: SimulatedMeter, tmp_path: Path) -> None:
    stranger, other = meter("stranger"), meter("m2")
    room.enrol(other)
    good = source.read(NOW)
    forged = good[:-1] + bytes([good[-1] ^ 1])
    sent = {
        ("energy/site/device-stranger/stranger", stranger.read(NOW)): "unknown-key",
        (TOPIC, forged): "bad-signature",
        (TOPIC, other.read(NOW)): "wrong-topic",  # a good reading, in another meter's name
        ("energy/elsewhere/device-m1/m1", good): "wrong-topic",
        ("energy/site/device-m1/-", good): "wrong-topic",
        ("energy/site/device-m1/m1", b"\xd2\x84" + bytes(9_000)): "malformed",
        ("energy/a/b/c", b"{" + b" " * 20_000 + b"}"): "malformed",
        ("energy/a/b/c", b"{"): "malformed",
        ("energy/a/b/c", b""): "malformed",
    }
    expected = {reason: list(sent.values()).count(reason) for reason in sent.values()}
    size = room.sequencer.next_idx

    async def work(port: int) -> None:
        async with receiving(room, port) as (receiver, _), publisher(port) as device:
            for topic, payload in sent:
                device.publish(topic, payload)
            await until(lambda: outcomes(receiver) == expected, lambda: outcomes(receiver))
            await until(lambda: receiver.waiting == 0)
        assert room.sequencer.next_idx == size
        # Acknowledged: it does not come again.
        async with receiving(room, port) as (receiver, _), publisher(port) as device:
            device.publish(TOPIC, good)
            await until(lambda: outcomes(receiver) == {"admitted": 1}, lambda: outcomes(receiver))

    with start_mosquitto(tmp_path / "broker") as port:
        asyncio.run(work(port))
    with room.store.read() as read:
        kept = {(row.source, row.reason.partition(":")[0]) for row in read.inbox()}
    assert kept == {(topic, reason) for (topic, _), reason in sent.items()}


def test_an_unregistered_meter_of_another_device_is_not_slipped_in(
    room: Room, source: SimulatedMeter, tmp_path: Path
) -> None:
    """The key is known, the meter id is not: it may be set aside as its own device's, and as nobody else's."""
    unknown = signed(source, source.read(NOW), meter_id="m9")

    async def work(port: int) -> None:
        async with receiving(room, port) as (receiver, _), publisher(port) as device:
            device.publish("energy/site/device-m2/m9", unknown)
            await until(lambda: outcomes(receiver) == {"wrong-topic": 1}, lambda: outcomes(receiver))
            device.publish("energy/site/device-m1/m9", unknown)
            await until(lambda: outcomes(receiver).get("quarantined") == 1, lambda: outcomes(receiver))

    with start_mosquitto(tmp_path / "broker") as port:
        asyncio.run(work(port))


def test_nothing_is_acknowledged_before_the_commit(room: Room, source: SimulatedMeter, tmp_path: Path) -> None:
    """The writer is kept from committing; the server then goes without a word, and the broker sends all again."""
    items = [source.read(NOW + 60 * place) for place in range(20)]

    async def work(port: int) -> None:
        async with publisher(port) as device:
            with contextlib.suppress(asyncio.CancelledError):
                async with receiving(room, port) as (receiver, ingest):
                    with room.store.write():  # the one transaction; the writer's thread waits for it
                        for item in items:
                            device.publish(TOPIC, item)
                        await until(lambda: receiver.waiting == 20)
                        await asyncio.sleep(0.5)
                        assert (receiver.waiting, outcomes(receiver)) == (20, {})
                        # As a crash: the socket ends, nothing more is said.
                        assert receiver._link is not None
                        receiver._link._transport.abort()
                        await until(lambda: receiver.status.connected_s is None)
                    await until(lambda: ingest.waiting == 0)
                    # Now they are stored, and nobody was told; so they come again.
                    await until(lambda: outcomes(receiver).get("duplicate") == 20, lambda: outcomes(receiver))
                    await until(lambda: receiver.waiting == 0)

    with start_mosquitto(tmp_path / "broker") as port:
        asyncio.run(work(port))
    assert digests(room) == digests_of(items)


def test_a_halted_log_acknowledges_nothing(room: Room, source: SimulatedMeter, tmp_path: Path) -> None:
    items = [source.read(NOW + 60 * place) for place in range(5)]

    async def work(port: int) -> None:
        async with publisher(port) as device:
            async with receiving(room, port) as (receiver, ingest):
                device.publish(TOPIC, items[0])
                await until(lambda: outcomes(receiver) == {"admitted": 1})
                room.guard.path.write_text("something else\n")
                with pytest.raises(Halted):
                    await ingest.flush()
                for item in items[1:]:
                    device.publish(TOPIC, item)
                await until(lambda: receiver.status.connected_s is None)
                await until(lambda: "halted" in (receiver.status.fault or ""), lambda: receiver.status)
                assert outcomes(receiver) == {"admitted": 1}
                await asyncio.sleep(1)
                assert receiver.status.connections == 1
            room.guard.path.unlink()

    with start_mosquitto(tmp_path / "broker") as port:
        asyncio.run(work(port))
        room.restart()

        async def again() -> None:
            async with receiving(room, port) as (receiver, _):
                await until(lambda: outcomes(receiver) == {"admitted": 4}, lambda: outcomes(receiver))

        asyncio.run(again())
    assert digests(room) == digests_of(items)


def test_the_error_that_halts_the_log_is_no_answer(room: Room, source: SimulatedMeter, tmp_path: Path) -> None:
    """The disk fails under the one message of a batch: that error is not the message's, and the broker keeps it."""
    item = source.read(NOW)

    async def work(port: int) -> None:
        async with publisher(port) as device, receiving(room, port) as (receiver, _):
            room.sequencer._store = FaultyStore(room.store, Plan(0))
            device.publish(TOPIC, item)
            await until(lambda: "halted" in (receiver.status.fault or ""), lambda: receiver.status)
            assert outcomes(receiver) == {}

    async def again(port: int) -> None:
        async with receiving(room, port) as (receiver, _):
            await until(lambda: outcomes(receiver) == {"admitted": 1}, lambda: outcomes(receiver))

    with start_mosquitto(tmp_path / "broker") as port:
        asyncio.run(work(port))
        room.restart()
        room.clock.now_s = NOW + 3_600
        asyncio.run(again(port))
    assert digests(room) == digests_of([item])


def test_while_there_is_no_room_messages_wait(room: Room, source: SimulatedMeter, tmp_path: Path) -> None:
    others = [meter(f"o{place}") for place in range(4)]
    room.enrol(*others)
    items = [source.read(NOW + 60 * place) for place in range(30)]

    async def work(port: int) -> None:
        small = Settings(capacity=4)
        async with (
            receiving(room, port, settings=small, receive_max=10) as (receiver, ingest),
            publisher(port) as device,
        ):
            with room.store.write():
                http = [asyncio.create_task(ingest.submit_readings([each.read(NOW)], trusted=True)) for each in others]
                await asyncio.sleep(0.05)
                for item in items:
                    device.publish(TOPIC, item)
                await until(lambda: receiver.waiting == 10)
                await asyncio.sleep(0.3)
                # The broker keeps the other twenty: it was told how many we take.
                assert (receiver.waiting, outcomes(receiver)) == (10, {})
            await asyncio.gather(*http)
            await until(lambda: outcomes(receiver).get("admitted") == 30, lambda: outcomes(receiver))

    with start_mosquitto(tmp_path / "broker") as port:
        asyncio.run(work(port))
    assert len(digests(room)) == 34


def test_the_broker_restarts(room: Room, source: SimulatedMeter, tmp_path: Path) -> None:
    items = [source.read(NOW + 60 * place) for place in range(40)]
    port = free_port()

    @contextlib.contextmanager
    def broker() -> Iterator[None]:
        with start_mosquitto(tmp_path / "broker", port=port):
            yield

    async def work() -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(broker())
            async with receiving(room, port) as (receiver, _):
                async with publisher(port) as device:
                    for item in items[:20]:
                        device.publish(TOPIC, item)
                    await device.sent()
                stack.close()
                await until(lambda: receiver.status.connected_s is None)
                stack.enter_context(broker())
                async with publisher(port) as device:
                    for item in items[20:]:
                        device.publish(TOPIC, item)
                    await device.sent()
                await until(lambda: outcomes(receiver).get("admitted") == 40, lambda: outcomes(receiver))
                assert (receiver.status.connections, receiver.status.sessions_lost) == (2, 0)

    asyncio.run(work())
    assert digests(room) == digests_of(items)


def test_the_server_restarts(room: Room, source: SimulatedMeter, tmp_path: Path) -> None:
    """What is published while it is away is kept in its session, and taken in once."""
    items = [source.read(NOW + 60 * place) for place in range(30)]

    async def work(port: int) -> None:
        async with publisher(port) as device:
            for at in range(0, 30, 10):
                async with receiving(room, port, topic=SHARED) as (receiver, _):
                    for item in items[at : at + 5]:
                        device.publish(TOPIC, item)
                    await until(lambda: outcomes(receiver).get("admitted", 0) >= 5)
                for item in items[at + 5 : at + 10]:
                    device.publish(TOPIC, item)
                await device.sent()
            async with receiving(room, port, topic=SHARED) as (receiver, _):
                await until(lambda: outcomes(receiver) == {"admitted": 5}, lambda: outcomes(receiver))

    with start_mosquitto(tmp_path / "broker") as port:
        asyncio.run(work(port))
    assert digests(room) == digests_of(items)


def test_a_broker_that_forgets_sessions_is_told_of(room: Room, source: SimulatedMeter, tmp_path: Path) -> None:
    port = free_port()

    async def work() -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(start_mosquitto(tmp_path / "first", port=port))
            async with receiving(room, port) as (receiver, _):
                stack.close()
                await until(lambda: receiver.status.connected_s is None)
                stack.enter_context(start_mosquitto(tmp_path / "second", port=port))
                await asyncio.wait_for(receiver.connected.wait(), 20)
                assert receiver.status.sessions_lost == 1

    asyncio.run(work())


def test_a_flood_of_one_device_stops_nobody(room: Room, source: SimulatedMeter, tmp_path: Path) -> None:
    items = [source.read(NOW + 60 * place) for place in range(20)]

    async def work(port: int) -> None:
        async with (
            receiving(room, port, receive_max=100) as (receiver, _),
            publisher(port, "flood") as flood,
            publisher(port, "slow") as slow,
        ):
            flood.publish("energy/site/other/m", b"{first")
            for item in items:
                for _ in range(100):
                    flood.publish("energy/site/flood/m", b"{" + bytes(100))
                start = time.monotonic()
                slow.publish(TOPIC, item)
                before = outcomes(receiver).get("admitted", 0)
                await until(lambda: outcomes(receiver).get("admitted", 0) > before)  # noqa: B023
                assert time.monotonic() - start < 5
            await until(lambda: outcomes(receiver) == {"admitted": 20, "malformed": 2_001}, lambda: outcomes(receiver))

    with start_mosquitto(tmp_path / "broker") as port:
        asyncio.run(work(port))
    with room.store.read() as read:
        sources = [row.source for row in read.inbox(1_000)]
    assert sources.count("energy/site/flood/m") == 10
    assert "energy/site/other/m" in sources
    assert digests(room) == digests_of(items)


def test_a_broker_without_mqtt_5(room: Room, source: SimulatedMeter, tmp_path: Path) -> None:
    """In front of Mosquitto stands one that answers as brokers before MQTT 5 do."""
    items = [source.read(NOW + 60 * place) for place in range(50)]

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while data := await reader.read(65_536):
                writer.write(data)

    async def work(port: int) -> None:
        async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            first = await reader.read(65_536)
            if first[first.index(b"MQTT") + 4] == 5:
                writer.write(b"\x20\x02\x00\x01")
                writer.close()
                return
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
            to_writer.write(first)
            await asyncio.gather(pipe(reader, to_writer), pipe(to_reader, writer))

        async with await asyncio.start_server(old, "127.0.0.1", 0) as server:
            address = server.sockets[0].getsockname()
            # No flow control in MQTT 3.1.1: what is too much stays in the socket.
            async with receiving(room, address[1], receive_max=3) as (receiver, _), publisher(port) as device:
                for item in items:
                    device.publish(TOPIC, item)
                await until(lambda: outcomes(receiver) == {"admitted": 50}, lambda: outcomes(receiver))
                assert receiver.status.connections == 1
            server.close()

    with start_mosquitto(tmp_path / "broker") as port:
        asyncio.run(work(port))
    assert digests(room) == digests_of(items)
