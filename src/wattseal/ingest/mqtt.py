"""Readings and intervals from an MQTT broker: each is acknowledged when it is durable, or refused (docs/spec/mqtt.md).

    link ─▶ messages of a turn ─▶ batch ─▶ Ingest ─▶ receipts ─▶ PUBACKs, in the order of the messages
Nothing is dropped: what cannot be taken in now waits unacknowledged, and the broker sends no more than `receive_max`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import randrange
from typing import Final, TypeAlias

import structlog
from gmqtt.mqtt.constants import MQTTv50, MQTTv311  # type: ignore[import-untyped]

from wattseal.ingest.ingest import Ingest
from wattseal.ingest.mqtt_admission import Message, MqttAdmission
from wattseal.ingest.mqtt_broker import Broker
from wattseal.ingest.mqtt_link import Link, OldProtocol
from wattseal.log.sequencer import Halted

Count: TypeAlias = Callable[[str, int], None]
"""Hears how many messages had which outcome."""

_BATCH: Final = 1_024
_AT_ONCE: Final = 8
"""Batches under way: the workers examine some while the writer makes others durable."""
_FIRST_WAIT_MS: Final = 500
_LONGEST_WAIT_MS: Final = 30_000
STABLE_S: Final = 10
"""A link that lived so long was a good one: only then is the next wait a short one again."""
_STOP_MS: Final = 8_000
_log = structlog.get_logger()


@dataclass(slots=True)
class Status:
    """What /health and /metrics tell of a receiver. Times in Unix seconds."""

    connected_s: int | None = None
    """Since when there is a connection."""
    lost_s: int | None = None
    """Since when there is none."""
    fault: str | None = None
    """Why there is none."""
    connections: int = 0
    """How many there were."""
    sessions_lost: int = 0
    """How often the broker came back without our session: what was published meanwhile is lost to us."""
    received: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Messages by outcome and reason."""


class _Batch:
    __slots__ = ("is_done", "link", "messages", "since_ms")

    def __init__(self, link: Link, messages: list[Message], since_ms: int) -> None:
        self.link = link
        self.messages = messages
        self.since_ms = since_ms
        self.is_done = False


