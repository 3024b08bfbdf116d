from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core import second_opinion
from tests.core.record_samples import CLAIMS, KID, LARGEST, REPORTED, START, TYPICAL, samples
from tests.core.refused import outcome, refusal_of
from tests.core.strategies import FUZZ, json_values, records
from wattseal.core import jcs
from wattseal.core.emlog import (
    CHANNELS,
    MAX_AMOUNT_MSAT,
    MAX_AVERAGE_POWER_MW,
    MAX_PRICE_MSAT,
    MAX_RECORD_BYTES,
    STATUSES,
    Record,
    body,
    check,
    parse_body,
)
from wattseal.core.evidence import Evidence
from wattseal.core.refusal import Refusal
from wattseal.core.units import MAX_ENERGY_MWH, MAX_TIME_S, rfc3339


def scaled(units: int | None, decimals: int) -> Decimal | None:
    return None if units is None else Decimal(units).scaleb(-decimals)


def document(record: Record) -> dict[str, Any]:
    """The members of docs/spec/emlog.md §2 to §4, for a general writer."""
    evidence = record.evidence
    claims = {
        name: scaled(value, decimals)
        for name, value, decimals in (
            ("power_kw_avg", evidence.claimed_power_mw, 6),
            ("amount_sats", evidence.claimed_amount_msat, 3),
        )
        if value is not None
    }
    return {
        "schema_version": "emlog-1.1",
        "site_id": record.site_id,
        "iot_device_id": record.iot_device_id,
        "meter_id": record.meter_id,
        "ts_start": rfc3339(record.start_s),
        "ts_end": rfc3339(record.end_s),
        "interval_s": record.end_s - record.start_s,
        "energy_kwh": scaled(record.energy_mwh, 6),
        "export_kwh": scaled(record.export_mwh, 6),
        "power_kw_avg": scaled(record.power_mw, 6),
        "status": record.status,
        "tags": list(record.tags),
        "evidence": {
            "kind": evidence.kind,
            "kid": evidence.kid,
            "epoch": None if evidence.epoch is None else list(evidence.epoch),
            "seq": None if evidence.seq is None else list(evidence.seq),
            "source": evidence.source,
            "claims": claims or None,
        },
        "tx": {
            "unit": "sats",
            "price_sats_per_kwh": scaled(record.price_msat_per_kwh, 3),
            "price_msat_per_kwh": record.price_msat_per_kwh,
            "amount_sats": scaled(record.amount_msat, 3),
            "amount_msat": record.amount_msat,
            "tariff_version": record.tariff_version,
            "channel": record.channel,
            "settlement_status": "pending",
            "ln_invoice_id": None,
            "bitcoin_txid": None,
        },
    }


# --- there and back ---------------------------------------------------------------------------------------------------


@given(records())
@example(TYPICAL)
@example(LARGEST)
def test_a_general_writer_writes_the_same(record: Record) -> None:
    check(record)
    data = body(record)
    assert data == jcs.dumps(document(record))
    assert data == rfc8785.dumps(json.loads(data))
    assert len(data) <= MAX_RECORD_BYTES
    assert second_opinion.record(data)


@given(records())
def test_a_body_is_read_back(record: Record) -> None:
    assert parse_body(body(record)) == record
    assert body(parse_body(body(record))) == body(record)


@pytest.mark.parametrize("name", ["typical", "claims that were not confirmed", "tags that need escapes"])
def test_every_flipped_bit_is_refused_or_another_record(name: str) -> None:
    data = body(next(record for sample, _, record in samples() if sample == name))
    accepted = 0
    for at in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        found = outcome(parse_body, bytes(flipped))
        assert second_opinion.record(bytes(flipped)) is not isinstance(found, Refusal), (at, found)
        if not isinstance(found, Refusal):
            assert body(found) == flipped
            accepted += 1
    assert accepted > 50


@FUZZ
@given(st.binary(max_size=40) | json_values.map(jcs.dumps))
@example(b"{}")
def test_any_bytes_are_a_record_or_refused(data: bytes) -> None:
    assert second_opinion.record(data) is not isinstance(outcome(parse_body, data), Refusal)


@FUZZ
@given(st.sampled_from([TYPICAL, REPORTED, replace(REPORTED, evidence=CLAIMS)]), st.data())
def test_any_value_in_the_place_of_another_is_a_record_or_refused(record: Record, data: st.DataObject) -> None:
    value = document(record)
    holder: Any = value
    name = data.draw(st.sampled_from(sorted(holder)))
    if isinstance(holder[name], dict) and data.draw(st.booleans()):
        holder = holder[name]
        name = data.draw(st.sampled_from(sorted(holder)))
    holder[name] = data.draw(json_values | st.sampled_from(ODD))
    written = outcome(jcs.dumps, value)
    if not isinstance(written, Refusal):
        found = outcome(parse_body, written)
        assert second_opinion.record(written) is not isinstance(found, Refusal), found


