"""Builds the demonstration's history: hour by hour on a clock of its own, as if the readings had come in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from wattseal.core.refusal import Refusal
from wattseal.core.registry import Tariff
from wattseal.demo.meter import DemoMeter
from wattseal.demo.sites import DemoSite
from wattseal.log.port import Write
from wattseal.serve import OpenSite

DAYS: Final = 3
READING_S: Final = 300
_HOUR_S: Final = 3_600
_BLOCK_S: Final = 600
_FINAL_BLOCKS: Final = 6
_NS: Final = 1_000_000_000
_PAUSE_METER: Final = "robot-fleet/dock-2/charge"
_PAUSE_HOURS_AGO: Final = 25
"""Yesterday, in any zone: so the bundle of that meter's day holds it."""
_PAUSE_FROM_S: Final = 1_200
_PAUSE_S: Final = 1_500


class DemoClock:
    """A clock that is set. Unix seconds in, nanoseconds out, like time.time_ns."""

    def __init__(self, time_s: int) -> None:
        self.time_s = time_s

    def __call__(self) -> int:
        """The time as it is set."""
        return self.time_s * _NS


def first_instant(now_s: int) -> int:
    """Where the history begins: a full hour, so many days before `now_s`."""
    return now_s // _HOUR_S * _HOUR_S - DAYS * 86_400


class DemoHistory:
    """Fills an open site, which must have been opened with `clock`."""

    def __init__(
        self, opened: OpenSite, clock: DemoClock, sites: Sequence[DemoSite], fleet: Sequence[DemoMeter]
    ) -> None:
        self._opened = opened
        self._clock = clock
        self._sites = sites
        self._fleet = fleet

    def build(self, until_s: int, progress: Callable[[int, int | None], None]) -> None:
        """Register everything, then let the clock run from where it stands to `until_s`; `progress` counts hours."""
        begin_s = self._clock.time_s
        self._opened.commit(self._register)
        hours = range(begin_s, until_s, _HOUR_S)
        for done, hour_s in enumerate(hours):
            progress(done, len(hours))
            self._hour(hour_s, min(hour_s + _HOUR_S, until_s), is_paused=done == len(hours) - _PAUSE_HOURS_AGO)
        # One reading more ends the last record.
        self._submit([meter.read(until_s) for meter in self._fleet])
        self._anchor()
        for _ in range(_FINAL_BLOCKS):
            self._mine(self._clock.time_s)
        progress(len(hours), len(hours))

    def _register(self, tx: Write, now_s: int) -> None:
        enrolment = self._opened.site.ingest.enrolment
        for meter in self._fleet:
            enrolment.register_key(tx, now_s, meter.device_key(now_s))
        for meter in self._fleet:
            enrolment.register_meter(tx, now_s, meter.meter(now_s))
        for site in self._sites:
            enrolment.add_tariff(tx, now_s, Tariff(site.tariff_id, 1, site.site_id, site.price_msat, now_s))

    def _hour(self, from_s: int, to_s: int, *, is_paused: bool) -> None:
        """One hour: blocks are found meanwhile, at its end the readings come, a batch closes and is anchored."""
        for time_s in range(from_s + _BLOCK_S, to_s, _BLOCK_S):
            self._clock.time_s = time_s
            self._mine(time_s)
        readings = [data for meter in self._fleet for data in self._readings(meter, from_s, to_s, is_paused=is_paused)]
        self._clock.time_s = to_s
        self._submit(readings)
        self._anchor()

    def _submit(self, readings: list[bytes]) -> None:
        receipts = self._opened.run(self._opened.site.ingest.submit_readings, readings, trusted=True)
        odd = next((receipt for receipt in receipts if receipt.outcome != "admitted"), None)
        if odd is not None:
            raise Refusal("demo", f"a reading was {odd.outcome}: {odd.reason} {odd.detail}")

    def _readings(self, meter: DemoMeter, from_s: int, to_s: int, *, is_paused: bool) -> list[bytes]:
        place = meter.place
        if not is_paused or f"{place.site_id}/{place.iot_device_id}/{place.meter_id}" != _PAUSE_METER:
            return list(meter.readings(from_s, to_s, READING_S))
        # One dock loses its power for a while: the registers bridge that time, and the record says so.
        before = list(meter.readings(from_s, from_s + _PAUSE_FROM_S, READING_S))
        meter.reboot()
        return before + list(meter.readings(from_s + _PAUSE_FROM_S + _PAUSE_S, to_s, READING_S))

    def _anchor(self) -> None:
        batch = self._opened.run(self._opened.site.ingest.flush)
        attestor = self._opened.site.attestor
        if attestor is not None:
            attestor.anchor(batch.number)

    def _mine(self, time_s: int) -> None:
        attestor = self._opened.site.attestor
        if attestor is not None and attestor.can_mine:
            attestor.mine(time_s, 1)
