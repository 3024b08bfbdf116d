"""The reported intervals of vectors/emlog.json: payloads, and the records that follow from them."""

from __future__ import annotations

from typing import Any, Final

from tests.core.refused import refused
from wattseal.core.emlog import Record, body
from wattseal.core.reported import MAX_REPORTED_BYTES, parse_interval

METER: Final = ("PLANT-01", "gw-01", "MTR-001")
SPEC: Final = "emlog.md §6"
TIMES: Final = '"ts_start":"2025-12-01T00:00:00Z","ts_end":"2025-12-01T00:05:00Z","interval_s":300'
PLAIN: Final = f'{{{TIMES},"energy_kwh":12.34}}'
WHITE_PAPER: Final = """{
  "schema_version": "emlog-1.1",
  "site_id": "PLANT-01",
  "iot_device_id": "gw-01",
  "meter_id": "MTR-001",
  "ts_start": "2025-12-01T00:00:00Z",
  "ts_end": "2025-12-01T00:05:00Z",
  "interval_s": 300,
  "energy_kwh": 12.34,
  "power_kw_avg": 2.47,
  "status": "ok",
  "tags": ["line-A", "shift-1"],
  "tx": {
    "unit": "sats",
    "price_sats_per_kwh": 100,
    "amount_sats": 1234,
    "channel": "ln",
    "settlement_status": "pending",
    "ln_invoice_id": null,
    "bitcoin_txid": null
  }
}
"""
"""With the energy, the interval and the power of the published example: 12.34 kWh in 300 s are not 2.47 kW."""


def _plus(members: str) -> str:
    return f"{PLAIN[:-1]},{members}}}"


GOOD: Final = (
    ("the published example with its wrong power", WHITE_PAPER, None),
    ("nothing but what is needed", PLAIN, None),
    ("the price as a claim", _plus('"price_sats_per_kwh":99.5'), None),
    ("a tariff beats the price", _plus('"price_sats_per_kwh":99.5'), (100_000, "flat/1")),
    ("a tariff without a price", PLAIN, (100_000, "flat/1")),
    ("the price twice, the same", _plus('"price_sats_per_kwh":1,"tx":{"price_msat_per_kwh":1000}'), None),
    ("a price of null", _plus('"price_sats_per_kwh":null'), None),
    ("a power that agrees", _plus('"power_kw_avg":148.08'), None),
    ("a power that agrees when rounded to what was written", _plus('"power_kw_avg":148.1'), None),
    ("a power written as an integer", _plus('"power_kw_avg":148'), None),
    ("a power that does not agree", _plus('"power_kw_avg":148.2'), None),
    ("a power with an exponent", _plus('"power_kw_avg":1.4808e2'), None),
    ("a negative power", _plus('"power_kw_avg":-148.08'), None),
    ("an amount that agrees", _plus('"price_sats_per_kwh":100,"tx":{"amount_sats":1234,"amount_msat":1234000}'), None),
    ("an amount that does not agree", _plus('"price_sats_per_kwh":100,"tx":{"amount_sats":1200}'), None),
    ("an amount in msat that does not agree", _plus('"price_sats_per_kwh":100,"tx":{"amount_msat":1234001}'), None),
    ("an amount without a price", _plus('"tx":{"amount_sats":1234}'), None),
    ("an amount beside a tariff", _plus('"price_sats_per_kwh":90,"tx":{"amount_sats":1110.6}'), (100_000, "flat/1")),
    ("an amount that the tariff confirms", _plus('"tx":{"amount_sats":1234}'), (100_000, "flat/1")),
    ("export and status", _plus('"export_kwh":0.5,"status":"estimated"'), None),
    ("channel and tags", _plus('"tags":["\u00e9"],"tx":{"channel":"onchain"}'), None),
    ("in another zone", PLAIN.replace("00:00:00Z", "01:00:00+01:00"), None),
    ("energy with zeros at its end", f'{{{TIMES},"energy_kwh":12.3400000}}', None),
    ("energy with an exponent", f'{{{TIMES},"energy_kwh":1234e-2}}', None),
    ("nothing used", f'{{{TIMES},"energy_kwh":0}}', None),
)  # fmt: skip
"""Name, payload, (price in msat per kWh, version) of the tariff in force or None."""

