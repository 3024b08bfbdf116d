"""How a CSV file of history is to be read: which column is the time, which are whose energy (docs/spec/emlog.md §7)."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, replace
from typing import Final

from wattseal.core import jcs
from wattseal.core.document import Members
from wattseal.core.refusal import Refusal
from wattseal.core.registry import METER_ROLES
from wattseal.core.units import identifier

MAX_MAPPING_BYTES: Final = 32_768
"""Smaller than a body of the log, since the import's statement holds the mapping."""
MAX_METERS: Final = 256
MAX_INTERVAL_S: Final = 86_400
MAX_COLUMNS: Final = 10_000

RFC3339, UNIX = "rfc3339", "unix"
DEFAULT_FORMAT: Final = "%Y-%m-%d %H:%M:%S"

MEAN, ENERGY, REGISTER = "mean", "energy", "register"
UNITS: Final = {
    "kW": (MEAN, 1_000_000),
    "W": (MEAN, 1_000),
    "MWh": (ENERGY, 1_000_000_000),
    "kWh": (ENERGY, 1_000_000),
    "Wh": (ENERGY, 1_000),
    "register-kWh": (REGISTER, 1_000_000),
    "register-Wh": (REGISTER, 1_000),
}
"""What a column holds (mean power of the interval, its energy, or a register), and how many mW or mWh its unit has."""

Column = str | int
"""A column by its name in the header, or by its place (1, 2, …) in a file without one."""


@dataclass(frozen=True, slots=True)
class TimeColumns:
    """Where a row's time stands: at least one column; interval_s where the other end does not follow from it."""

    start: Column | None
    end: Column | None
    form: str = DEFAULT_FORMAT
    interval_s: int | None = None


@dataclass(frozen=True, slots=True)
class MeterColumns:
    """One meter: its columns and unit, and how it is registered if the log does not know it yet."""

    meter_id: str
    imported: Column | None
    exported: Column | None
    unit: str
    negative_is_export: bool = False
    role: str = "consumption"
    record_interval_s: int | None = None

    @property
    def holds(self) -> str:
        """MEAN, ENERGY or REGISTER."""
        return UNITS[self.unit][0]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping, complete with its defaults and the zone (IANA) of times that carry none."""

    time: TimeColumns
    meters: tuple[MeterColumns, ...]
    zone: str = "UTC"
    delimiter: str = ","
    decimal: str = "."
    missing: tuple[str, ...] = ("",)
    header: bool = True

    def json(self) -> jcs.Json:
        """What the import's statement holds, defaults included: it decides about every number that is imported."""
        return {
            "zone": self.zone,
            "delimiter": self.delimiter,
            "decimal": self.decimal,
            "missing": list(self.missing),
            "header": self.header,
            "time": {
                "start": self.time.start,
                "end": self.time.end,
                "format": self.time.form,
                "interval_s": self.time.interval_s,
            },
            "meters": [
                {
                    "meter_id": meter.meter_id,
                    "import": meter.imported,
                    "export": meter.exported,
                    "unit": meter.unit,
                    "negative": "export" if meter.negative_is_export else "refuse",
                    "role": meter.role,
                    "record_interval_s": meter.record_interval_s,
                }
                for meter in self.meters
            ],
        }

    def sha256(self) -> bytes:
        """SHA-256 of the mapping in canonical form (docs/spec/log.md §1.2)."""
        return hashlib.sha256(jcs.dumps(self.json())).digest()

    def in_zone(self, zone: str) -> Mapping:
        """The same for times of another zone."""
        return replace(self, zone=zone)


def open_energy_dashboard(meter_id: str) -> Mapping:
    """The mapping of Open Energy Dashboard's readings: reading in kWh, start time, end time."""
    meter = MeterColumns(identifier(meter_id, "meter"), "reading", None, "kWh")
    return Mapping(TimeColumns("start time", "end time"), (meter,))


