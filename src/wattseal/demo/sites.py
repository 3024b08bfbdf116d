"""The five sites of the demonstration: who meters what there, at which price. All of it is invented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wattseal.demo.meter import DemoMeter, Together
from wattseal.simulate.fleet import Place
from wattseal.simulate.shape import HOUSEHOLD, LEVEL, WORKSHOP, Load, Prosumer, Shape, Solar

_KW: Final = 1_000_000
"""In mW."""

# Per mille of the peak at each full hour (UTC), as in simulate/shape.py.
OVERNIGHT: Final = (
    *(950, 900, 820, 700, 560, 380, 160, 60, 40, 50, 90, 140),
    *(180, 150, 90, 60, 80, 180, 420, 680, 860, 960, 1000, 980),
)
SHIFTS: Final = (
    *(120, 900, 140, 880, 130, 910, 300, 940, 420, 1000, 380, 960),
    *(400, 980, 390, 970, 360, 930, 280, 900, 180, 880, 140, 890),
)


@dataclass(frozen=True, slots=True)
class DemoMeterRow:
    """One meter of the demonstration. `name` is for people and says what it stands for."""

    device_id: str
    meter_id: str
    name: str
    role: str
    rated_kw: int
    shape: Shape


@dataclass(frozen=True, slots=True)
class DemoSite:
    """One site: price in msat per kWh, by a flat tariff."""

    site_id: str
    name: str
    zone: str
    tariff_id: str
    price_msat: int
    rows: tuple[DemoMeterRow, ...]

    def fleet(self, since_s: int, seed: str) -> list[DemoMeter]:
        """Its meters, whose registers begin to count at a Unix time; the same for the same arguments."""
        return [
            DemoMeter(
                Place(
                    self.site_id,
                    row.device_id,
                    row.meter_id,
                    row.role,
                    self.zone,
                    rated_power_mw=row.rated_kw * _KW,
                ),
                row.shape,
                f"{seed}/{self.site_id}/{row.device_id}/{row.meter_id}",
                since_s,
                import_mwh=12_345_678 * (place + 1),
            )
            for place, row in enumerate(self.rows)
        ]


def _behind(main: tuple[str, str, str, int], base_kw: int, rows: tuple[DemoMeterRow, ...]) -> tuple[DemoMeterRow, ...]:
    """A main meter (device, meter, name, rated kW) over sub-meters and a base load that nobody meters."""
    device_id, meter_id, name, rated_kw = main
    shape = Together([row.shape for row in rows] + [Load(base_kw * _KW, LEVEL, 7)])
    return (DemoMeterRow(device_id, meter_id, name, "main", rated_kw, shape), *rows)


def _factory() -> tuple[DemoMeterRow, ...]:
    rows = (
        DemoMeterRow(
            "hall-1", "press", "Stamping press", "sub", 90, Load(70 * _KW, WORKSHOP, 2, weekend_per_mille=150)
        ),
        DemoMeterRow("hall-1", "air", "Compressed air", "sub", 40, Load(26 * _KW, WORKSHOP, 3, weekend_per_mille=300)),
        DemoMeterRow("hall-2", "oven", "Hardening oven", "sub", 60, Load(45 * _KW, LEVEL, 4, weekend_per_mille=400)),
    )
    return _behind(("hall-1", "main", "Grid connection of the factory", 250), 12, rows)


def _data_centre() -> tuple[DemoMeterRow, ...]:
    rows = (
        DemoMeterRow("room-a", "rack-1", "Rack of tenant A", "sub", 12, Load(8 * _KW, LEVEL, 11)),
        DemoMeterRow("room-a", "rack-2", "Rack of tenant B", "sub", 12, Load(6 * _KW, LEVEL, 12)),
        DemoMeterRow("room-a", "cooling", "Cooling, shared by both", "sub", 10, Load(5 * _KW, LEVEL, 13)),
    )
    return _behind(("room-a", "feed", "Feed of room A", 40), 1, rows)


def _microgrid() -> tuple[DemoMeterRow, ...]:
    def house(seed: int, load_kw: int, solar_kw: int) -> Shape:
        return Prosumer(Load(load_kw * _KW, HOUSEHOLD, seed, weekend_per_mille=1_100), Solar(solar_kw * _KW, seed + 1))

    return (
        DemoMeterRow("house-1", "grid", "House 1 with panels", "main", 15, house(21, 6, 9)),
        DemoMeterRow("house-2", "grid", "House 2 with panels", "main", 15, house(23, 5, 7)),
        DemoMeterRow("house-3", "grid", "House 3", "main", 15, Load(6 * _KW, HOUSEHOLD, 25, weekend_per_mille=1_100)),
        DemoMeterRow("roof", "panels", "Panels on the shared roof", "production", 40, Solar(30 * _KW, 27)),
    )


def _depot() -> tuple[DemoMeterRow, ...]:
    rows = tuple(
        DemoMeterRow(
            f"post-{number}", "charger", f"Charging post {number}", "sub", 22, Load(17 * _KW, OVERNIGHT, 40 + number)
        )
        for number in (1, 2, 3)
    )
    return _behind(("yard", "main", "Grid connection of the depot", 80), 2, rows)


def _robots() -> tuple[DemoMeterRow, ...]:
    rows = tuple(
        DemoMeterRow(f"dock-{number}", "charge", f"Robots' dock {number}", "sub", 5, Load(3 * _KW, SHIFTS, 60 + number))
        for number in (1, 2, 3)
    )
    return _behind(("aisle", "main", "Feed of the docks", 20), 1, rows)


def demo_sites() -> tuple[DemoSite, ...]:
    """All five."""
    return (
        DemoSite("factory", "A factory that allocates its cost", "Europe/Zurich", "plant", 118_000, _factory()),
        DemoSite("datacentre", "A data centre that bills tenants", "Europe/Berlin", "rack", 152_000, _data_centre()),
        DemoSite("microgrid", "Neighbours who share a roof", "Europe/Madrid", "street", 96_500, _microgrid()),
        DemoSite("ev-depot", "A depot of electric vans", "America/El_Salvador", "charge", 134_250, _depot()),
        DemoSite("robot-fleet", "Robots that pay by themselves", "Asia/Tokyo", "dock", 141_000, _robots()),
    )
