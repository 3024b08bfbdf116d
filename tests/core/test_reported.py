from __future__ import annotations

import json
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core import second_opinion
from tests.core.make_reported_vectors import METER, PLAIN, WHITE_PAPER, record_of
from tests.core.refused import outcome, refusal_of
from tests.core.strategies import FUZZ, json_values, texts
from wattseal.core import jcs
from wattseal.core.emlog import Record, body, check
from wattseal.core.refusal import Refusal
from wattseal.core.reported import Claim, Interval, parse_interval
from wattseal.core.units import rfc3339

START = 1_764_547_200


def payload(**members: jcs.Json) -> bytes:
    times: dict[str, jcs.Json] = {
        "ts_start": rfc3339(START),
        "ts_end": rfc3339(START + 300),
        "interval_s": 300,
        "energy_kwh": Decimal("12.34"),
    }
    return jcs.dumps(times | members)


def refused_field(**members: jcs.Json) -> str:
    return refusal_of(record_of, payload(**members)).field


# --- records ----------------------------------------------------------------------------------------------------------


@given(
    st.integers(0, 4 * 10**9),
    st.integers(1, 366 * 86_400),
    # Energy so little that even within a second its average power can be written with 15 digits.
    st.integers(0, 277_777_777_777),
    st.integers(0, 10**12),
    st.none() | st.integers(0, 10**6),
    st.sampled_from(("ok", "estimated", "error", "gap")),
    st.lists(texts, max_size=4),
)
def test_a_record_follows_from_an_interval(
    start_s: int, interval_s: int, energy: int, export: int, price: int | None, status: str, tags: list[str]
) -> None:
    raw = jcs.dumps(
        {
            "ts_start": rfc3339(start_s),
            "ts_end": rfc3339(start_s + interval_s),
            "interval_s": interval_s,
            "energy_kwh": Decimal(energy).scaleb(-6),
            "export_kwh": Decimal(export).scaleb(-6),
            "price_sats_per_kwh": None if price is None else Decimal(price).scaleb(-3),
            "status": status,
            "tags": tags,
        }
    )
    record = record_of(raw)
    assert (record.start_s, record.end_s) == (start_s, start_s + interval_s)
    assert (record.energy_mwh, record.export_mwh, record.price_msat_per_kwh) == (energy, export, price)
    assert (record.status, record.tags, record.channel) == (status, tuple(tags), "ln")
    assert record.evidence.claimed_power_mw is None
    assert second_opinion.record(body(record))


@given(st.integers(0, 10**9), st.integers(1, 10**5), st.integers(1 - 10**9, 10**9 - 1), st.integers(0, 6))
def test_a_claim_is_compared_at_its_own_number_of_decimals(
    energy: int, interval_s: int, units: int, written: int
) -> None:
    claim = Decimal(units).scaleb(-written)
    with localcontext(Context(prec=60)):
        power = Decimal(energy) * 3_600 / interval_s / 10**6
        to_mw = power.quantize(Decimal("0.000001"), ROUND_HALF_EVEN)
        agrees = to_mw.quantize(Decimal(10) ** -written, ROUND_HALF_EVEN) == claim
    raw = (
        f'{{"ts_start":"{rfc3339(START)}","ts_end":"{rfc3339(START + interval_s)}","interval_s":{interval_s},'
        f'"energy_kwh":{Decimal(energy).scaleb(-6):f},"power_kw_avg":{claim:f}}}'
    )
    claimed = record_of(raw.encode()).evidence.claimed_power_mw
    assert claimed == (None if agrees else units * 10 ** (6 - written))


@pytest.mark.parametrize(
    ("units", "decimals", "written", "recomputed", "differs"),
    [
        (2_470_000, 6, 2, 148_080_000, True),
        (148_100_000, 6, 1, 148_080_000, False),
        (148_000_000, 6, 0, 148_080_000, False),
        (148_080_000, 6, 9, 148_080_000, False),
        (2_000_000, 6, 0, 2_500_000, False),
        (3_000_000, 6, 0, 2_500_000, True),
        (4_000_000, 6, 0, 3_500_000, False),
        (0, 6, 0, 500_000, False),
    ],
)
def test_claims(units: int, decimals: int, written: int, recomputed: int, differs: bool) -> None:
    assert Claim(units, decimals, written).differs(recomputed) is differs


def test_the_published_example() -> None:
    record = record_of(WHITE_PAPER.encode())
    assert record.power_mw == 148_080_000
    assert record.evidence.claimed_power_mw == 2_470_000
    assert b'"claims":{"power_kw_avg":2.47}' in body(record)
    assert (record.amount_msat, record.tariff_version) == (1_234_000, None)


