"""A broker inside this process, for demonstrations: on loopback alone, since it lets everybody in (docs/adr/0014).

amqtt speaks MQTT 3.1.1 and keeps nothing when it stops. A site of one's own has Mosquitto or another
(docs/tutorial/mqtt.md).
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

EMBEDDED_TOPIC: Final = "energy/+/+/+"
"""It knows no shared subscriptions."""
_HOST: Final = "127.0.0.1"
_CONFIG: Final[dict[str, Any]] = {
    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
}


@asynccontextmanager
async def embedded_broker(port: int) -> AsyncIterator[int]:
    """Run a broker on that port of 127.0.0.1, or on a free one if it is taken; gives the port."""
    from amqtt.broker import Broker  # type: ignore[import-untyped]  # noqa: PLC0415 - heavy, and only demonstrations do

    # It tells of every connection, and warns of each of MQTT 5 before it is tried again with 3.1.1.
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    port = _free(port)
    broker = Broker({**_CONFIG, "listeners": {"default": {"type": "tcp", "bind": f"{_HOST}:{port}"}}})
    await broker.start()
    try:
        yield port
    finally:
        await broker.shutdown()


def _free(port: int) -> int:
    try:
        with socket.create_server((_HOST, port)) as listening:
            return int(listening.getsockname()[1])
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not port:
            raise
        return _free(0)
