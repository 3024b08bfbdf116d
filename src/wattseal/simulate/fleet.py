"""Simulated meters with real chains: epoch, seq, prev, registers. Pure: times are arguments, seeds give the keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wattseal.core.reading import Reading, encode_payload
from wattseal.core.registry import DeviceKey, Meter
from wattseal.simulate.element import SimulatedElement
from wattseal.simulate.shape import Shape

_FIRMWARE: Final = b"simulate"
_NTP: Final = 2
_STEP_S: Final = 60
"""Registers are the sum of the power at so many seconds each, so that they do not depend on when they are read."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a simulated meter stands, and what it is for. Power in mW."""

    site_id: str
    iot_device_id: str
    meter_id: str
    role: str = "consumption"
    zone: str = "UTC"
    record_interval_s: int = 300
    rated_power_mw: int | None = None
    disclosed: bool = True


class SimulatedMeter:
    """One meter with a secure element of its own. Readings come in order of time; each continues the chain.

    Registers in mWh; they begin at `import_mwh` and `export_mwh` at the Unix time `since_s`.
    """

    def __init__(
        self, place: Place, shape: Shape, seed: str, since_s: int, *, import_mwh: int = 0, export_mwh: int = 0
    ) -> None:
        self.place = place
        self.element = SimulatedElement(seed.encode())
        self._shape = shape
        self._counted_s = since_s
        # In mW seconds, of which 3,600 make a mWh: a register shows whole mWh and loses nothing.
        self._import = import_mwh * 3_600
        self._export = export_mwh * 3_600
        self._epoch = 0
        self._seq = 0
        self._prev = hashlib.sha256(b"first" + seed.encode()).digest()

    def device_key(self, valid_from_s: int) -> DeviceKey:
        """The registry entry of the meter's key."""
        return self.element.device_key(self.place.site_id, self.place.iot_device_id, valid_from_s)

    def meter(self, valid_from_s: int) -> Meter:
        """The registry entry of the meter."""
        place = self.place
        return Meter(
            place.site_id,
            place.iot_device_id,
            place.meter_id,
            place.role,
            (self.element.kid,),
            place.record_interval_s,
            place.zone,
            valid_from_s,
            place.rated_power_mw,
            place.disclosed,
        )

    def read(self, time_s: int) -> bytes:
        """The meter's next signed reading, taken at a Unix time after the last one's."""
        self._count_to(time_s)
        power_mw = self._shape.import_mw(time_s) - self._shape.export_mw(time_s)
        reading = Reading(
            self.element.serial,
            self.place.meter_id,
            self._epoch,
            self._seq,
            time_s,
            _NTP,
            self._import // 3_600,
            self._export // 3_600,
            power_mw,
            0,
            _FIRMWARE,
            self._prev,
        )
        payload = encode_payload(reading)
        self._seq += 1
        self._prev = hashlib.sha256(payload).digest()
        return self.element.sign(payload)

    def reboot(self) -> None:
        """Begin the next epoch, as a device does that lost its power. The registers go on."""
        self._epoch += 1
        self._seq = 0

    def readings(self, from_s: int, to_s: int, every_s: int) -> Iterator[bytes]:
        """Signed readings at the multiples of `every_s` in the half-open time [from_s, to_s)."""
        for time_s in range(-(-from_s // every_s) * every_s, to_s, every_s):
            yield self.read(time_s)

    def _count_to(self, time_s: int) -> None:
        while self._counted_s < time_s:
            end_s = min((self._counted_s // _STEP_S + 1) * _STEP_S, time_s)
            middle_s = self._counted_s // _STEP_S * _STEP_S
            seconds = end_s - self._counted_s
            self._import += self._shape.import_mw(middle_s) * seconds
            self._export += self._shape.export_mw(middle_s) * seconds
            self._counted_s = end_s
