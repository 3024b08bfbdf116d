"""Which broker, as whom, and by which certificates: checked when the server starts, and not with the first message."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from wattseal.core.refusal import Refusal

_PORTS: Final = {"mqtt": 1_883, "mqtts": 8_883}


class Address(NamedTuple):
    """Where a broker listens."""

    host: str
    port: int
    is_tls: bool


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is, and as whom to come. Its repr holds no password."""

    host: str
    port: int
    topic: str
    client_id: str = "wattseal"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    session_s: int = 86_400
    """How long the broker keeps what we miss."""
    receive_max: int = 4_000
    """Messages that may be unacknowledged at a time."""
    keepalive_s: int = 30
    mqtt5: bool = True
    """False: begin with MQTT 3.1.1. A broker that knows no MQTT 5 is asked again with that anyway."""


def parse_url(url: str) -> Address:
    """The address in mqtt://host[:port] or mqtts://host[:port]; Refusal, which never repeats the URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Refusal("mqtt_url", "must be mqtt://host:port or mqtts://host:port") from None
    if parts.username is not None or parts.password is not None:
        raise Refusal("mqtt_url", "must not hold a user or password: use mqtt_user and mqtt_password_file")
    if parts.scheme not in _PORTS or not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise Refusal("mqtt_url", "must be mqtt://host:port or mqtts://host:port")
    return Address(host, port or _PORTS[parts.scheme], parts.scheme == "mqtts")


def parse_loopback(address: str) -> tuple[str, int]:
    """Host and port of an embedded broker, which lets everybody in and so may be reached from this machine alone."""
    host, _, port = address.rpartition(":")
    if host not in ("127.0.0.1", "localhost") or not port.isdigit() or int(port) > 65_535:
        raise Refusal("mqtt_embedded", "must be 127.0.0.1:port; for other machines run Mosquitto, see mqtt_url")
    return "127.0.0.1", int(port)


def read_password(path: Path) -> str:
    """The password in a file, without the newline at its end."""
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError):
        raise Refusal("mqtt_password_file", f"{path} cannot be read") from None


def tls_context(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """TLS that checks the broker's name, by that authority (None: the machine's), with our certificate if there is one.

    Refusal names the setting whose file is not there or is no such file.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError):
        raise Refusal("mqtt_ca_file", f"{ca} is no file of certificates in PEM form") from None
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError):
            raise Refusal("mqtt_cert_file", f"{certificate} and its key cannot be used; both must be PEM") from None
    elif key is not None:
        raise Refusal("mqtt_key_file", "needs mqtt_cert_file beside it")
    return context
