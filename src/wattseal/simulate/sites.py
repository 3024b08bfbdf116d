"""Sites of simulated meters, ready made."""

from __future__ import annotations

from typing import Final

from wattseal.simulate.fleet import Place, SimulatedMeter
from wattseal.simulate.shape import HOUSEHOLD, Load

KW: Final = 1_000_000
"""In mW."""


def uniform_fleet(count: int, since_s: int, record_interval_s: int, seed: str = "uniform") -> list[SimulatedMeter]:
    """Many households on one site, each with a device of its own: for benchmarks and tests."""
    return [
        SimulatedMeter(
            Place("fleet", f"device-{number}", "main", record_interval_s=record_interval_s, rated_power_mw=20 * KW),
            Load(6 * KW, HOUSEHOLD, number),
            f"{seed}/{number}",
            since_s,
            import_mwh=1_000_000 * number,
        )
        for number in range(count)
    ]
