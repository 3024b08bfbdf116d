"""One connection to an MQTT broker, from CONNECT to the socket's end. gmqtt speaks the protocol (docs/adr/0014).

gmqtt acknowledges before or after its handler; before would lose readings, after would cost a task for each. So some
of its packet handlers are replaced: PUBLISH (the message goes up with its packet identifier, and is acknowledged by
`acknowledge` when its reading is durable) and DISCONNECT (a link is used once: who reconnects, how often and when, is
the receiver's business, also after a CONNACK that refuses).

A broker that misbehaves costs no more than its connection: gmqtt would gather a packet of any length, leave the socket
open when it can read no further, and wait without end for a peer that reads nothing. All three end the link here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from gmqtt import Client  # type: ignore[import-untyped]
from gmqtt.mqtt.connection import MQTTConnection  # type: ignore[import-untyped]
from gmqtt.mqtt.constants import MQTTCommands, MQTTv50  # type: ignore[import-untyped]
from gmqtt.mqtt.handler import MQTTConnectError  # type: ignore[import-untyped]

from wattseal.ingest.mqtt_broker import Broker

MAX_PACKET_BYTES: Final = 65_536
"""A broker of MQTT 5 does not deliver what is longer, so that 4,000 unacknowledged messages cannot fill the memory;
the link to a broker that sends it all the same ends."""
MAX_UNSENT_BYTES: Final = 65_536
"""PUBACKs that the broker does not take: with more of them, nothing more is read from it."""
OPEN_S: Final = 20
_CLOSE_S: Final = 5
_NO_RECONNECT: Final = -2
"""gmqtt: less than no failed attempt is allowed, and −1 would mean for ever."""
_OLD: Final = (0x01, 0x84)
"""Reasons of a CONNACK: the protocol version is not supported; the first is an old broker's, in its own words."""
_UNREADABLE: Final = "the broker sent what is no MQTT"
_EXPECTED: Final = frozenset(
    (
        MQTTCommands.CONNACK,
        MQTTCommands.PUBLISH,
        MQTTCommands.SUBACK,
        MQTTCommands.PINGRESP,
        MQTTCommands.DISCONNECT,
    )
)
"""What a broker may send to a client that only subscribes, and with QoS 1."""

Receive: TypeAlias = Callable[[bytes, int, bytes], None]
"""Hears topic, packet identifier (0: QoS 0, nothing to acknowledge) and payload of each message."""

# Everything that it could say is said here, once and in our words; it would print payloads and stack traces.
_silent = logging.getLogger("gmqtt")
_silent.setLevel(logging.CRITICAL + 1)


class LinkError(OSError):
    """The broker refused, or did not answer."""


class OldProtocol(LinkError):
    """The broker does not know MQTT 5."""

    def __init__(self) -> None:
        super().__init__("the broker does not know MQTT 5")