def test_the_price_of_the_tariff_beats_the_claimed_one() -> None:
    raw = payload(price_sats_per_kwh=90, tx={"amount_sats": Decimal("1110.6")})
    own, quoted = record_of(raw), record_of(raw, (100_000, "flat/1"))
    assert (own.amount_msat, own.tariff_version, own.evidence.claimed_amount_msat) == (1_110_600, None, None)
    assert (quoted.amount_msat, quoted.tariff_version) == (1_234_000, "flat/1")
    assert quoted.evidence.claimed_amount_msat == 1_110_600


def test_a_quote_that_no_record_can_carry_is_none() -> None:
    raw = payload(energy_kwh=999_999, price_sats_per_kwh=1)
    record = record_of(raw, (10**12, "dear/1"))
    assert (record.price_msat_per_kwh, record.tariff_version) == (1_000, None)


def test_the_meter_may_be_named_elsewhere() -> None:
    interval = parse_interval(PLAIN.encode())
    assert (interval.site_id, interval.iot_device_id, interval.meter_id) == (None, None, None)
    named = parse_interval(WHITE_PAPER.encode())
    assert (named.site_id, named.iot_device_id, named.meter_id) == METER


# --- anything at all --------------------------------------------------------------------------------------------------


def interval_and_record(raw: bytes) -> tuple[Interval, Record]:
    interval = parse_interval(raw)
    return interval, interval.record(*METER)


@FUZZ
@given(st.binary(max_size=60) | json_values.map(jcs.dumps))
@example(b"{}")
@example(b"[" * 16_384)
@example(b" " * 16_385)
def test_any_bytes_are_an_interval_or_refused(raw: bytes) -> None:
    found = outcome(interval_and_record, raw)
    assert isinstance(found, Refusal) or second_opinion.record(body(found[1]))


NAMES = (
    "ts_start", "ts_end", "interval_s", "energy_kwh", "export_kwh", "power_kw_avg", "price_sats_per_kwh", "status",
    "tags", "tx", "site_id", "schema_version", "evidence", "other",
)  # fmt: skip
TX = (
    "unit", "price_sats_per_kwh", "price_msat_per_kwh", "amount_sats", "amount_msat", "tariff_version", "channel",
    "settlement_status", "ln_invoice_id", "bitcoin_txid", "other",
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = json_values | st.sampled_from(
    [
        0,
        1,
        -1,
        300,
        Decimal("0.5"),
        Decimal("1E+99"),
        Decimal("1E-99"),
        "ok",
        "ln",
        "sats",
        "pending",
        None,
        True,
        [],
        {},
    ]
)


def spelled(value: object) -> str:
    """JSON text of any value: numbers that no canonical form has are written as they are."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{spelled(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(spelled, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


@FUZZ
@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.dictionaries(st.sampled_from(TX), VALUES))
def test_any_members_make_an_interval_or_are_refused(members: dict[str, object], tx: dict[str, object]) -> None:
    base = json.loads(PLAIN, parse_float=Decimal)
    raw = spelled({**base, **members, **({"tx": tx} if tx else {})}).encode()
    found = outcome(interval_and_record, raw)
    if isinstance(found, Refusal):
        assert found.field.split(".")[0] in {*NAMES, "interval", "json"}
        return
    check(found[1])
    assert second_opinion.record(body(found[1]))


# --- what is refused (the rest is in vectors/emlog.json) --------------------------------------------------------------


def test_bounds() -> None:
    assert refused_field(energy_kwh=10**9) == "energy_kwh"
    assert refused_field(export_kwh=10**9) == "export_kwh"
    assert refused_field(price_sats_per_kwh=10**9 + 1) == "tx.price_msat_per_kwh"
    assert refused_field(tags=["t"] * 17) == "tags"
    assert refused_field(power_kw_avg=10**9) == "power_kw_avg"
    assert refused_field(tx={"amount_sats": 10**12}) == "tx.amount_sats"
    assert refused_field(tx={"amount_msat": 10**15}) == "tx.amount_msat"
    assert refused_field(tx={"amount_msat": Decimal("0.5")}) == "tx.amount_msat"


@pytest.mark.parametrize("name", ["unit", "settlement_status", "ln_invoice_id", "bitcoin_txid", "tariff_version"])
def test_what_is_not_the_senders_to_say(name: str) -> None:
    values: list[jcs.Json] = [True, 0, "x", [], {}]
    for value in values:
        assert refused_field(tx={name: value}) == f"tx.{name}"
