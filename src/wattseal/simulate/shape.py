"""Load and sun through the day, in integers: what a simulated meter counts. Time and seed give the power."""

from __future__ import annotations

from typing import Final, Protocol

DAY_S: Final = 86_400
YEAR_S: Final = 31_557_600
_SPRING_S: Final = 6_825_600
"""20 March, about: where the day is as long as the night, in seconds of the year."""
_MIX: Final = 0x9E3779B97F4A7C15
_MASK: Final = 2**64 - 1

# Per mille of the peak at each full hour: a household, a workshop, a shop, machines that never sleep.
HOUSEHOLD: Final = (
    *(180, 150, 140, 135, 140, 180, 420, 620, 480, 360, 330, 380),
    *(520, 440, 340, 320, 380, 560, 850, 1000, 930, 720, 460, 270),
)
WORKSHOP: Final = (
    *(90, 90, 90, 90, 95, 180, 620, 940, 1000, 990, 960, 900),
    *(620, 930, 980, 960, 900, 620, 300, 160, 120, 100, 95, 90),
)
SHOP: Final = (
    *(220, 215, 215, 215, 220, 240, 320, 520, 780, 880, 920, 960),
    *(1000, 980, 960, 950, 950, 970, 900, 640, 380, 270, 240, 225),
)
LEVEL: Final = (900,) * 24


def noise(seed: int, step: int) -> int:
    """0 to 999, the same for the same arguments (the finaliser of SplitMix64)."""
    mixed = (seed * _MIX + step * 0xD1B54A32D192ED03) & _MASK
    mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & _MASK
    return (mixed ^ mixed >> 31) % 1_000


def parabola(place: int, width: int) -> int:
    """0 to 1,000 over a width: zero at both ends, 1,000 in the middle, zero outside."""
    if not 0 < place < width:
        return 0
    return 4_000 * place * (width - place) // (width * width)


def wave(time_s: int, period_s: int) -> int:
    """-1,000 to 1,000, like a sine made of two parabolas; zero and rising at 0."""
    place = time_s % period_s
    half = period_s // 2
    return parabola(place, half) if place < half else -parabola(place - half, half)


class Shape(Protocol):
    """What a meter counts: power in mW at a Unix time, both at least 0."""

    def import_mw(self, time_s: int) -> int:
        """Power drawn from the grid."""

    def export_mw(self, time_s: int) -> int:
        """Power given to the grid."""


class Load:
    """A consumer: a curve over the day, quieter at the weekend, with a wobble of each quarter of an hour."""

    def __init__(self, peak_mw: int, curve: tuple[int, ...], seed: int, *, weekend_per_mille: int = 800) -> None:
        self._peak_mw = peak_mw
        self._curve = curve
        self._seed = seed
        self._weekend = weekend_per_mille

    def import_mw(self, time_s: int) -> int:
        """Power drawn from the grid."""
        hour, rest = divmod(time_s % DAY_S, 3_600)
        now, then = self._curve[hour], self._curve[(hour + 1) % 24]
        level = now * 3_600 + (then - now) * rest
        weekday = (time_s // DAY_S + 3) % 7  # 1 January 1970 was a Thursday; 0 is Monday
        level = level * (self._weekend if weekday >= 5 else 1_000) // 3_600
        wobble = 850 + 3 * noise(self._seed, time_s // 900) // 10 + noise(self._seed + 1, time_s // 60) // 20
        return self._peak_mw * level * wobble // 10**9

    def export_mw(self, time_s: int) -> int:
        """Nothing."""
        del time_s
        return 0


class Solar:
    """Photovoltaic panels: sunrise and sunset move with the season, clouds with the quarter of an hour."""

    def __init__(self, peak_mw: int, seed: int) -> None:
        self._peak_mw = peak_mw
        self._seed = seed

    def import_mw(self, time_s: int) -> int:
        """What the inverter draws at night."""
        return 0 if self.export_mw(time_s) else 2_000

    def export_mw(self, time_s: int) -> int:
        """Power given to the grid."""
        season = wave(time_s - _SPRING_S, YEAR_S)
        daylight_s = 12 * 3_600 + 4 * 3_600 * season // 1_000
        height = parabola(time_s % DAY_S - (DAY_S - daylight_s) // 2, daylight_s)
        strength = 700 + 300 * season // 1_000
        overcast = noise(self._seed, time_s // DAY_S) % 4  # of four days, one is dull
        clouds = 1_000 - noise(self._seed + 1, time_s // 900) * (3 if overcast == 0 else 1) // 5
        return self._peak_mw * height * strength * clouds // 10**9


class Prosumer:
    """A house with panels behind one meter: only the difference crosses it."""

    def __init__(self, load: Load, solar: Solar) -> None:
        self._load = load
        self._solar = solar

    def import_mw(self, time_s: int) -> int:
        """Power drawn from the grid."""
        return max(self._load.import_mw(time_s) - self._solar.export_mw(time_s), 0)

    def export_mw(self, time_s: int) -> int:
        """Power given to the grid."""
        return max(self._solar.export_mw(time_s) - self._load.import_mw(time_s), 0)
