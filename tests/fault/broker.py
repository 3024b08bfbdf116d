"""A Mosquitto that is killed and started again over its files, and a device's connection to it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.fault.devices import Device
from tests.fault.lives import PATIENCE_S, free_port
from tests.ingest.mosquitto import KEEP_ALL, OPEN, mosquitto_path

SAVES_EVERY_S: Final = 1
"""How often the broker writes down what waits; it acknowledges before that."""
_TIMEOUT_S: Final = 5
_CONNECT, _PUBLISH_ONCE_AT_LEAST, _PUBACK = 0x10, 0x32, 0x40


class Broker:
    """In `folder`; `start` it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        user = ["user root"] if os.geteuid() == 0 else []  # it could not read the test's folder as another one
        lines = [*user, *KEEP_ALL, f"listener {self.port} 127.0.0.1", *OPEN]
        lines += ["persistence true", f"persistence_location {folder}/", f"autosave_interval {SAVES_EVERY_S}"]
        self._config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it, with what it kept."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([mosquitto_path(), "-c", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(self._log.read_text(errors="replace")) from None
                time.sleep(0.02)
            else:
                return

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM: it saves what it has; SIGKILL: it does not."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE_S)
            self._process = None


class MqttLine:
    """One connection to a broker: QoS 1, sent again until the broker has acknowledged it.

    `keeps_s`: after a lost connection the devices send again what was acknowledged in that time before it, since a
    broker that was killed has forgotten some of it.
    """

    def __init__(self, port: int, name: str, *, keeps_s: int = 0) -> None:
        self._port, self._name, self._keeps_s = port, name, keeps_s
        self._socket: socket.socket | None = None
        self._marks: dict[str, list[tuple[float, int]]] = {}
        self._returning: set[str] = set()

    def send(self, device: Device, items: Sequence[bytes]) -> int:
        """Publish, and wait for what the broker says; below 0: how far the device goes back."""
        if device.topic in self._returning:
            self._returning.remove(device.topic)
            return self._back(device)
        done = 0
        try:
            if self._socket is None:
                self._socket = self._connected()
            topic = device.topic.encode()
            for number, item in enumerate(items, 1):
                body = len(topic).to_bytes(2, "big") + topic + number.to_bytes(2, "big") + item
                self._socket.sendall(bytes([_PUBLISH_ONCE_AT_LEAST]) + _length(len(body)) + body)
            for number in range(1, len(items) + 1):
                if self._read(4) != bytes([_PUBACK, 2]) + number.to_bytes(2, "big"):
                    raise AssertionError("the broker acknowledges in another order")
                done = number
        except OSError:
            self.close()
            self._returning = set(self._marks) if self._keeps_s else set()
        marks = self._marks.setdefault(device.topic, [])
        marks.append((time.monotonic(), device.acknowledged + done))
        return done

    def _back(self, device: Device) -> int:
        marks = self._marks[device.topic]
        old = [mark for mark in marks if mark[0] < marks[-1][0] - self._keeps_s]
        count = old[-1][1] if old else 0
        # What was acknowledged beyond that is in doubt until it was acknowledged again.
        self._marks[device.topic] = [mark for mark in old if mark[1] <= count]
        return count - device.acknowledged

    def _connected(self) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self._port), _TIMEOUT_S)
        name = self._name.encode()
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name
        self._socket = opened
        opened.sendall(bytes([_CONNECT]) + _length(len(body)) + body)
        if self._read(4) != b"\x20\x02\x00\x00":
            raise ConnectionError("refused")
        return opened

    def _read(self, count: int) -> bytes:
        data = b""
        while self._socket is not None and len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise ConnectionError("closed")
            data += more
        return data

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
            self._socket = None


def _length(count: int) -> bytes:
    """MQTT 3.1.1 §2.2.3."""
    data = bytearray()
    while True:
        count, digit = divmod(count, 128)
        data.append(digit | (0x80 if count else 0))
        if not count:
            return bytes(data)
