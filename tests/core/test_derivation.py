from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.reading_samples import TYPICAL
from tests.core.refused import outcome
from wattseal.core.derivation import device_record, fits, weakest
from wattseal.core.emlog import MAX_AMOUNT_MSAT, Record, body, check, parse_body
from wattseal.core.evidence import KINDS
from wattseal.core.reading import Reading
from wattseal.core.refusal import Refusal
from wattseal.core.units import MAX_ENERGY_MWH, quote_msat

KID = bytes(16)


def derived(start: Reading, end: Reading, *, price: int | None = 100_000, gap: bool = False) -> Record:
    return device_record(
        "a",
        "b",
        "c",
        "device",
        KID,
        start,
        end,
        gap=gap,
        price_msat=price,
        tariff_version=None if price is None else "t/1",
    )


@given(
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(1, 86_400),
    st.integers(0, 2**31),
    st.integers(0, 2**31),
    st.none() | st.integers(0, 10**6),
    st.booleans(),
)
def test_a_record_is_the_difference_of_two_readings(
    imported: int, exported: int, seconds: int, epoch: int, seq: int, price: int | None, gap: bool
) -> None:
    end = replace(
        TYPICAL,
        epoch=epoch,
        seq=seq,
        time_s=TYPICAL.time_s + seconds,
        import_mwh=TYPICAL.import_mwh + imported,
        export_mwh=TYPICAL.export_mwh + exported,
    )
    record = derived(TYPICAL, end, price=price, gap=gap)
    check(record)
    assert parse_body(body(record)) == record
    assert (record.energy_mwh, record.export_mwh, record.interval_s) == (imported, exported, seconds)
    assert (record.evidence.epoch, record.evidence.seq) == ((TYPICAL.epoch, epoch), (TYPICAL.seq, seq))
    assert (record.status, record.evidence.kid) == ("gap" if gap else "ok", KID.hex())
    assert record.amount_msat == (None if price is None else quote_msat(imported, price))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"import_mwh": TYPICAL.import_mwh - 1}, "energy_kwh"),
        ({"export_mwh": TYPICAL.export_mwh - 1}, "export_kwh"),
        ({"time_s": TYPICAL.time_s}, "ts_end"),
        ({"time_s": TYPICAL.time_s - 1}, "ts_end"),
        ({"import_mwh": TYPICAL.import_mwh + MAX_ENERGY_MWH + 1}, "energy_kwh"),
    ],
)
def test_readings_that_make_no_record(changes: dict[str, int], field: str) -> None:
    end = replace(TYPICAL, **{"time_s": TYPICAL.time_s + 300, **changes})  # type: ignore[arg-type]  # integer fields
    found = outcome(check, derived(TYPICAL, end))
    assert isinstance(found, Refusal)
    assert found.field == field


@given(st.integers(0, MAX_ENERGY_MWH), st.integers(0, 10**12))
def test_an_amount_that_no_record_can_carry_is_no_quote(energy: int, price: int) -> None:
    end = replace(TYPICAL, time_s=TYPICAL.time_s + 366 * 86_400, import_mwh=TYPICAL.import_mwh + energy)
    record = derived(TYPICAL, end, price=price)
    check(record)
    assert fits(energy, price) is (quote_msat(energy, price) <= MAX_AMOUNT_MSAT)
    assert (record.price_msat_per_kwh, record.tariff_version) == (
        (price, "t/1") if fits(energy, price) else (None, None)
    )


@given(st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_the_weakest_kind(start: str, end: str) -> None:
    found = weakest(KINDS, start, end)
    assert found == weakest(KINDS, end, start) == KINDS[max(KINDS.index(start), KINDS.index(end))]
