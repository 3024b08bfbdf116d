"""What becomes of MQTT messages: readings and intervals go to the gate, the rest is refused (docs/spec/mqtt.md §2)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar

import structlog

from wattseal.core.refusal import Refusal
from wattseal.ingest.ingest import Ingest
from wattseal.ingest.mqtt_share import InboxShare
from wattseal.ingest.mqtt_topic import names_of
from wattseal.ingest.receipt import Busy, Receipt
from wattseal.ingest.reported import ReportedInterval
from wattseal.log.sequencer import Halted

T = TypeVar("T")
Message: TypeAlias = tuple[bytes, int, bytes]
"""Topic, packet identifier (0: QoS 0), payload."""
Outcomes: TypeAlias = Counter[tuple[str, str]]
"""How many messages had which outcome and reason."""

MAX_PAYLOAD_BYTES: Final = 16_384
_COSE_TAG: Final = b"\xd2\x84"
_LOOK_MS: Final = 50
_log = structlog.get_logger()


class MqttAdmission:
    """The way from messages to an ingest."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._share = InboxShare()
        self._turn = asyncio.Lock()

    async def answer(self, messages: list[Message]) -> Outcomes:
        """Make a batch durable, as far as it is not refused; when this returns, all of it may be acknowledged.

        Raises Halted: then nothing of it may.
        """
        try:
            return await self._admit(messages)
        except Halted:
            raise
        except Exception as error:  # one message's fault must not hold up the others
            if self._ingest.halted is not None:
                # The very error that halted the log: nothing was stored.
                raise Halted(self._ingest.halted) from error
            topic, _, payload = messages[0]
            if len(messages) > 1:
                _log.error("mqtt", detail="a batch failed; its messages are tried one by one", error=repr(error))
                return sum([await self.answer([message]) for message in messages], Counter())
            # Kept to look at; unacknowledged it would come back for ever.
            _log.error("mqtt", detail="a message failed", topic=repr(topic), error=repr(error))
            self._ingest.keep_refused(payload, "error", topic.decode(errors="replace"))
            return Counter({("refused", "error"): 1})

    async def _admit(self, messages: list[Message]) -> Outcomes:
        readings: list[bytes] = []
        paths: list[str] = []
        signed: list[Message] = []
        intervals: list[ReportedInterval] = []
        told: list[Message] = []
        refused: list[tuple[Message, str, str]] = []
        for message in messages:
            topic, _, payload = message
            names = names_of(topic)
            if isinstance(names, Refusal):
                refused.append((message, "wrong-topic", names.field))
            elif payload[:2] == _COSE_TAG:
                readings.append(payload)
                paths.append(names.path)
                signed.append(message)
            elif len(payload) > MAX_PAYLOAD_BYTES:
                refused.append((message, "malformed", "too-long"))
            else:
                intervals.append(ReportedInterval(payload, names.site_id, names.iot_device_id, names.meter_id))
                told.append(message)
        ingest = self._ingest
        jobs: list[tuple[list[Message], Awaitable[list[Receipt]]]] = []
        if readings:
            jobs.append(
                (
                    signed,
                    self._in_turn(len(readings), lambda: ingest.submit_readings(readings, trusted=True, paths=paths)),
                )
            )
        if intervals:
            jobs.append((told, self._in_turn(len(intervals), lambda: ingest.submit_reported(intervals))))
        results = await asyncio.gather(*(job for _, job in jobs))
        outcomes: Outcomes = Counter()
        for (sent, _), receipts in zip(jobs, results, strict=True):
            for message, receipt in zip(sent, receipts, strict=True):
                if receipt[0] == "refused":
                    refused.append((message, receipt.reason or "", receipt.field or ""))
                else:
                    outcomes[receipt[0], receipt.reason or ""] += 1
        for (topic, _, payload), reason, what in refused:
            outcomes["refused", reason] += 1
            if self._share.takes(topic):
                ingest.keep_refused(payload, f"{reason}: {what}", topic.decode(errors="replace"))
        return outcomes

    async def _in_turn(self, count: int, submit: Callable[[], Awaitable[T]]) -> T:
        """Its result, however long there is no room for it; what came later waits behind it, so that order is kept."""
        while True:
            async with self._turn:
                while not self._ingest.has_room(count):  # noqa: ASYNC110 - room comes and goes with every commit
                    await asyncio.sleep(_LOOK_MS / 1_000)  # not energy or money: a wait
            try:
                return await submit()
            except Busy as error:
                await asyncio.sleep(error.retry_after_s)