BAD: Final = (
    ("no energy", f"{{{TIMES}}}"),
    ("energy negative", f'{{{TIMES},"energy_kwh":-0.000001}}'),
    ("energy finer than a milliwatt-hour", f'{{{TIMES},"energy_kwh":0.0000001}}'),
    ("energy above a billion kWh", f'{{{TIMES},"energy_kwh":1000000000}}'),
    ("energy with a large exponent", f'{{{TIMES},"energy_kwh":1e99}}'),
    ("energy with an immense exponent", f'{{{TIMES},"energy_kwh":1e999999999}}'),
    ("energy NaN", f'{{{TIMES},"energy_kwh":NaN}}'),
    ("energy as text", f'{{{TIMES},"energy_kwh":"12.34"}}'),
    ("energy true", f'{{{TIMES},"energy_kwh":true}}'),
    ("energy null", f'{{{TIMES},"energy_kwh":null}}'),
    ("energy twice", _plus('"energy_kwh":12.34')),
    ("export negative", _plus('"export_kwh":-1')),
    ("no start", '{"ts_end":"2025-12-01T00:05:00Z","interval_s":300,"energy_kwh":1}'),
    ("interval of another length", PLAIN.replace("300", "301")),
    ("interval as 300.0", PLAIN.replace("300", "300.0")),
    ("interval true", PLAIN.replace("300", "true")),
    ("end before start", PLAIN.replace("00:05:00Z", "00:00:00Z")),
    ("367 days", PLAIN.replace("2025-12-01T00:05", "2026-12-03T00:00").replace("300", "31708800")),
    ("start with half a second", PLAIN.replace("00:00:00Z", "00:00:00.5Z")),
    ("status good", _plus('"status":"good"')),
    ("status as a list", _plus('"status":["ok"]')),
    ("tags as a text", _plus('"tags":"line-A"')),
    ("a tag as an object", _plus('"tags":[{}]')),
    ("seventeen tags", _plus(f'"tags":[{",".join(str(place) for place in range(17))}]')),
    ("a tag of 65 characters", _plus(f'"tags":["{"t" * 65}"]')),
    ("tags that no record can hold", _plus('"tags":[' + ",".join(['"' + "\U0001f50c" * 64 + '"'] * 16) + "]")),
    ("half of a surrogate pair", _plus('"tags":["\\udc00"]')),
    ("price negative", _plus('"price_sats_per_kwh":-1')),
    ("price finer than a millisatoshi", _plus('"price_sats_per_kwh":0.0001')),
    ("price above a billion sats", _plus('"price_sats_per_kwh":1000000000.001')),
    ("two prices", _plus('"price_sats_per_kwh":1,"tx":{"price_sats_per_kwh":2}')),
    ("amount above 15 digits", _plus('"price_sats_per_kwh":1000000000').replace("12.34", "999999")),
    ("two amounts", _plus('"tx":{"amount_sats":1,"amount_msat":2000}')),
    ("a claim with 16 digits", _plus('"power_kw_avg":1234567890.123456')),
    ("a claim with a large exponent", _plus('"power_kw_avg":1e60')),
    ("a power above 15 digits", PLAIN.replace("12.34", "999999999")),
    ("settled already", _plus('"tx":{"settlement_status":"settled"}')),
    ("an invoice", _plus('"tx":{"ln_invoice_id":"lnbc1"}')),
    ("unit btc", _plus('"tx":{"unit":"btc"}')),
    ("a tariff version", _plus('"tx":{"tariff_version":"flat/1"}')),
    ("channel lightning", _plus('"tx":{"channel":"lightning"}')),
    ("tx null", _plus('"tx":null')),
    ("unknown member", _plus('"colour":"green"')),
    ("unknown member of tx", _plus('"tx":{"vat":19}')),
    ("evidence", _plus('"evidence":null')),
    ("another version", _plus('"schema_version":"emlog-2.0"')),
    ("site with a slash", _plus('"site_id":"PLANT/01"')),
    ("an array", f"[{PLAIN}]"),
    ("empty", ""),
    ("too long", PLAIN + " " * (MAX_REPORTED_BYTES + 1 - len(PLAIN))),
)  # fmt: skip


def record_of(raw: bytes, tariff: tuple[int, str] | None = None) -> Record:
    """The record that follows from a payload."""
    return parse_interval(raw).record(*METER, *(tariff or (None, None)))


def reported() -> list[dict[str, Any]]:
    """The member `reported`."""
    return [
        {
            "name": name,
            "spec": SPEC,
            "raw": raw,
            "meter": list(METER),
            "tariff": None if tariff is None else {"price_msat_per_kwh": tariff[0], "tariff_version": tariff[1]},
            "body": body(record_of(raw.encode(), tariff)).decode(),
        }
        for name, raw, tariff in GOOD
    ]


def refusals() -> list[dict[str, Any]]:
    """The member `reported_invalid`."""
    return [{"name": name, "spec": SPEC, "raw": raw, **refused(record_of, raw.encode())} for name, raw in BAD]
