from __future__ import annotations

from itertools import pairwise

import pytest

from wattseal.core.reading import (
    Reading,
    is_successor,
    load_public_key,
    parse_envelope,
    parse_payload,
    signature_is_good,
)
from wattseal.core.registry import parse_device_key, parse_meter
from wattseal.simulate.fleet import Place, SimulatedMeter
from wattseal.simulate.shape import HOUSEHOLD, LEVEL, SHOP, WORKSHOP, Load, Prosumer, Shape, Solar
from wattseal.simulate.sites import KW, uniform_fleet

DAY = 86_400
SINCE = 1_750_032_000  # Monday, 16 June 2025, midnight UTC


def made(role: str, rated_kw: int, shape: Shape) -> SimulatedMeter:
    return SimulatedMeter(Place("s", "d", "m", role, rated_power_mw=rated_kw * KW), shape, "seed", SINCE)


def house() -> SimulatedMeter:
    return made("main", 15, Prosumer(Load(6 * KW, HOUSEHOLD, 21), Solar(9 * KW, 22)))


SOME = {
    "workshop": made("sub", 90, Load(70 * KW, WORKSHOP, 2, weekend_per_mille=100)),
    "rack": made("consumption", 12, Load(8 * KW, LEVEL, 11)),
    "shop": made("main", 30, Load(22 * KW, SHOP, 31)),
    "house": house(),
    "panels": made("production", 500, Solar(400 * KW, 41)),
}


def fields(cose: bytes) -> Reading:
    return parse_payload(parse_envelope(cose).payload)


def test_readings_are_signed_and_chained() -> None:
    source = uniform_fleet(1, SINCE, 60)[0]
    items = [source.read(SINCE + 60 * place) for place in range(3)]
    source.reboot()
    items += [source.read(SINCE + 60 * place) for place in range(3, 6)]
    key = load_public_key(source.element.public_key)
    for item in items:
        assert signature_is_good(parse_envelope(item), key)
        assert parse_envelope(item).kid == source.element.kid
    for before, after in pairwise(items):
        place = fields(before)
        assert is_successor(fields(after), place.epoch, place.seq, parse_envelope(before).digest)
        assert fields(after).import_mwh >= place.import_mwh
    assert [(fields(item).epoch, fields(item).seq) for item in items[2:4]] == [(0, 2), (1, 0)]


def test_the_same_seed_is_the_same_fleet() -> None:
    one, two = (uniform_fleet(2, SINCE, 60) for _ in range(2))
    assert [parse_envelope(meter.read(SINCE + 60)).payload for meter in one] == [
        parse_envelope(meter.read(SINCE + 60)).payload for meter in two
    ]
    assert one[0].element.kid != one[1].element.kid


def test_registers_do_not_depend_on_when_they_are_read() -> None:
    often, seldom = house(), house()
    for time_s in range(SINCE + 17, SINCE + DAY // 2, 613):
        often.read(time_s)
    last = [fields(meter.read(SINCE + DAY)) for meter in (often, seldom)]
    assert (last[0].import_mwh, last[0].export_mwh) == (last[1].import_mwh, last[1].export_mwh)


def test_readings_lie_on_their_grid() -> None:
    source = uniform_fleet(1, SINCE, 60)[0]
    times = [fields(item).time_s for item in source.readings(SINCE + 1, SINCE + 901, 300)]
    assert times == [SINCE + 300, SINCE + 600, SINCE + 900]


@pytest.mark.parametrize("source", SOME.values(), ids=SOME)
def test_a_day_looks_like_a_day(source: SimulatedMeter) -> None:
    assert parse_meter(source.meter(SINCE).body()) == source.meter(SINCE)
    assert parse_device_key(source.device_key(SINCE).body()).simulated
    readings = [fields(item) for item in source.readings(SINCE, SINCE + DAY + 1, 3_600)]
    used = readings[-1].import_mwh - readings[0].import_mwh
    given = readings[-1].export_mwh - readings[0].export_mwh
    rated = source.place.rated_power_mw or 0
    hours = [
        after.import_mwh + after.export_mwh - before.import_mwh - before.export_mwh
        for before, after in pairwise(readings)
    ]
    assert max(hours) <= rated
    assert max(hours) > rated // 5
    if source.place.role == "production":
        assert given > 20 * used
        assert readings[2].export_mwh == readings[0].export_mwh  # the night
        assert hours.index(max(hours)) in range(9, 15)
    else:
        assert used > 0
