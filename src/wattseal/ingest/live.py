"""Live values: what each admitted reading or interval says now, for whoever listens; apart from the log.

A listener is owed the newest value of each meter, not every value: what a slow one has not taken yet is replaced. So a
listener's memory is bounded by the number of meters. Nothing here is kept, and nothing is done while nobody listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from wattseal.core.reading import parse_envelope
from wattseal.core.reading_fast import parse_fields
from wattseal.core.units import average_power_mw
from wattseal.ingest.admission import Examined
from wattseal.ingest.arrival import Arrival
from wattseal.ingest.chain import ADMITTED
from wattseal.ingest.receipt import Receipt
from wattseal.ingest.registry import Registry
from wattseal.ingest.reported import Reported

MAX_LISTENERS: Final = 100
"""With a token; and as many without one."""
MAX_OF_ADDRESS: Final = 8
"""From one address without a token."""
_POWER: Final = 8
"""Where parse_fields has the active power."""

Wanted = Callable[[str], bool]
"""Whether a listener is to see the values of a meter, by its path; asked for each value, for rights may change."""


class LiveReading(NamedTuple):
    """What a meter showed at an instant: registers in mWh, active power in mW."""

    path: str
    time_s: int
    power_mw: int
    import_mwh: int
    export_mwh: int


class LiveInterval(NamedTuple):
    """What was reported of an interval; `time_s` is its end."""

    path: str
    time_s: int
    start_s: int
    energy_mwh: int
    export_mwh: int

    @property
    def power_mw(self) -> int:
        """Its average power."""
        return average_power_mw(self.energy_mwh, self.time_s - self.start_s)


LiveValue = LiveReading | LiveInterval


def live_reading(path: str, cose: bytes) -> LiveReading:
    """What a reading that was admitted says."""
    fields = parse_fields(parse_envelope(cose).payload)
    _, _, _, _, time_s, _, imported, exported, power, *_ = fields
    return LiveReading(path, time_s, power, imported, exported)


class Listener:
    """One who listens; it belongs to the event loop."""

    def __init__(self, wanted: Wanted, stranger: str | None) -> None:
        self.wanted = wanted
        self.stranger = stranger
        self._waiting: dict[str, LiveValue] = {}
        self._is_there = asyncio.Event()
        self.is_closed = False

    def put(self, value: LiveValue) -> None:
        """Leave a value, unless a newer one of its meter waits already."""
        waiting = self._waiting.get(value.path)
        if waiting is None or waiting.time_s <= value.time_s:
            self._waiting[value.path] = value
            self._is_there.set()

    async def take(self, timeout_s: int) -> list[LiveValue]:
        """All that waits, as soon as something does; nothing after that time, or once closed."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_there.wait()
        except TimeoutError:
            return []
        if not self.is_closed:
            self._is_there.clear()
        values, self._waiting = list(self._waiting.values()), {}
        return values

    def close(self) -> None:
        """Let `take` return at once from now on."""
        self.is_closed = True
        self._is_there.set()


class Live:
    """All listeners of a site; it belongs to the event loop."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._listeners)

    def is_full(self, stranger: str | None) -> bool:
        """Whether no more may listen: of those with a token (None), or of strangers, by their address.

        Apart, so that no stranger keeps an operator or a tenant out.
        """
        alike = [one for one in self._listeners if (one.stranger is None) == (stranger is None)]
        of_address = 0 if stranger is None else sum(one.stranger == stranger for one in alike)
        return self._is_closed or len(alike) >= MAX_LISTENERS or of_address >= MAX_OF_ADDRESS

    def listen(self, wanted: Wanted, stranger: str | None = None) -> Listener:
        """Begin to listen; end it with `leave`. Look at `is_full` first."""
        listener = Listener(wanted, stranger)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Listen no more."""
        self._listeners.discard(listener)

    def close(self) -> None:
        """The server stops: let every listener end."""
        self._is_closed = True
        for listener in self._listeners:
            listener.close()

    def readings(
        self, items: Sequence[bytes], examined: Sequence[Examined], receipts: Sequence[Receipt], registry: Registry
    ) -> None:
        """Tell of one request's readings, after they are durable."""
        for item, found, receipt in zip(items, examined, receipts, strict=True):
            if receipt.outcome == ADMITTED and isinstance(found, Arrival):
                meter = registry.meter_of(found.kid, found.meter_id)
                if meter is not None:
                    self._tell(meter.path, partial(live_reading, meter.path, item))

    def intervals(self, items: Sequence[Reported], receipts: Sequence[Receipt]) -> None:
        """Tell of one request's intervals, after they are durable."""
        for item, receipt in zip(items, receipts, strict=True):
            if receipt.outcome == ADMITTED:
                said = item.interval
                path = "/".join(item.path)
                values = (path, said.end_s, said.start_s, said.energy_mwh, said.export_mwh)
                self._tell(path, partial(LiveInterval, *values))

    def _tell(self, path: str, value_of: Callable[[], LiveValue]) -> None:
        """A value is made only where somebody wants it."""
        value: LiveValue | None = None
        for listener in self._listeners:
            if listener.wanted(path):
                value = value or value_of()
                listener.put(value)
