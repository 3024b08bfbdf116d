"""Whether the site works, and if not, what is wrong; and its counters."""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from time import time
from typing import Final, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from wattseal import __version__
from wattseal.api.answer import answer, described
from wattseal.api.health_problems import problems
from wattseal.api.metrics import CONTENT_TYPE
from wattseal.api.services import Here, Services
from wattseal.core.units import rfc3339
from wattseal.ingest.mqtt import Receiver
from wattseal.log.port import Read

router = APIRouter(tags=["health"])

_MQTT_PATIENCE_S: Final = 10
_MQTT_LAG_MS: Final = 30_000


class MqttView(BaseModel):
    """How it is with the MQTT broker."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    connected_since: str | None
    """Null: there is no connection, and the broker keeps what comes."""
    fault: str | None
    """Why there is none."""
    reconnects: int
    received: dict[str, int]
    """Messages since the start by outcome; those that were refused by their reason."""
    waiting: int
    """Messages that came and are not acknowledged yet."""
    lag_ms: int
    """How long the oldest of them waits."""


class HealthView(BaseModel):
    """How the site is."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "status": "ok",
                "problems": [],
                "demo": False,
                "version": "0.1.0",
                "origin": "localhost/wattseal",
                "time": "2026-01-31T12:06:30Z",
                "entries": 1261,
                "in_checkpoint": 1261,
                "batches": 4,
                "last_batch_at": "2026-01-31T12:06:00Z",
                "chain": "simulated",
                "anchored_batch": 3,
                "mqtt": {
                    "connected_since": "2026-01-31T11:50:00Z",
                    "fault": None,
                    "reconnects": 0,
                    "received": {"admitted": 1260, "malformed": 1},
                    "waiting": 0,
                    "lag_ms": 0,
                },
            }
        },
    )

    status: Literal["ok", "degraded", "halted"]
    """degraded: it works, and somebody should look. halted: nothing is written or signed any more (HTTP status 503)."""
    problems: list[str]
    """What is wrong, in plain words."""
    demo: bool
    version: str
    origin: str
    time: str
    """This machine's clock."""
    entries: int
    in_checkpoint: int
    batches: int
    last_batch_at: str | None
    chain: str | None
    anchored_batch: int | None
    """The newest batch that a block holds."""
    mqtt: MqttView | None
    """Null: no broker is set."""


def health(here: Services, read: Read, now: int) -> HealthView:
    """How the site is, as of one committed state."""
    last = next(iter(read.batches(limit=1, newest_first=True)), None)
    anchors = [] if here.attestor is None else here.attestor.rows()
    in_block = [row.batch for row in anchors if row.state in {"in_block", "final"}]
    size = read.size()
    covered = 0 if last is None or last.checkpoint is None else last.last_idx + 1
    found = list(problems(here, read, last, now)) + _mqtt_problems(here, now)
    halted = here.ingest.halted is not None
    if halted:
        found.insert(0, "The log has stopped writing. The server's log says why; see docs/operate/recovery.md.")
    return HealthView(
        status="halted" if halted else "degraded" if found else "ok",
        problems=found,
        demo=here.settings.demo,
        version=__version__,
        origin=here.settings.origin,
        time=rfc3339(now),
        entries=size,
        in_checkpoint=covered,
        batches=0 if last is None else last.number + 1,
        last_batch_at=None if last is None else rfc3339(last.closed_s),
        chain=None if here.attestor is None else here.attestor.chain,
        anchored_batch=max(in_block, default=None),
        mqtt=None if here.mqtt is None else _mqtt(here.mqtt),
    )


def _mqtt(receiver: Receiver) -> MqttView:
    status = receiver.status
    received: Counter[str] = Counter()
    for (outcome, reason), count in status.received.items():
        received[reason if outcome == "refused" else outcome] += count
    return MqttView(
        connected_since=None if status.connected_s is None else rfc3339(status.connected_s),
        fault=status.fault,
        reconnects=max(status.connections - 1, 0),
        received=dict(received),
        waiting=receiver.waiting,
        lag_ms=receiver.lag_ms,
    )


def _mqtt_problems(here: Services, now: int) -> list[str]:
    if here.mqtt is None:
        return []
    status, problems = here.mqtt.status, []
    if status.lost_s is not None and now - status.lost_s > _MQTT_PATIENCE_S:
        problems.append(f"No connection to the MQTT broker since {rfc3339(status.lost_s)}: {status.fault}.")
    if here.mqtt.lag_ms > _MQTT_LAG_MS:
        problems.append(f"An MQTT message waits for {here.mqtt.lag_ms // 1_000} s to be written.")
    if status.sessions_lost:
        problems.append(
            f"The MQTT broker has lost our session {status.sessions_lost} times since the start: let it keep sessions."
        )
    return problems


@router.get(
    "/health",
    summary="Is everything well?",
    response_model=HealthView,
    responses=described(None, "It works.") | {503: {"description": "The log has halted.", "model": HealthView}},
)
def get_health(here: Here) -> Response:
    """What a monitor asks, and what a person reads first when something is odd."""
    with here.store.read() as read:
        view = health(here, read, int(time()))
    status = HTTPStatus.SERVICE_UNAVAILABLE if view.status == "halted" else HTTPStatus.OK
    return answer(view.model_dump(), status)


@router.get(
    "/metrics",
    summary="Counters for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "The exposition format.",
            "content": {"text/plain": {"example": "wattseal_entries 1261\n"}},
        }
    },
)
def get_metrics(here: Here) -> Response:
    """How much of what, since the start."""
    return Response(here.metrics.text(), media_type=CONTENT_TYPE)


def gauges(here: Services) -> dict[str, tuple[str, float]]:
    """What the counters cannot tell: name -> (what it is, its value now)."""
    with here.store.read() as read:
        entries = read.size()
        last = next(iter(read.batches(limit=1, newest_first=True)), None)
    registry = here.ingest.registry
    return _mqtt_gauges(here.mqtt) | {
        "entries": ("Entries in the log", entries),
        "checkpoint_entries": ("Entries under the newest batch", 0 if last is None else last.last_idx + 1),
        "batch_closed_seconds": ("When the newest batch was closed", 0 if last is None else last.closed_s),
        "waiting": ("Readings and intervals between submit and receipt", here.ingest.waiting),
        "batch_age_seconds": (
            "Time since the newest batch was closed",
            0 if last is None else max(here.now() - last.closed_s, 0),
        ),
        "worker_restarts": ("How often the worker processes were started again", here.ingest.worker_restarts),
        "connections": ("Connections now", here.connections.open),
        "connections_refused": ("Connections that were turned away", here.connections.refused),
        "meters": ("Registered meters", len(registry.meters)),
        "device_keys": ("Registered device keys", len(registry.keys)),
        "anchors_unfinished": (
            "Anchors that are not final",
            0 if here.attestor is None else len(here.attestor.unfinished()),
        ),
        "halted": ("1 if nothing is written any more", int(here.ingest.halted is not None)),
    }


def _mqtt_gauges(receiver: Receiver | None) -> dict[str, tuple[str, float]]:
    if receiver is None:
        return {}
    return {
        "mqtt_connected": ("1 while there is a connection to the MQTT broker", int(receiver.status.lost_s is None)),
        "mqtt_connections": ("Connections to the MQTT broker since the start", receiver.status.connections),
        "mqtt_received": ("MQTT messages that were answered since the start", receiver.status.received.total()),
        "mqtt_waiting": ("MQTT messages that are not acknowledged yet", receiver.waiting),
        "mqtt_lag_milliseconds": ("How long the oldest of them waits", receiver.lag_ms),
    }
