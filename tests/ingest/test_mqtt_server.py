"""A served site and a real Mosquitto: TLS, certificates, passwords, access lists, and a server that is killed."""

from __future__ import annotations

import asyncio
import signal
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.live import Device, Server, good
from tests.ingest.certificates import Authority
from tests.ingest.mosquitto import free_port, start_mosquitto
from tests.ingest.mqtt_room import publisher
from wattseal.core.reading import parse_envelope
from wattseal.serve import read_store

pytestmark = pytest.mark.realserver

PASSWORD = "correct horse"
ACCESS = """\
user wattseal
topic read energy/+/+/+

user device-d
topic write energy/site/d/+
"""


def health(server: Server) -> dict[str, Any]:
    return server.as_nobody.get("/health").json()  # type: ignore[no-any-return]


def wait(server: Server, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Wait until /health's MQTT part is so."""
    deadline = time.monotonic() + 30
    while True:
        found = health(server)
        if condition(found["mqtt"]):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def publish(
    port: int,
    items: dict[str, list[bytes]],
    *,
    wait_for_broker: bool = True,
    **given: Any,  # noqa: ANN401 - a Publisher's
) -> None:
    async def work() -> None:
        async with publisher(port, old=True, **given) as device:
            for topic, payloads in items.items():
                for payload in payloads:
                    device.publish(topic, payload)
            if wait_for_broker:
                await device.sent()

    asyncio.run(work())


def topic_of(device: Device) -> str:
    return f"energy/{device.site_id}/{device.device_id}/{device.meter_document()['meter_id']}"


def stored(server: Server) -> list[bytes]:
    with read_store(server.settings) as store, store.read() as read:
        return [row.digest for chain in read.chains() for row in read.readings_after(chain.chain_no, 0, -1)]


def test_tls_password_and_access_list(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    certificate, key = authority.issue("broker", host="localhost")
    passwords, access = tmp_path / "passwords", tmp_path / "access"
    for user in ("wattseal", "device-d"):
        create = [] if passwords.exists() else ["-c"]
        subprocess.run(["mosquitto_passwd", "-b", *create, str(passwords), user, PASSWORD], check=True)
    access.write_text(ACCESS)
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    lines = [f"cafile {authority.file}", f"certfile {certificate}", f"keyfile {key}", "allow_anonymous false"]
    lines += [f"password_file {passwords}", f"acl_file {access}"]
    device, other = Device("site", "d"), Device("site", "e")
    trusting = ssl.create_default_context(cafile=authority.file)
    trusting.check_hostname = False  # the publisher comes by the address; the server below checks the name
    with start_mosquitto(tmp_path / "broker", lines) as port:
        with Server(
            tmp_path,
            mqtt_url=f"mqtts://localhost:{port}",
            mqtt_ca_file=str(authority.file),
            mqtt_user="wattseal",
            mqtt_password_file=str(tmp_path / "secret"),
        ) as server:
            server.enrol(device)
            server.enrol(other)
            wait(server, lambda mqtt: mqtt["connected_since"])
            items, foreign = [device.next() for _ in range(3)], [other.next()]
            # The broker drops what its list does not allow, before it comes to us.
            given: dict[str, Any] = {"user": "device-d", "password": PASSWORD, "tls": trusting}
            publish(
                port, {topic_of(other): foreign}, wait_for_broker=False, **given
            )  # Mosquitto 2.0.11 then ends the connection
            publish(port, {topic_of(device): items}, **given)
            found = wait(server, lambda mqtt: mqtt["received"].get("admitted") == 3)
            assert found["mqtt"]["received"] == {"admitted": 3}
            # And a good reading of another device, on a topic that the list does allow.
            publish(port, {topic_of(device): foreign}, **given)
            wait(server, lambda mqtt: mqtt["received"].get("wrong-topic") == 1)
            assert "wattseal_mqtt_connected 1" in server.as_nobody.get("/metrics").text
            shown = (server.folder / "stderr.txt").read_text() + (server.folder / "wattseal.toml").read_text()
            assert PASSWORD not in shown + server.as_nobody.get("/health").text
        assert stored(server) == [parse_envelope(item).digest for item in items]


def test_a_client_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    certificate, key = authority.issue("broker", host="127.0.0.1")
    ours, our_key = authority.issue("wattseal")
    lines = [f"cafile {authority.file}", f"certfile {certificate}", f"keyfile {key}"]
    lines += ["require_certificate true", "use_identity_as_username true"]
    with start_mosquitto(tmp_path / "broker", lines) as port:
        url, files = f"mqtts://127.0.0.1:{port}", {"mqtt_ca_file": str(authority.file)}
        with Server(tmp_path / "without", mqtt_url=url, **files) as server:
            wait(server, lambda mqtt: mqtt["fault"])
            assert health(server)["mqtt"]["connected_since"] is None
        with Server(
            tmp_path / "with", mqtt_url=url, mqtt_cert_file=str(ours), mqtt_key_file=str(our_key), **files
        ) as server:
            wait(server, lambda mqtt: mqtt["connected_since"])


@pytest.mark.parametrize("wrong", ["name", "authority"])
def test_a_broker_that_is_not_the_one(tmp_path: Path, wrong: str) -> None:
    authority, another = Authority(tmp_path / "tls"), Authority(tmp_path / "another")
    certificate, key = authority.issue("broker", host="elsewhere.example" if wrong == "name" else "127.0.0.1")
    lines = [f"cafile {authority.file}", f"certfile {certificate}", f"keyfile {key}", "allow_anonymous true"]
    ca = another.file if wrong == "authority" else authority.file
    with (
        start_mosquitto(tmp_path / "broker", lines) as port,
        Server(tmp_path, mqtt_url=f"mqtts://127.0.0.1:{port}", mqtt_ca_file=str(ca)) as server,
    ):
        found = wait(server, lambda mqtt: mqtt["fault"])
        assert "certificate verify failed" in found["mqtt"]["fault"]
        assert found["mqtt"]["connected_since"] is None


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "wattseal", PASSWORD], check=True)
    (tmp_path / "secret").write_text("wrong")
    lines = ["allow_anonymous false", f"password_file {passwords}"]
    with start_mosquitto(tmp_path / "broker", lines) as port:
        secret = str(tmp_path / "secret")
        url = f"mqtt://127.0.0.1:{port}"
        with Server(tmp_path, mqtt_url=url, mqtt_user="wattseal", mqtt_password_file=secret) as server:
            found = wait(server, lambda mqtt: mqtt["fault"])
            assert "Not authorized" in found["mqtt"]["fault"]


