"""Runs a site as a server, until it is told to stop.

run_site ─ MQTT receiver ─ application ─ uvicorn, and beside them what goes on by itself: anchoring, telling of a halt
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, nullcontext
from typing import Final

import structlog
import uvicorn

from wattseal.anchor.schedule import Schedule
from wattseal.api import event_log
from wattseal.api.app import build_app
from wattseal.api.connections import protocol_within
from wattseal.api.open_files import ACCEPTED_AT_ONCE, make_room
from wattseal.config import Settings
from wattseal.ingest.mqtt_broker import Broker, parse_loopback
from wattseal.ingest.mqtt_embedded import EMBEDDED_TOPIC, embedded_broker
from wattseal.serve import Site, run_site

_STOP_S: Final = 10
_STEP_S: Final = 1
_BACKLOG: Final = 1_024
_log = structlog.get_logger()


class _Server(uvicorn.Server):
    """A server whose signals are handled by `serve`: uvicorn would end the process before the site is closed."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. uvicorn's backlog is how many connections it takes at a time; the system may keep more waiting."""
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(_BACKLOG)

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]  # a context manager as well
        return nullcontext()


def serve(settings: Settings, started: Callable[[Site, str], None] = lambda _site, _url: None) -> None:
    """Run the server until it is told to stop by SIGINT or SIGTERM; `started` hears the address once it listens.

    Raises as `run_site`, and OSError where the address cannot be listened on.
    """
    asyncio.run(_serve(settings, started))


async def _serve(settings: Settings, started: Callable[[Site, str], None]) -> None:
    event_log.configure()
    broker = settings.mqtt_broker()
    with closing(_listen(settings)) as listening:
        connections = make_room(settings.max_connections, settings.workers)
        if connections < settings.max_connections:
            _log.warning("fewer connections", wanted=settings.max_connections, allowed=connections, why="open files")
        async with run_site(settings) as site, _receiving(site, broker):
            site.services.connections.most = connections
            server = _Server(_configured(site))
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, _stop, server, site)
            host, port = listening.getsockname()[:2]
            url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            site.ingest.watch(site.services.watch)
            beside = [asyncio.create_task(task(site, server)) for task in (_keep_anchoring, _tell_halt)]
            server.config.load()
            _log.info("started", url=url, origin=settings.origin, entries=site.sequencer.next_idx)
            started(site, url)
            await server.serve(sockets=[listening])
            await asyncio.gather(*beside)
            _log.info("stopping", waiting=site.ingest.waiting)
    _log.info("stopped")


@asynccontextmanager
async def _receiving(site: Site, broker: Broker | None) -> AsyncIterator[None]:
    """Take in what the broker has, the settings' or an embedded one; at the end finish and acknowledge what came."""
    async with AsyncExitStack() as stack:
        if site.settings.mqtt_embedded:
            host, port = parse_loopback(site.settings.mqtt_embedded)
            port = await stack.enter_async_context(embedded_broker(port))
            broker = Broker(host, port, EMBEDDED_TOPIC, mqtt5=False)
        if broker is not None and site.services.mqtt is not None:
            site.services.mqtt.start(broker)
            stack.push_async_callback(site.services.mqtt.stop)
        yield


def _configured(site: Site) -> uvicorn.Config:
    settings = site.settings
    return uvicorn.Config(
        build_app(site.services),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        server_header=False,
        http=protocol_within(site.services.connections, settings.head_timeout_s),
        backlog=ACCEPTED_AT_ONCE,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_STOP_S,
    )


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)


def _stop(server: uvicorn.Server, site: Site) -> None:
    site.ingest.live.close()
    if server.should_exit:
        server.force_exit = True
    server.should_exit = True


async def _tell_halt(site: Site, server: uvicorn.Server) -> None:
    """Log once why nothing is written any more, also where nobody sends anything."""
    while not server.should_exit:
        if site.ingest.halted is not None:
            _log.error("halted", reason=site.ingest.halted, what_to_do="docs/operate/recovery.md")
            return
        await asyncio.sleep(_STEP_S)


async def _keep_anchoring(site: Site, server: uvicorn.Server) -> None:
    """Anchor and mine as the settings say, until the server stops. A fault is told once and tried again."""
    if site.attestor is None:
        return
    settings = site.settings
    schedule = Schedule(
        site.attestor,
        site.store,
        anchor_interval_s=settings.anchor_interval_s,
        mining_interval_s=settings.mining_interval_s,
    )
    told = ""
    while not server.should_exit:
        try:
            await asyncio.to_thread(schedule.step, int(time.time()))
            told = ""
        except Exception as error:  # noqa: BLE001 - the server goes on; /health tells what is not anchored
            if str(error) != told:
                _log.warning("anchoring", error=str(error), kind=type(error).__name__)
                told = str(error)
        await asyncio.sleep(_STEP_S)