class Receiver:
    """Takes in what one broker has, from `start` to `stop`, in the event loop of the ingest."""

    def __init__(self, ingest: Ingest, count: Count = lambda _outcome, _number: None) -> None:
        self.status = Status()
        self.broker: Broker | None = None
        self.connected = asyncio.Event()
        """Set while there is a connection, and the subscription."""
        self._ingest = ingest
        self._count = count
        self._admission = MqttAdmission(ingest)
        self._link: Link | None = None
        self._fresh: list[Message] = []
        self._fresh_since_ms = 0
        self._order: deque[_Batch] = deque()
        self._waiting = 0
        self._is_paused = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._said: list[str] = []
        """Lines of the log since the last good link: each is written once, and not with every attempt."""

    @property
    def waiting(self) -> int:
        """Messages that came and are not acknowledged yet."""
        return self._waiting

    @property
    def lag_ms(self) -> int:
        """How long the oldest of them waits."""
        since_ms = self._order[0].since_ms if self._order else self._fresh_since_ms if self._fresh else None
        return 0 if since_ms is None else _now_ms() - since_ms

    def start(self, broker: Broker) -> None:
        """Begin to connect, and do so again whenever the connection breaks."""
        self.broker = broker
        self.status.lost_s = _now_s()
        self._keeping = asyncio.create_task(self._keep_connected(broker))

    async def stop(self) -> None:
        """Take nothing more, finish and acknowledge what is here, disconnect; call it before `Ingest.close`.

        It does not unsubscribe: a session without its subscription would lose what is published while we are away.
        """
        if self._keeping is None:
            return
        link = self._link
        if link is not None:
            link.pause()
            self._submit()
            deadline_ms = _now_ms() + _STOP_MS
            while self._tasks and self._link is link and (left_ms := deadline_ms - _now_ms()) > 0:
                left_s = left_ms / 1_000  # not energy or money: a wait
                await asyncio.wait(self._tasks, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        # Still unacknowledged: the broker has it and sends it again.
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._keeping = None

    # --- The connection ---------------------------------------------------------------------------------------------

    async def _keep_connected(self, broker: Broker) -> None:
        version, wait_ms = MQTTv50 if broker.mqtt5 else MQTTv311, _FIRST_WAIT_MS
        while not self._is_halted():
            link = Link(broker, self._received, version)
            try:
                await link.open()
                self._opened(link)
                # Not `await link.lost`: cancelled, it would take the future with it.
                await asyncio.wait({link.lost}, timeout=STABLE_S)
                if not link.lost.done():
                    wait_ms = _FIRST_WAIT_MS
                    self._settled(link)
                    await asyncio.wait({link.lost})
                why = link.lost.result()
            except OldProtocol:
                version = MQTTv311
                continue
            except OSError as error:
                why = str(error)
            finally:
                self._closed()
                await link.close()
            if self._is_halted():
                break
            self._tell(why)
            # Not all servers of a broker that comes back shall knock at the same time.
            pause_ms = randrange(wait_ms // 2, wait_ms)  # noqa: S311 - no secret
            await asyncio.sleep(pause_ms / 1_000)  # not energy or money: a wait
            wait_ms = min(wait_ms * 2, _LONGEST_WAIT_MS)
        self._tell("the log has halted: nothing is acknowledged, the broker keeps it")

    def _is_halted(self) -> bool:
        return self._ingest.halted is not None

    def _opened(self, link: Link) -> None:
        status, now_s = self.status, _now_s()
        if status.connections and not link.is_session_present and link.session_s:
            status.sessions_lost += 1
            self._say("the broker has lost our session, and what it kept in it for us")
        status.connected_s, status.lost_s, status.fault = now_s, None, None
        status.connections += 1
        self._link = link
        self.connected.set()
        self._submit()  # a session's messages come before the answer to the subscription
        self._say(f"connected to {link.words}", _log.info)

    def _settled(self, link: Link) -> None:
        """The link is a good one. The log's last line shall not be a fault that is over."""
        line = f"connected to {link.words}"
        said, self._said = self._said, []
        if said[-1] != line:
            self._say(line, _log.info)
        self._said = []

    def _closed(self) -> None:
        if self._link is not None:
            self.status.connected_s, self.status.lost_s = None, _now_s()
        self.connected.clear()
        # Not acknowledged, so the broker sends it again; kept here as well it would grow with every reconnect.
        self._link, self._fresh, self._waiting, self._is_paused = None, [], 0, False

    def _tell(self, why: str) -> None:
        self._say(why)
        self.status.fault = why

    def _say(self, line: str, write: Callable[..., object] = _log.warning) -> None:
        if line not in self._said:
            self._said.append(line)
            write("mqtt", detail=line)

    # --- Messages ---------------------------------------------------------------------------------------------------

    def _received(self, topic: bytes, mid: int, payload: bytes) -> None:
        if not self._fresh:
            self._fresh_since_ms = _now_ms()
            # At the end of this turn of the loop, with all that came in it.
            asyncio.get_running_loop().call_soon(self._submit)
        self._fresh.append((topic, mid, payload))
        self._waiting += 1
        if self._waiting > (self.broker.receive_max if self.broker else 0) and not self._is_paused and self._link:
            self._is_paused = True
            self._link.pause()

    def _submit(self) -> None:
        link = self._link
        while link is not None and self._fresh and len(self._tasks) < _AT_ONCE:
            batch = _Batch(link, self._fresh[:_BATCH], self._fresh_since_ms)
            del self._fresh[:_BATCH]
            self._order.append(batch)
            task = asyncio.create_task(self._work(batch))
            self._tasks.add(task)
            task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._submit()

    async def _work(self, batch: _Batch) -> None:
        try:
            outcomes = await self._admission.answer(batch.messages)
        except Halted:
            # Never done, so nothing after it is acknowledged either; and the broker keeps it for the next server.
            if self._link is not None:
                self._link.drop("the log has halted")
            return
        for (outcome, reason), count in outcomes.items():
            self.status.received[outcome, reason] += count
            self._count(outcome, count)
        batch.is_done = True
        self._acknowledge()

    def _acknowledge(self) -> None:
        """Acknowledge the oldest batches that are done: MQTT wants PUBACKs in the order of the messages."""
        order, mids, link = self._order, [], self._link
        while order and order[0].is_done:
            batch = order.popleft()
            if batch.link is link:
                mids += [mid for _, mid, _ in batch.messages]
        if link is not None and mids:
            link.acknowledge(mids)
            self._waiting -= len(mids)
            if self._is_paused and self._waiting <= link.receive_max:
                self._is_paused = False
                link.resume()


def _now_s() -> int:
    return time.time_ns() // 1_000_000_000


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