class Link:
    """Made for one connection: `open`, then `acknowledge` while it lives, `close` at the end. `lost` ends with it."""

    def __init__(self, broker: Broker, receive: Receive, version: int = MQTTv50) -> None:
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = loop.create_future()
        """Why the connection ended."""
        self.is_session_present = False
        self._is_old = False
        self._broker = broker
        self._receive = receive
        self._version = version
        self._granted: asyncio.Future[int] = loop.create_future()
        self._reads = asyncio.Event()
        """Set while what comes is looked at."""
        self._reads.set()
        self._is_held = False
        self._is_clogged = False
        self._heard_ns = time.monotonic_ns()
        """When the broker last sent something, or took something, or was last not listened to."""
        self._unsent = 0
        given: dict[str, Any] = {}
        if version == MQTTv50:
            given = {
                "session_expiry_interval": broker.session_s,
                "receive_maximum": broker.receive_max,
                "maximum_packet_size": MAX_PACKET_BYTES,
            }
        self._client = Client(
            broker.client_id,
            clean_session=not broker.session_s,
            optimistic_acknowledgement=False,
            logger=_silent,
            **given,
        )
        self._client.set_config({"reconnect_retries": _NO_RECONNECT})
        if broker.user is not None:
            self._client.set_auth_credentials(broker.user, broker.password)
        handlers: dict[int, Callable[[int, bytes], None]] = self._client._package_handler._handler_cache  # noqa: SLF001
        handlers[MQTTCommands.PUBLISH] = self._published
        handlers[MQTTCommands.DISCONNECT] = self._disconnected
        handlers[MQTTCommands.CONNACK] = self._answered
        self._handle = self._client._package_handler._handle_packet  # noqa: SLF001
        self._client._package_handler._handle_packet = self._checked  # noqa: SLF001
        self._create = self._client._create_connection  # noqa: SLF001
        self._client._create_connection = self._created  # noqa: SLF001
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed

    async def open(self) -> None:
        """Connect and subscribe. OSError, whose text tells the operator why not; OldProtocol: try MQTT 3.1.1."""
        try:
            await asyncio.wait_for(self._open(), OPEN_S)
        except TimeoutError:
            raise LinkError(f"no answer within {OPEN_S} s") from None

    async def _open(self) -> None:
        broker = self._broker
        connecting = asyncio.ensure_future(
            self._client.connect(
                broker.host,
                broker.port,
                ssl=broker.tls or False,
                keepalive=broker.keepalive_s,
                version=self._version,
            )
        )
        try:
            await asyncio.wait({connecting, self.lost}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                raise OldProtocol() if self._is_old else LinkError(self.lost.result())
            await connecting
        except MQTTConnectError:
            raise LinkError(_UNREADABLE) from None
        finally:
            connecting.cancel()
        # Retained messages come once, and not with every reconnect; MQTT 3.1.1 has no such bits.
        self._client.subscribe(broker.topic, qos=1, retain_handling_options=int(self._version == MQTTv50))
        ends: set[asyncio.Future[Any]] = {self._granted, self.lost}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not self._granted.done():
            raise LinkError(self.lost.result())
        granted = self._granted.result()
        if granted != 1:
            why = "refuses the subscription to" if granted >= 128 else "gives only QoS 0 to"
            raise LinkError(f"the broker {why} {broker.topic}: look at its access list")

    def acknowledge(self, mids: Iterable[int]) -> None:
        """Tell the broker, in one write, that these messages are safe, in the order in which they came."""
        if not self.lost.done():
            # A PUBACK without reason code: the same bytes in MQTT 5 and 3.1.1.
            self._transport.write(b"".join([b"\x40\x02" + mid.to_bytes(2) for mid in mids if mid]))

    @property
    def session_s(self) -> int:
        """How long the broker was asked to keep what we miss."""
        return self._broker.session_s

    @property
    def receive_max(self) -> int:
        """How many messages may be unacknowledged."""
        return self._broker.receive_max

    @property
    def words(self) -> str:
        """For the log: whereto, and by which version."""
        return f"{self._broker.host}:{self._broker.port}, MQTT {'5' if self._version == MQTTv50 else '3.1.1'}"

    def drop(self, why: str) -> None:
        """Let the connection end, from outside of `open`."""
        self._end(why)

    def pause(self) -> None:
        """Read nothing more: what the broker's flow control does not hold back (QoS 0, MQTT 3.1.1), the socket does."""
        self._is_held = True
        self._read_or_not()

    def resume(self) -> None:
        """Read again."""
        self._is_held = False
        self._read_or_not()

    async def close(self) -> None:
        """Say goodbye and close. The broker keeps session and subscription, and with them what comes meanwhile."""
        connection = self._client._connection  # noqa: SLF001
        if connection is None:
            return
        if not self.lost.done() and not connection.is_closing():
            connection.send_disconnect()
        self._end("closed")
        try:
            await asyncio.wait_for(connection.close(), _CLOSE_S)
        except (OSError, TimeoutError):
            connection._transport.abort()  # noqa: SLF001 - a peer that takes nothing more

    # --- A broker that misbehaves -----------------------------------------------------------------------------------

    async def _created(self, *args: object, **given: object) -> MQTTConnection:
        """The connection of gmqtt, before the first byte of it is looked at."""
        connection = await self._create(*args, **given)
        self._transport: asyncio.Transport = connection._transport  # noqa: SLF001
        protocol = connection._protocol  # noqa: SLF001
        read, parse = protocol.read, protocol._read_packet  # noqa: SLF001

        async def read_if(size: int) -> bytes:
            # Not `pause_reading`: asyncio's stream, which has its own use for that, would read again by itself.
            data: bytes = await read(size)
            await self._reads.wait()
            return data

        def parse_if(data: bytes) -> int:
            self._heard_ns = time.monotonic_ns()
            parsed: int = parse(data)
            if parsed < 0 or (parsed < len(data) and data[parsed] & 0xF0 not in _EXPECTED):
                self._break(_UNREADABLE)
            elif _length(data, parsed) > MAX_PACKET_BYTES:
                self._break(f"the broker sent a packet of more than {MAX_PACKET_BYTES} bytes: set its limit")
            return parsed

        protocol.read, protocol._read_packet = read_if, parse_if  # noqa: SLF001
        protocol.pause_writing, protocol.resume_writing = self._clogged, self._unclogged
        self._transport.set_write_buffer_limits(MAX_UNSENT_BYTES)
        protocol._read_loop_future.add_done_callback(self._read_ended)  # noqa: SLF001
        self._watch(connection)
        return connection

    def _watch(self, connection: MQTTConnection) -> None:
        """End a link of which nothing is heard. gmqtt looks after that too, but then waits for the bytes unsent."""
        if self.lost.done():
            return
        keepalive_s = self._broker.keepalive_s
        unsent = self._transport.get_write_buffer_size()
        if self._is_held and not unsent:
            self._heard_ns = time.monotonic_ns()
            # Else gmqtt would close the link, by this clock of its own.
            connection._last_data_in = time.monotonic()  # noqa: SLF001 # not energy or money: a clock
        elif unsent < self._unsent:
            self._heard_ns = time.monotonic_ns()
        self._unsent = unsent
        silent_ms = (time.monotonic_ns() - self._heard_ns) // 1_000_000
        if self._transport.is_closing():
            self._break("the connection broke")
        elif silent_ms >= keepalive_s * 1_500:
            self._break(f"the broker gave no sign of life for {silent_ms // 1_000} s")
        else:
            if silent_ms >= keepalive_s * 500:
                connection._send_ping_request()  # noqa: SLF001 - gmqtt's own may come too late for an answer
            pause_s = keepalive_s / 4  # not energy or money: a wait
            asyncio.get_running_loop().call_later(pause_s, self._watch, connection)

    def _checked(self, command: int, packet: bytes) -> None:
        if self.lost.done():
            return
        try:
            if command & 0xF0 not in _EXPECTED:
                raise ValueError(command)
            self._handle(command, packet)
        except Exception:  # noqa: BLE001 - gmqtt, which has no type for it, would say nothing and go on
            self._break(_UNREADABLE)

    def _read_ended(self, reading: asyncio.Future[None]) -> None:
        if not reading.cancelled():
            reading.exception()  # else asyncio tells of it
        self._break("the connection broke")

    def _clogged(self) -> None:
        self._is_clogged = True
        self._read_or_not()

    def _unclogged(self) -> None:
        self._is_clogged = False
        self._read_or_not()

    def _read_or_not(self) -> None:
        if self._is_held or self._is_clogged:
            self._reads.clear()
        else:
            self._reads.set()

    def _break(self, why: str) -> None:
        """End, and do not wait for what is unsent: the broker has it, and sends it again."""
        self._end(why)
        self._transport.abort()

    # --- Packets ----------------------------------------------------------------------------------------------------

    def _answered(self, command: int, packet: bytes) -> None:
        code = packet[1]
        if code:
            self._is_old = self._version == MQTTv50 and code in _OLD
            why: str = MQTTConnectError(code).message
            self._end(f"the broker refuses: {why.removeprefix('Connection Refused: ')}")
        else:
            self._client._package_handler._handle_connack_packet(command, packet)  # noqa: SLF001

    def _connected(self, _client: object, flags: int, _code: int, _properties: object) -> None:
        self.is_session_present = bool(flags & 1)

    def _subscribed(self, _client: object, _mid: int, granted: tuple[int, ...], _properties: object) -> None:
        if not self._granted.done():
            self._granted.set_result(granted[0])

    def _published(self, command: int, packet: bytes) -> None:
        end = 2 + (packet[0] << 8 | packet[1])
        topic, mid = packet[2:end], 0
        if command & 0b110:
            mid = packet[end] << 8 | packet[end + 1]
            end += 2
        if self._version == MQTTv50:
            size, end = _variable(packet, end)
            end += size
        self._receive(topic, mid, packet[end:])

    def _disconnected(self, _command: int, packet: bytes) -> None:
        self._end(f"the broker ended the connection (reason {packet[0]})" if packet else "the connection broke")

    def _end(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)


def _variable(packet: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer, and where it ends."""
    value, shift = 0, 0
    while True:
        byte = packet[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _length(data: bytes, at: int) -> int:
    """How long the packet that begins there says to be; 0 as long as that has not come."""
    try:
        size, end = _variable(data, at + 1)
    except IndexError:
        return 0
    return end - at + size
