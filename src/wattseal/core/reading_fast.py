"""A quick way through the payloads that devices usually send (docs/spec/reading.md §2), thousands a second.

It accepts nothing that `parse_payload` refuses: one expression matches only the canonical encoding of the common
fields. Whatever it does not match (a profile, a long serial, any fault) goes the strict way, which names the fault.
"""

from __future__ import annotations

import re
from dataclasses import fields
from operator import attrgetter
from typing import Final, TypeAlias

from wattseal.core.reading import MAX_POWER_MW, Beacon, Reading, Sample, parse_payload
from wattseal.core.units import MAX_REGISTER_MWH, MAX_TIME_S

Options: TypeAlias = tuple[Beacon | None, int | None, int | None, int | None, tuple[Sample, ...], bytes | None]
Fields: TypeAlias = tuple[bytes, str, int, int, int, int, int, int, int, int, bytes, bytes, *Options]
"""The values of a Reading's fields in their order: `Reading(*fields)` is the reading."""

_MAX_VOLTAGE_MV: Final = 10**9
_MAX_CURRENT_MA: Final = 10**9
_MIN_TEMPERATURE_MC: Final = -273_150
_MAX_TEMPERATURE_MC: Final = 10**6

_fields_of = attrgetter(*(field.name for field in fields(Reading)))

# CBOR integers in their shortest form, which is what each look-ahead sees to: up to 32 bits, up to 64, and with a sign.
_U32 = rb"([\x00-\x17]|\x1a(?!\0\0).{4}|\x19(?!\0)..|\x18[\x18-\xff])"
_U64 = rb"(\x1a(?!\0\0).{4}|\x1b(?!\0{4}).{8}|[\x00-\x17]|\x19(?!\0)..|\x18[\x18-\xff])"
_I64 = (
    rb"([\x1a\x3a](?!\0\0).{4}|[\x19\x39](?!\0)..|[\x00-\x17\x20-\x37]|[\x18\x38][\x18-\xff]|[\x1b\x3b](?!\0{4}).{8})"
)
_REST = re.compile(
    rb"\x03([\x61-\x77]|\x78[\x18-\x40])([A-Za-z0-9][A-Za-z0-9._:-]{0,63})"  # the length is compared below
    rb"\x04" + _U32 + rb"\x05" + _U32 + rb"\x06" + _U64 + rb"\x07([\x00-\x03])"
    rb"\x08" + _U64 + rb"\x09" + _U64 + rb"\x0a" + _I64 + rb"\x0b([\x00-\x17]|\x18[\x18-\x1f])"
    rb"\x0c\x48(.{8})\x0d\x58\x20(.{32})"
    rb"((?:\x0e\x82" + _U32 + rb"\x48(.{8}))?(?:\x0f" + _U64 + rb")?(?:\x10" + _I64 + rb")?(?:\x11" + _I64 + rb")?"
    rb"(?:\x13\x58\x20(.{32}))?)",
    re.DOTALL,
)
"""Everything after the serial but for key 18. No payload matches in two ways, since every item tells its own length."""

_read = int.from_bytes
_NO_OPTIONS: Options = (None, None, None, None, (), None)


def parse_fields(payload: bytes) -> Fields:
    """The fields of a payload; Refusal("payload.<key>", why) as `parse_payload` gives it."""
    return _quick(payload) or _fields_of(parse_payload(payload))


def _quick(payload: bytes) -> Fields | None:
    if len(payload) < 64 or payload[1:4] != b"\x01\x01\x02":
        return None
    serial_end = payload[4] - 0x40 + 5
    match = _REST.match(payload, serial_end) if 5 < serial_end <= 28 else None
    if match is None or match.end() != len(payload):
        return None
    groups = match.groups()
    head, name, epoch, seq, time, clock, imported, exported, power, flags, firmware, prev, optional = groups[:13]
    # The integer after a head of more than one byte is all that follows it; a head of one byte is its own value.
    time_s, import_mwh, export_mwh, power_mw = (
        _read(time[1:] or time),
        _read(imported[1:] or imported),
        _read(exported[1:] or exported),
        _signed(power),
    )
    if (
        time_s > MAX_TIME_S
        or import_mwh > MAX_REGISTER_MWH
        or export_mwh > MAX_REGISTER_MWH
        or not -MAX_POWER_MW <= power_mw <= MAX_POWER_MW
        or len(name) != (head[1] if len(head) > 1 else head[0] - 0x60)
    ):
        return None
    options = _options(groups[13:]) if optional else _NO_OPTIONS
    if options is None or payload[0] != 0xAD + 5 - options.count(None):
        return None
    return (
        payload[5:serial_end],
        name.decode(),
        _read(epoch[1:] or epoch),
        _read(seq[1:] or seq),
        time_s,
        clock[0],
        import_mwh,
        export_mwh,
        power_mw,
        flags[-1],
        firmware,
        prev,
        *options,
    )


def _signed(item: bytes) -> int:
    magnitude = _read(item[1:] or item)
    if item[0] < 0x20:
        return magnitude
    return -1 - magnitude if len(item) > 1 else 0x1F - magnitude


def _options(groups: tuple[bytes | None, ...]) -> Options | None:
    height, hash8, voltage, current, temperature, source = groups
    voltage_mv = None if voltage is None else _signed(voltage)
    current_ma = None if current is None else _signed(current)
    temperature_mc = None if temperature is None else _signed(temperature)
    if (
        (voltage_mv is not None and not 0 <= voltage_mv <= _MAX_VOLTAGE_MV)
        or (current_ma is not None and not -_MAX_CURRENT_MA <= current_ma <= _MAX_CURRENT_MA)
        or (temperature_mc is not None and not _MIN_TEMPERATURE_MC <= temperature_mc <= _MAX_TEMPERATURE_MC)
    ):
        return None
    beacon = None if height is None or hash8 is None else Beacon(_read(height[1:] or height), hash8)
    return beacon, voltage_mv, current_ma, temperature_mc, (), source
