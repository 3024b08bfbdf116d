"""Hypothesis strategies for what core reads and writes."""

from __future__ import annotations

import string
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from wattseal.core.emlog import CHANNELS, STATUSES, Record
from wattseal.core.evidence import Evidence
from wattseal.core.reading import Beacon, Reading, Sample
from wattseal.core.units import MAX_TIME_S

FUZZ = settings(max_examples=max(300, settings().max_examples))
"""For parsers of what strangers send: more cases than elsewhere, and with --long many more."""

U32 = st.integers(0, 2**32 - 1)
REGISTER = st.integers(0, 2**53 - 1) | st.integers(0, 300)
POWER = st.integers(-(10**12), 10**12)
TIMES = st.integers(0, MAX_TIME_S)
HASHES = st.binary(min_size=32, max_size=32)

_SIGNS = string.ascii_letters + string.digits
identifiers = st.builds("{}{}".format, st.sampled_from(_SIGNS), st.text(st.sampled_from(f"{_SIGNS}._:-"), max_size=63))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=64)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


readings = st.builds(
    Reading,
    serial=st.binary(min_size=1, max_size=32),
    meter_id=identifiers,
    epoch=U32,
    seq=U32,
    time_s=TIMES,
    clock=st.integers(0, 3),
    import_mwh=REGISTER,
    export_mwh=REGISTER,
    power_mw=POWER,
    flags=st.integers(0, 31),
    firmware=st.binary(min_size=8, max_size=8),
    prev=HASHES,
    beacon=maybe(st.builds(Beacon, U32, st.binary(min_size=8, max_size=8))),
    voltage_mv=maybe(st.integers(0, 10**9)),
    current_ma=maybe(st.integers(-(10**9), 10**9)),
    temperature_mc=maybe(st.integers(-273_150, 10**6)),
    profile=st.lists(st.builds(Sample, st.integers(1, 2**32 - 1), REGISTER, REGISTER, POWER), max_size=60).map(tuple),
    source_digest=maybe(HASHES),
)

_kids = st.binary(min_size=16, max_size=16).map(bytes.hex)
_pairs = st.tuples(U32, U32)
_claims = maybe(st.integers(-(10**15) + 1, 10**15 - 1))


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    """Evidence of each kind, with what the kind may have."""
    kind = draw(st.sampled_from(("device", "ocmf", "gateway", "text", "operator", "import", "reported")))
    if kind == "reported":
        return Evidence(kind, claimed_power_mw=draw(_claims), claimed_amount_msat=draw(_claims))
    if kind == "import":
        return Evidence(kind, draw(maybe(_kids)), source=draw(HASHES).hex())
    if kind in ("ocmf", "text"):
        return Evidence(kind, draw(maybe(_kids)))
    return Evidence(kind, draw(_kids), draw(_pairs), draw(_pairs))


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Records that a body can carry."""
    start_s = draw(TIMES.filter(lambda time_s: time_s < MAX_TIME_S))
    end_s = min(MAX_TIME_S, start_s + draw(st.integers(1, 366 * 86_400)))
    # Power has 15 digits as well, so that a short interval holds less.
    most = min(10**15 - 1, (10**15 - 1) * (end_s - start_s) // 3_600)
    energy_mwh = draw(st.integers(0, most) | st.integers(0, min(most, 10**7)))
    price = draw(maybe(st.integers(0, min(10**12, (10**15 - 1) * 10**6 // max(energy_mwh, 1)))))
    version = None if price is None else draw(maybe(st.builds("{}/{}".format, identifiers, st.integers(1, 99))))
    return Record(
        draw(identifiers),
        draw(identifiers),
        draw(identifiers),
        start_s,
        end_s,
        energy_mwh,
        draw(st.integers(0, 10**15 - 1)),
        draw(st.sampled_from(STATUSES)),
        draw(evidences()),
        price,
        version,
        draw(st.sampled_from(CHANNELS)),
        tuple(draw(st.lists(texts, max_size=6))),
    )


def _decimal(digits: int, exponent: int) -> Decimal:
    return Decimal(digits).scaleb(exponent)


decimals = st.builds(_decimal, st.integers(-(10**15) + 1, 10**15 - 1), st.integers(-6, 0))
scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | decimals | texts
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=6
)
