"""A simulated meter that can go on where an earlier process left it."""

from __future__ import annotations

from collections.abc import Sequence

from wattseal.simulate.fleet import SimulatedMeter
from wattseal.simulate.shape import Shape


class DemoMeter(SimulatedMeter):
    """Its registers follow from the time alone; where its chain stands, the log knows."""

    def resume(self, epoch: int, digest: bytes) -> None:
        """Go on after the reading with that payload digest: as after a loss of power, in the next epoch."""
        self._epoch = epoch
        self._prev = digest
        self.reboot()


class Together:
    """What a main meter counts: all that stands behind it. Power in mW at a Unix time."""

    def __init__(self, parts: Sequence[Shape]) -> None:
        self._parts = tuple(parts)

    def import_mw(self, time_s: int) -> int:
        """Power drawn from the grid, what is made behind the meter subtracted."""
        return max(self._net(time_s), 0)

    def export_mw(self, time_s: int) -> int:
        """Power given to the grid."""
        return max(-self._net(time_s), 0)

    def _net(self, time_s: int) -> int:
        return sum(part.import_mw(time_s) - part.export_mw(time_s) for part in self._parts)
