"""What the server noticed since its start: for its counters, its log of events, and /health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from time import monotonic, time
from typing import Final

import structlog

from wattseal.api.metrics import Metrics
from wattseal.core.registry import Meter
from wattseal.core.statement import QUARANTINE
from wattseal.ingest.chain import QUARANTINED, REFUSED
from wattseal.ingest.receipt import Receipt
from wattseal.ingest.registry import Registry
from wattseal.log.port import BatchRow, Read
from wattseal.log.releases import decision_of

MOST_WAITING: Final = 200
"""More waiting quarantine entries than this are not counted one by one."""
_FLOOD: Final = 100
_EVERY_S: Final = 60
_NS: Final = 1_000_000_000
_SILENT_S: Final = 600

_log = structlog.get_logger()


class Watch:
    """An ingest Watcher; it logs what comes in masses at most once a minute, with how much of it there was."""

    def __init__(self, metrics: Metrics, now: int) -> None:
        self._metrics = metrics
        self._since_s = now
        self._heard: dict[str, int] = {}
        self._told: dict[str, float] = {}  # of the steady clock
        self._untold: Counter[str] = Counter()
        self._decided_up_to = -1
        self._lock = Lock()

    # --- What the ingest room says ------------------------------------------------------------------------------------

    def heard(self, paths: Iterable[str]) -> None:
        """Readings or intervals came from these meters."""
        now = int(time())
        for path in paths:
            self._heard[path] = now

    def receipts(self, receipts: Sequence[Receipt], nanoseconds: int) -> None:
        """Count them, and log what was set aside or refused."""
        counts = Counter([receipt[0] for receipt in receipts])
        for outcome, count in counts.items():
            self._metrics.readings.labels(outcome).inc(count)
        self._metrics.durable.observe(nanoseconds / _NS)
        if counts[QUARANTINED]:
            reasons = Counter([receipt.reason or "" for receipt in receipts if receipt.outcome == QUARANTINED])
            for reason, count in reasons.items():
                self._metrics.quarantined.labels(reason).inc(count)
                self._tell("quarantined", reason, count)
        if counts[REFUSED]:
            for reason, count in Counter(
                [receipt.reason or "malformed" for receipt in receipts if receipt.outcome == REFUSED]
            ).items():
                self._tell("refused", reason, count, at_least=_FLOOD)

    def batch_closed(self, row: BatchRow) -> None:
        """Log it."""
        _log.info("batch closed", batch=row.number, entries=row.last_idx + 1 - row.first_idx, size=row.last_idx + 1)

    def rejected(self, what: str, count: int = 1) -> None:
        """A stranger was turned away: by the rate, or a limit."""
        self._tell("turned away", what, count, at_least=_FLOOD)

    def _tell(self, event: str, why: str, count: int, *, at_least: int = 1) -> None:
        name = f"{event} {why}"
        self._untold[name] += count
        now = monotonic()
        if self._untold[name] >= at_least and now - self._told.get(name, -_EVERY_S) >= _EVERY_S:
            self._told[name] = now
            _log.warning(event, why=why, count=self._untold.pop(name))

    # --- What /health asks --------------------------------------------------------------------------------------------

    def silent(self, registry: Registry, now: int) -> Iterator[Meter]:
        """Meters with a key that were not heard of for three times their record interval and ten minutes."""
        for path, meter in registry.meters.items():
            last = max(self._heard.get(path, 0), self._since_s, meter.valid_from_s)
            if meter.kids and now - last > 3 * meter.record_interval_s + _SILENT_S and _may_send(registry, meter, now):
                yield meter

    def quarantine(self, read: Read) -> tuple[int, int | None]:
        """How many quarantine entries wait for a decision, MOST_WAITING at most, and since when the oldest does."""
        with self._lock:
            after = self._decided_up_to
        waiting, oldest = 0, None
        while waiting < MOST_WAITING and (rows := read.entries_of_schema(QUARANTINE, after, MOST_WAITING)):
            for row in rows:
                after = row.idx
                if decision_of(read, row.entry_id) is None:
                    waiting += 1
                    oldest = row.received_s if oldest is None else oldest
                elif not waiting:
                    with self._lock:
                        self._decided_up_to = max(self._decided_up_to, row.idx)
        return min(waiting, MOST_WAITING), oldest


def _may_send(registry: Registry, meter: Meter, now: int) -> bool:
    keys = (registry.keys.get(kid) for kid in meter.kids)
    return any(key is not None and key.valid_at(now) for key in keys)