def test_a_server_that_is_killed_again_and_again(tmp_path: Path) -> None:
    """Whatever the broker has acknowledged to the device is in the log in the end, once."""
    device = Device("site", "d", now=int(time.time()) - 300 * 300)
    port = free_port()
    items: list[bytes] = []
    with start_mosquitto(tmp_path / "broker", port=port):
        server = Server(tmp_path, mqtt_url=f"mqtt://127.0.0.1:{port}")
        try:
            server.enrol(device)
            wait(server, lambda mqtt: mqtt["connected_since"])
            for _ in range(3):
                fresh = [device.next() for _ in range(100)]
                items += fresh
                publish(port, {topic_of(device): fresh})
                server.process.send_signal(signal.SIGKILL)
                server.process.wait(30)
                server.stop()
                server.start()
                wait(server, lambda mqtt: mqtt["connected_since"])
            deadline = time.monotonic() + 30
            while len(stored(server)) < len(items) and time.monotonic() < deadline:
                time.sleep(0.1)
            wait(server, lambda mqtt: not mqtt["waiting"])
            assert good(server.as_nobody.get("/health"))["mqtt"]["received"].keys() <= {"admitted", "duplicate"}
        finally:
            assert server.stop() == 0
    assert stored(server) == [parse_envelope(item).digest for item in items]