class _Table(Members):
    """A TOML table whose members may be left out."""

    def has(self, name: str) -> bool:
        return name in self._rest

    def text_or(self, name: str, default: str, longest: int = 64) -> str:
        return self.text(name, longest) if self.has(name) else default

    def column(self, name: str) -> Column | None:
        if not self.has(name):
            return None
        if isinstance(self._rest[name], str):
            return self.text(name)
        return self.integer(name, 1, MAX_COLUMNS)


def parse_mapping(text: str) -> Mapping:
    """A mapping from its TOML text; Refusal names the first member that is not as docs/tutorial/import.md says."""
    if len(text) > MAX_MAPPING_BYTES:
        raise Refusal("mapping", f"is longer than {MAX_MAPPING_BYTES} characters")
    try:
        table = _Table(tomllib.loads(text, parse_float=_no_float))
    except tomllib.TOMLDecodeError as error:
        raise Refusal("mapping", f"is no TOML: {error}") from None
    table.integer("version", 1, 1)
    mapping = Mapping(
        _time(_Table(table.any("time"), "time")),
        tuple(_meter(item) for item in table.list("meter", MAX_METERS)),
        table.text_or("zone", "UTC"),
        _one_character(table, "delimiter", ","),
        _one_character(table, "decimal", "."),
        tuple(str(item) for item in table.list("missing", 64)) if table.has("missing") else ("",),
        table.boolean("header") if table.has("header") else True,
    )
    table.done()
    _check(mapping)
    return mapping


def _no_float(literal: str) -> object:
    raise Refusal("mapping", f"has no place for the number {literal[:40]}")


def _one_character(table: _Table, name: str, default: str) -> str:
    value = table.text_or(name, default)
    if len(value) != 1 or value in '"\r\n':
        raise Refusal(name, "must be one character")
    return value


def _time(table: _Table) -> TimeColumns:
    times = TimeColumns(
        table.column("start"),
        table.column("end"),
        table.text_or("format", DEFAULT_FORMAT),
        table.integer("interval_s", 1, MAX_INTERVAL_S) if table.has("interval_s") else None,
    )
    table.done()
    return times


def _meter(value: jcs.Json) -> MeterColumns:
    table = _Table(value, "meter")
    meter = MeterColumns(
        table.identifier("meter_id"),
        table.column("import"),
        table.column("export"),
        table.one_of("unit", tuple(UNITS)),
        table.has("negative") and table.one_of("negative", ("refuse", "export")) == "export",
        table.one_of("role", METER_ROLES) if table.has("role") else "consumption",
        table.integer("record_interval_s", 1, MAX_INTERVAL_S) if table.has("record_interval_s") else None,
    )
    table.done()
    return meter


def _check(mapping: Mapping) -> None:
    times, meters = mapping.time, mapping.meters
    if not meters:
        raise Refusal("meter", "must name at least one meter: [[meter]] with meter_id, import or export, and unit")
    if times.start is None and times.end is None:
        raise Refusal("time", "must name the column of the interval's start or of its end")
    if len({meter.meter_id for meter in meters}) != len(meters):
        raise Refusal("meter.meter_id", "names a meter twice")
    if mapping.delimiter == mapping.decimal:
        raise Refusal("decimal", "must differ from the delimiter")
    both = times.start is not None and times.end is not None
    if both and times.interval_s is not None:
        raise Refusal("time.interval_s", "must be left out where both start and end are columns")
    for meter in meters:
        if meter.imported is None and meter.exported is None:
            raise Refusal("meter", f"{meter.meter_id} must name a column: import, export or both")
        if meter.holds != REGISTER and not both and times.interval_s is None:
            raise Refusal("time.interval_s", f"must be given, since {meter.meter_id} has a value per interval")
        if meter.negative_is_export and (meter.exported is not None or meter.holds == REGISTER):
            raise Refusal("meter.negative", f"{meter.meter_id} has an export column or a register of its own")
        columns = [name for name in (times.start, times.end, meter.imported, meter.exported) if name is not None]
        if any(isinstance(name, int) == mapping.header for name in columns):
            raise Refusal("meter", "columns go by name where the file has a header, by number where header = false")
