"""Records that stand for the many kinds of them: the vectors are made of these, and tests begin with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from wattseal.core.emlog import Record
from wattseal.core.evidence import Evidence
from wattseal.core.units import MAX_ENERGY_MWH, MAX_TIME_S

START: Final = 1_764_547_200
KID: Final = "2238f0e348c0445a60affd248bfe765d"
SOURCE: Final = hashlib.sha256(b"an import entry").hexdigest()
DEVICE: Final = Evidence("device", KID, (3, 3), (17, 22))
TYPICAL: Final = Record(
    "PLANT-01", "gw-01", "MTR-001", START, START + 300, 12_340_000, 0, "ok", DEVICE, 100_000, "flat/1"
)
REPORTED: Final = replace(TYPICAL, evidence=Evidence("reported"), tariff_version=None)
CLAIMS: Final = Evidence("reported", claimed_power_mw=2_470_000, claimed_amount_msat=-1_500)
# A quote, a backslash, two controls, DEL, a line separator, a sign beyond the basic plane, a right-to-left word.
TAGS: Final = ('"', "\\", "\n\x01", "\x7f", "\u2028", "\U0001f50c", "\u05d7\u05e9\u05de\u05dc", "", "z" * 64)
LARGEST: Final = replace(TYPICAL, end_s=START + 366 * 86_400, energy_mwh=MAX_ENERGY_MWH, price_msat_per_kwh=1_000)


def samples() -> Iterator[tuple[str, str, Record]]:
    """(name, section, record)"""
    yield "typical", "emlog.md §2", TYPICAL
    yield "nothing used", "emlog.md §1", replace(TYPICAL, energy_mwh=0)
    yield "one milliwatt-hour", "emlog.md §1", replace(TYPICAL, energy_mwh=1)
    yield "export only", "emlog.md §2", replace(TYPICAL, energy_mwh=0, export_mwh=987_654_321)
    yield "largest energy", "emlog.md §1", LARGEST
    yield "largest power", "emlog.md §1", replace(LARGEST, end_s=START + 3_600)
    yield "largest amount", "emlog.md §4", replace(TYPICAL, energy_mwh=999_999_999, price_msat_per_kwh=10**12)
    yield "shortest interval", "emlog.md §2", replace(TYPICAL, end_s=START + 1)
    yield "from 1970", "emlog.md §2", replace(TYPICAL, start_s=0)
    yield "until 9999", "emlog.md §2", replace(TYPICAL, start_s=MAX_TIME_S - 300, end_s=MAX_TIME_S)
    yield "over a leap day", "emlog.md §2", replace(TYPICAL, start_s=1_709_164_800, end_s=1_709_251_200)
    yield "power rounds half to even, down", "emlog.md §2", replace(TYPICAL, end_s=START + 7_200, energy_mwh=1)
    yield "power rounds half to even, up", "emlog.md §2", replace(TYPICAL, end_s=START + 7_200, energy_mwh=3)
    yield "amount rounds half to even, down", "emlog.md §4", replace(TYPICAL, energy_mwh=500_000, price_msat_per_kwh=1)
    yield "amount rounds half to even, up", "emlog.md §4", replace(TYPICAL, energy_mwh=500_000, price_msat_per_kwh=3)
    yield "price with three decimals", "emlog.md §4", replace(TYPICAL, price_msat_per_kwh=123_456)
    yield "price of nothing", "emlog.md §4", replace(TYPICAL, price_msat_per_kwh=0)
    yield "no price", "emlog.md §4", replace(TYPICAL, price_msat_per_kwh=None, tariff_version=None)
    yield "tags that need escapes", "RFC 8785 §3.2.2.2", replace(TYPICAL, tags=TAGS)
    yield "sixteen tags in the order given", "emlog.md §2", replace(TYPICAL, tags=tuple("ponmlkjihgfedcba"))
    for channel in ("onchain", "internal"):
        yield f"channel {channel}", "emlog.md §4", replace(TYPICAL, channel=channel)
    for status in ("estimated", "error", "gap"):
        yield f"status {status}", "emlog.md §2", replace(TYPICAL, status=status)
    for kind in ("gateway", "operator"):
        yield f"kind {kind}", "emlog.md §3", replace(TYPICAL, evidence=replace(DEVICE, kind=kind))
    yield "two epochs", "emlog.md §3", replace(TYPICAL, evidence=replace(DEVICE, epoch=(3, 5), seq=(2**32 - 1, 0)))
    yield "kind ocmf", "emlog.md §3", replace(TYPICAL, evidence=Evidence("ocmf", KID))
    yield "kind text", "emlog.md §3", replace(TYPICAL, evidence=Evidence("text", KID))
    yield "kind import", "emlog.md §3", replace(TYPICAL, evidence=Evidence("import", source=SOURCE))
    yield "kind reported with its own price", "emlog.md §4", REPORTED
    yield "claims that were not confirmed", "emlog.md §3", replace(REPORTED, evidence=CLAIMS)
