from __future__ import annotations

import hashlib
import json
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest

from tests.core import second_opinion
from tests.core.make_reported_vectors import record_of as reported_record
from tests.core.make_vectors import load
from tests.core.refused import refused
from wattseal.core.emlog import Record, body, check, parse_body
from wattseal.core.evidence import Evidence
from wattseal.core.refusal import Refusal
from wattseal.core.units import (
    average_power_mw,
    divide_half_even,
    kwh_text,
    parse_decimal,
    parse_rfc3339,
    quote_msat,
    sats_text,
)

VECTORS = load("emlog")
NUMBERS = VECTORS["numbers"]


def record_of(fields: dict[str, Any]) -> Record:
    evidence = fields["evidence"]
    pairs = {name: None if evidence[name] is None else tuple(evidence[name]) for name in ("epoch", "seq")}
    return Record(**{**fields, "evidence": Evidence(**{**evidence, **pairs}), "tags": tuple(fields["tags"])})


@pytest.mark.parametrize("case", VECTORS["records"], ids=lambda case: case["name"])
def test_records(case: dict[str, Any]) -> None:
    record, data = record_of(case["fields"]), case["body"].encode()
    check(record)
    assert body(record) == data
    assert parse_body(data) == record
    assert hashlib.sha256(data).hexdigest() == case["sha256"]
    computed = {"interval_s": record.interval_s, "power_mw": record.power_mw, "amount_msat": record.amount_msat}
    assert computed == case["computed"]


@pytest.mark.parametrize("case", VECTORS["records"], ids=lambda case: case["name"])
def test_records_in_the_opinion_of_others(case: dict[str, Any]) -> None:
    assert second_opinion.record(case["body"].encode())
    value, fields = json.loads(case["body"], parse_float=Decimal), case["fields"]
    assert value["energy_kwh"] * 10**6 == fields["energy_mwh"]
    assert value["export_kwh"] * 10**6 == fields["export_mwh"]
    assert value["power_kw_avg"] * 10**6 == case["computed"]["power_mw"]
    assert value["interval_s"] == case["computed"]["interval_s"] == fields["end_s"] - fields["start_s"]
    assert value["tx"]["amount_msat"] == case["computed"]["amount_msat"]
    assert value["tags"] == fields["tags"]


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: case["name"])
def test_invalid(case: dict[str, Any]) -> None:
    data = case["body"].encode() if "body" in case else bytes.fromhex(case["body_hex"])
    assert refused(parse_body, data) == {"field": case["field"], "reason": case["reason"]}
    assert not second_opinion.record(data)


@pytest.mark.parametrize("case", VECTORS["reported"], ids=lambda case: case["name"])
def test_reported(case: dict[str, Any]) -> None:
    tariff = case["tariff"] and (case["tariff"]["price_msat_per_kwh"], case["tariff"]["tariff_version"])
    data = case["body"].encode()
    assert body(reported_record(case["raw"].encode(), tariff)) == data
    assert parse_body(data).evidence.kind == "reported"
    assert second_opinion.record(data)
    said, record = json.loads(case["raw"], parse_float=Decimal), json.loads(data, parse_float=Decimal)
    assert record["energy_kwh"] == said["energy_kwh"]
    claim, power = said.get("power_kw_avg"), record["power_kw_avg"]
    if claim is not None:
        exponent = Decimal(claim).as_tuple().exponent
        assert isinstance(exponent, int)
        places = max(0, -exponent)
        agrees = Decimal(claim) == Decimal(power).quantize(Decimal(10) ** -places, ROUND_HALF_EVEN)
        assert (record["evidence"]["claims"] or {}).get("power_kw_avg") == (None if agrees else claim)


def test_the_published_example() -> None:
    example = json.loads(VECTORS["reported"][0]["body"], parse_float=Decimal)
    assert (example["energy_kwh"], example["interval_s"]) == (Decimal("12.34"), 300)
    assert example["power_kw_avg"] == Decimal("12.34") * 3_600 / 300 == Decimal("148.08")
    assert example["evidence"]["claims"] == {"power_kw_avg": Decimal("2.47")}


@pytest.mark.parametrize("case", VECTORS["reported_invalid"], ids=lambda case: case["name"])
def test_reported_invalid(case: dict[str, Any]) -> None:
    assert refused(reported_record, case["raw"].encode()) == {"field": case["field"], "reason": case["reason"]}


def test_numbers_as_text() -> None:
    for case in NUMBERS["kwh"]:
        assert case["text"] == kwh_text(case["mwh"])
        assert Decimal(case["text"]) * 10**6 == case["mwh"]
    for case in NUMBERS["sats"]:
        assert case["text"] == sats_text(case["msat"])
        assert Decimal(case["text"]) * 1_000 == case["msat"]
    for case in NUMBERS["decimals"]:
        assert parse_decimal(case["text"], case["decimals"], "text") == case["units"]
        assert Decimal(case["text"]) * 10 ** case["decimals"] == case["units"]
    for case in NUMBERS["bad_decimals"]:
        with pytest.raises(Refusal, match=f"^{case['field']}: "):
            parse_decimal(case["text"], case["decimals"], "text")


def test_numbers_that_are_rounded() -> None:
    for case in NUMBERS["half_even"]:
        top, bottom = int(case["numerator"]), int(case["denominator"])
        assert divide_half_even(top, bottom) == int(case["quotient"]) == round(Fraction(top, bottom))
    with localcontext(Context(prec=80)):
        for case in NUMBERS["power"]:
            exact = Decimal(case["energy_mwh"]) * 3_600 / case["interval_s"]
            assert exact.quantize(Decimal(1), ROUND_HALF_EVEN) == case["power_mw"]
            assert average_power_mw(case["energy_mwh"], case["interval_s"]) == case["power_mw"]
        for case in NUMBERS["quotes"]:
            exact = Decimal(case["energy_mwh"]) * case["price_msat_per_kwh"] / 10**6
            assert exact.quantize(Decimal(1), ROUND_HALF_EVEN) == case["amount_msat"]
            assert quote_msat(case["energy_mwh"], case["price_msat_per_kwh"]) == case["amount_msat"]


def test_times() -> None:
    from datetime import datetime

    for case in NUMBERS["times"]:
        assert parse_rfc3339(case["text"], "text") == case["time_s"]
        assert datetime.fromisoformat(case["text"].upper()).timestamp() == case["time_s"]
    for case in NUMBERS["bad_times"]:
        with pytest.raises(Refusal, match=f"^{case['field']}: "):
            parse_rfc3339(case["text"], "text")
