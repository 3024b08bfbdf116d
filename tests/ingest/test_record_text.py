from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.derivation import device_record
from wattseal.core.emlog import MAX_AVERAGE_POWER_MW, MAX_PRICE_MSAT, body, check
from wattseal.core.units import MAX_ENERGY_MWH
from wattseal.ingest.arrival import Arrival
from wattseal.ingest.record_text import RecordText

energies = st.one_of(
    st.integers(0, 10_000_000), st.integers(0, MAX_ENERGY_MWH), st.integers(0, 10**6).map(lambda n: n * 10**6)
)
prices = st.none() | st.integers(0, 2_000_000) | st.integers(0, MAX_PRICE_MSAT)


def boundary(epoch: int, seq: int, time_s: int, import_mwh: int, export_mwh: int) -> Arrival:
    return Arrival(b"", "m", epoch, seq, time_s, import_mwh, export_mwh, b"", b"", b"", from_source=False, profile=None)


@given(
    energies,
    energies,
    st.integers(1, 10**6),
    st.integers(0, 2**32 - 1),
    prices,
    st.sampled_from(["device", "gateway"]),
    st.booleans(),
)
def test_the_bytes_are_those_of_the_core(
    energy: int, export: int, interval_s: int, place: int, price: int | None, kind: str, gap: bool
) -> None:
    energy = min(energy, MAX_AVERAGE_POWER_MW * interval_s // 3_600)
    start = boundary(0, place, 1_760_000_000, 123, 456)
    end = boundary(place, 7, 1_760_000_000 + interval_s, 123 + energy, 456 + export)
    kid = bytes(range(16))
    version = None if price is None else "flat/1"
    record = device_record(
        "site", "device", "m:1", kind, kid, start, end, gap=gap, price_msat=price, tariff_version=version
    )
    check(record)
    made = RecordText(("site", "device", "m:1"), kind, kid, price, version).body(start, end, gap=gap)
    assert made.body == body(record)
    assert made[1:] == (record.energy_mwh, record.export_mwh, record.price_msat_per_kwh, record.amount_msat)
