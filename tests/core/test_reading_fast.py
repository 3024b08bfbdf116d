from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wattseal.core.reading import MAX_POWER_MW, Beacon, Reading, Sample, encode_payload, parse_payload
from wattseal.core.reading_fast import _quick, parse_fields
from wattseal.core.refusal import Refusal
from wattseal.core.units import MAX_REGISTER_MWH, MAX_TIME_S

# Values around each length of a CBOR integer, and around the limits of §2.
EDGES = [0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, MAX_REGISTER_MWH, MAX_REGISTER_MWH + 1, 2**64 - 1]
unsigned = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**64 - 1))
signed = st.one_of(unsigned, unsigned.map(lambda value: -1 - value))
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", fullmatch=True)


def optional(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.one_of(st.none(), strategy)


readings = st.builds(
    Reading,
    serial=st.binary(min_size=0, max_size=33),
    meter_id=st.one_of(names, st.text(max_size=70)),
    epoch=unsigned,
    seq=unsigned,
    time_s=st.one_of(st.sampled_from([MAX_TIME_S, MAX_TIME_S + 1]), unsigned),
    clock=st.integers(0, 4),
    import_mwh=unsigned,
    export_mwh=unsigned,
    power_mw=st.one_of(st.sampled_from([MAX_POWER_MW, -MAX_POWER_MW, MAX_POWER_MW + 1, -MAX_POWER_MW - 1]), signed),
    flags=st.integers(0, 33),
    firmware=st.one_of(st.binary(min_size=8, max_size=8), st.binary(max_size=9)),
    prev=st.one_of(st.binary(min_size=32, max_size=32), st.binary(max_size=33)),
    beacon=optional(st.builds(Beacon, unsigned, st.one_of(st.binary(min_size=8, max_size=8), st.binary(max_size=9)))),
    voltage_mv=optional(st.one_of(st.sampled_from([10**9, 10**9 + 1, -1]), signed)),
    current_ma=optional(st.one_of(st.sampled_from([10**9, -(10**9), 10**9 + 1, -(10**9) - 1]), signed)),
    temperature_mc=optional(st.one_of(st.sampled_from([-273_150, -273_151, 10**6, 10**6 + 1]), signed)),
    profile=st.one_of(st.just(()), st.tuples(st.builds(Sample, unsigned, unsigned, unsigned, signed))),
    source_digest=optional(st.one_of(st.binary(min_size=32, max_size=32), st.binary(max_size=33))),
)
USUAL = Reading(b"\1" * 9, "meter-1", 3, 12_345, 1_760_000_000, 2, 5_123_456_789, 0, -1_234_567, 0, bytes(8), bytes(32))
RICH = Reading(
    b"\1" * 9,
    "meter-1",
    0,
    0,
    1_760_000_000,
    2,
    0,
    2**40,
    500,
    16,
    bytes(8),
    bytes(32),
    Beacon(880_000, bytes(8)),
    230_000,
    -5_000,
    21_000,
    (),
    bytes(32),
)


def strictly(payload: bytes) -> Reading | str:
    try:
        return parse_payload(payload)
    except Refusal as refusal:
        return str(refusal)


def quickly(payload: bytes) -> Reading | str:
    try:
        return Reading(*parse_fields(payload))
    except Refusal as refusal:
        return str(refusal)


@given(readings)
@example(USUAL)
@example(RICH)
def test_it_reads_what_the_strict_parser_reads(reading: Reading) -> None:
    payload = encode_payload(reading)
    assert quickly(payload) == strictly(payload)


@given(st.sampled_from([USUAL, RICH]), st.data())
def test_it_reads_damaged_payloads_as_the_strict_parser(reading: Reading, data: st.DataObject) -> None:
    payload = bytearray(encode_payload(reading))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(payload) - 1))
        match data.draw(st.sampled_from(["flip", "insert", "delete"])):
            case "flip":
                payload[place] = data.draw(st.integers(0, 255))
            case "insert":
                payload.insert(place, data.draw(st.integers(0, 255)))
            case _:
                del payload[place]
    assert quickly(bytes(payload)) == strictly(bytes(payload))


def test_every_single_byte_of_a_payload_counts() -> None:
    for reading in (USUAL, RICH):
        payload = encode_payload(reading)
        for place in range(len(payload)):
            for value in (
                0x00,
                0x17,
                0x18,
                0x19,
                0x1A,
                0x1B,
                0x20,
                0x3B,
                0x40,
                0x57,
                0x58,
                0x60,
                0x78,
                0xAD,
                0xB2,
                0xFF,
            ):
                changed = payload[:place] + bytes((value,)) + payload[place + 1 :]
                assert quickly(changed) == strictly(changed)


@pytest.mark.parametrize("reading", [USUAL, RICH])
def test_the_usual_payloads_go_the_quick_way(reading: Reading) -> None:
    assert _quick(encode_payload(reading)) is not None