ODD: list[Any] = [
    0,
    1,
    True,
    "0",
    "",
    [],
    {},
    [0, 0],
    [1],
    Decimal("0.5"),
    Decimal(10**20),
    -1,
    2**53 - 1,
    KID,
    KID * 2,
    "ok",
    "gap",
]


# --- bounds -----------------------------------------------------------------------------------------------------------

BOUNDS: list[tuple[dict[str, Any], str | None]] = [
    ({"site_id": ""}, "site_id"),
    ({"site_id": "a b"}, "site_id"),
    ({"iot_device_id": "/"}, "iot_device_id"),
    ({"meter_id": "m" * 65}, "meter_id"),
    ({"meter_id": "m" * 64}, None),
    ({"start_s": -1}, "ts_end"),
    ({"start_s": START + 300}, "ts_end"),
    ({"end_s": START}, "ts_end"),
    ({"end_s": START - 1}, "ts_end"),
    ({"end_s": MAX_TIME_S}, None),
    ({"end_s": MAX_TIME_S + 1}, "ts_end"),
    ({"energy_mwh": -1}, "energy_kwh"),
    ({"energy_mwh": MAX_ENERGY_MWH + 1}, "energy_kwh"),
    ({"export_mwh": -1}, "export_kwh"),
    ({"export_mwh": MAX_ENERGY_MWH}, None),
    ({"export_mwh": MAX_ENERGY_MWH + 1}, "export_kwh"),
    ({"status": "good"}, "status"),
    ({"channel": "lightning"}, "tx.channel"),
    ({"tags": ("t",) * 17}, "tags"),
    ({"tags": ("t" * 65,)}, "tags"),
    ({"tags": ("t" * 64,) * 16}, None),
    ({"price_msat_per_kwh": -1}, "tx.price_msat_per_kwh"),
    ({"price_msat_per_kwh": MAX_PRICE_MSAT}, None),
    ({"price_msat_per_kwh": MAX_PRICE_MSAT + 1}, "tx.price_msat_per_kwh"),
    ({"price_msat_per_kwh": None}, "tx.tariff_version"),
    ({"energy_mwh": 999_999_999, "price_msat_per_kwh": MAX_PRICE_MSAT}, None),
    ({"energy_mwh": 10**9, "price_msat_per_kwh": MAX_PRICE_MSAT}, "tx.amount_msat"),
    ({"energy_mwh": MAX_ENERGY_MWH, "end_s": START + 3_600, "price_msat_per_kwh": 0}, None),
    ({"energy_mwh": MAX_ENERGY_MWH, "end_s": START + 3_599, "price_msat_per_kwh": 0}, "power_kw_avg"),
    ({"evidence": Evidence("reported")}, None),
    ({"evidence": Evidence("device")}, "evidence.kid"),
]


@pytest.mark.parametrize(("changes", "field"), BOUNDS, ids=str)
def test_bounds(changes: dict[str, Any], field: str | None) -> None:
    found = outcome(check, replace(TYPICAL, **changes))
    assert (found.field if isinstance(found, Refusal) else None) == field


def test_what_is_computed() -> None:
    assert (TYPICAL.interval_s, TYPICAL.power_mw, TYPICAL.amount_msat) == (300, 148_080_000, 1_234_000)
    assert replace(TYPICAL, price_msat_per_kwh=None).amount_msat is None
    assert MAX_AMOUNT_MSAT == MAX_AVERAGE_POWER_MW == 10**15 - 1


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (("\ud800",), "a text holds half of a surrogate pair"),
        (("\U0001f50c" * 64,) * 16, "make the record longer than 4096 bytes"),
        (("\x01" * 64,) * 16, "make the record longer than 4096 bytes"),
    ],
    ids=["half of a surrogate pair", "four bytes each", "escapes"],
)
def test_tags_that_cannot_be_written(tags: tuple[str, ...], reason: str) -> None:
    refusal = refusal_of(body, replace(TYPICAL, tags=tags))
    assert (refusal.field, refusal.reason) == ("tags", reason)


def test_a_record_of_4096_bytes_is_read() -> None:
    room = MAX_RECORD_BYTES - len(body(replace(TYPICAL, tags=("\x01" * 64,) * 8)))
    tags = [*["\x01" * 64] * 8]
    while room > 67:
        tags.append("t" * 64)
        room -= 67
    record = replace(TYPICAL, tags=tuple(tags)[:15])
    missing = MAX_RECORD_BYTES - len(body(record)) - 3
    record = replace(record, tags=(*record.tags, "\x01" * (missing // 6) + "t" * (missing % 6)))
    assert len(body(record)) == MAX_RECORD_BYTES
    check(record)
    assert parse_body(body(record)) == record


def test_the_words_are_those_of_the_page() -> None:
    assert STATUSES == ("ok", "estimated", "error", "gap")
    assert CHANNELS == ("ln", "onchain", "internal")
