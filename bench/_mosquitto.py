"""A Mosquitto for benchmarks, and publishers that cost little: whole packets, made beforehand, on raw sockets."""

from __future__ import annotations

import selectors
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

CONFIG: Final = """\
user root
persistence true
persistence_location {folder}/
log_type error
max_inflight_messages 0
max_queued_messages 0
listener {port} 127.0.0.1
allow_anonymous true
"""
_CHUNK: Final = 64
"""Packets in one write."""


class Mosquitto(NamedTuple):
    """A running broker."""

    port: int
    pid: int


@contextmanager
def mosquitto(folder: Path) -> Iterator[Mosquitto]:
    """Run one until the end of the block."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        raise RuntimeError("no mosquitto: install the package of that name")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    folder.mkdir()
    config = folder / "mosquitto.conf"
    config.write_text(CONFIG.format(folder=folder, port=port))
    process = subprocess.Popen([program, "-c", str(config)])
    try:
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield Mosquitto(port, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def publish_packet(topic: str, mid: int, payload: bytes) -> bytes:
    """A PUBLISH of QoS 1, MQTT 3.1.1."""
    name = topic.encode()
    body = len(name).to_bytes(2) + name + mid.to_bytes(2) + payload
    return b"\x32" + _length(len(body)) + body


def connect(port: int, client_id: str) -> socket.socket:
    """A connection with a clean session, after its CONNACK."""
    name = client_id.encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2) + name
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b"\x10" + _length(len(body)) + body)
    answer = connection.recv(4)
    if answer != b"\x20\x02\x00\x00":
        raise RuntimeError(f"the broker refuses: {answer!r}")
    return connection


def publish_all(connections: Sequence[socket.socket], lanes: Sequence[Sequence[bytes]], window: int) -> None:
    """Publish each lane over its connection with so many in flight; returns when the broker has acknowledged all."""
    states = [_Lane(lane) for lane in lanes]
    with selectors.DefaultSelector() as selector:
        for number, (connection, state) in enumerate(zip(connections, states, strict=True)):
            selector.register(connection, selectors.EVENT_READ, number)
            _fill(connection, state, window)
        missing = sum(len(lane) for lane in lanes)
        while missing:
            for key, _ in selector.select():
                connection, state = connections[key.data], states[key.data]
                data = connection.recv(1 << 16)
                if not data:
                    raise RuntimeError("the broker closed the connection")
                state.received += len(data)  # nothing but PUBACKs, four bytes each
                missing -= state.received // 4 - state.acknowledged
                state.acknowledged = state.received // 4
                _fill(connection, state, window)


class _Lane:
    __slots__ = ("acknowledged", "packets", "received", "sent")

    def __init__(self, packets: Sequence[bytes]) -> None:
        self.packets = packets
        self.sent = self.acknowledged = self.received = 0


def _fill(connection: socket.socket, lane: _Lane, window: int) -> None:
    while True:
        free = min(window - (lane.sent - lane.acknowledged), _CHUNK, len(lane.packets) - lane.sent)
        if free < min(_CHUNK, len(lane.packets) - lane.sent) or not free:
            return  # a whole chunk or nothing: small writes cost as much as large ones
        connection.sendall(b"".join(lane.packets[lane.sent : lane.sent + free]))
        lane.sent += free


def _length(count: int) -> bytes:
    out = bytearray()
    while count >= 0x80:
        out.append(count & 0x7F | 0x80)
        count >>= 7
    out.append(count)
    return bytes(out)
