"""The refused bodies of vectors/emlog.json: each is a canonical record in which one thing was changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from tests.core.record_samples import CLAIMS, KID, SOURCE, TYPICAL
from tests.core.refused import refused
from wattseal.core import jcs
from wattseal.core.emlog import MAX_RECORD_BYTES, Record, body, parse_body

FORM, MEMBERS, EVIDENCE, QUOTE, JCS = "emlog.md §1", "emlog.md §2", "emlog.md §3", "emlog.md §4", "RFC 8785"
REPORTED: Final = replace(TYPICAL, evidence=CLAIMS, tariff_version=None)
BODY: Final = body(TYPICAL).decode()
ENERGY, EXPORT, INTERVAL = '"energy_kwh":12.34', '"export_kwh":0', '"interval_s":300'
POWER, TAGS, STATUS = '"power_kw_avg":148.08', '"tags":[]', '"status":"ok"'
START, END = '"2025-12-01T00:00:00Z"', '"2025-12-01T00:05:00Z"'
PRICE, CLAIM = '"price_msat_per_kwh":100000', '"power_kw_avg":2.47}'

MEMBERS_OF_A_RECORD: Final = (
    "energy_kwh",
    "evidence",
    "export_kwh",
    "interval_s",
    "iot_device_id",
    "meter_id",
    "power_kw_avg",
    "schema_version",
    "site_id",
    "status",
    "tags",
    "ts_end",
    "ts_start",
    "tx",
)
ENERGIES: Final = {
    "that is NaN": "NaN",
    "that is Infinity": "Infinity",
    "that is -Infinity": "-Infinity",
    "12.340": "12.340",
    "with an exponent": "1.234e1",
    "with a large exponent": "1e99",
    "with an immense exponent": "1e999999999",
    "with an exponent beyond all measure": "1e99999999999999999999",
    "with a sign": "-12.34",
    "with seven decimals": "12.3400001",
    "with sixteen digits": "1234567890.123456",
    "above 10^15 - 1 mWh": "1000000000",
    "with a leading zero": "012.34",
    "without a digit before the point": ".34",
    "with a plus sign": "+12.34",
    "in hex": "0x0c",
    "of 20 digits": "12345678901234567890",
    "as a text": '"12.34"',
    "null": "null",
    "true": "true",
    "as an array": "[12.34]",
    "as an object": "{}",
}
STARTS: Final = {
    "in another zone": "2025-12-01T01:00:00+01:00",
    "with an offset of nothing": "2025-12-01T00:00:00+00:00",
    "without a zone": "2025-12-01T00:00:00",
    "with a fraction": "2025-12-01T00:00:00.5Z",
    "with an empty fraction": "2025-12-01T00:00:00.0Z",
    "in lower case": "2025-12-01t00:00:00z",
    "with a space": "2025-12-01 00:00:00Z",
    "on 30 February": "2025-02-30T00:00:00Z",
    "at 24 o'clock": "2025-11-30T24:00:00Z",
    "at a leap second": "2016-12-31T23:59:60Z",
    "before 1970": "1969-12-31T23:59:59Z",
    "in the year 0": "0000-01-01T00:00:00Z",
    "after its end": "2025-12-01T00:05:00Z",
    "with digits outside of ASCII": "\u0662\u0660\u0662\u0665-12-01T00:00:00Z",
    "with a newline": "2025-12-01T00:00:00Z\\n",
}
CHANGES: Final = (
    ("a member twice", FORM, ENERGY, f"{ENERGY},{ENERGY}"),
    ("a member of tx twice", FORM, '"unit":"sats"', '"unit":"sats","unit":"sats"'),
    ("unknown member", FORM, INTERVAL, f'{INTERVAL},"invoice":null'),
    ("unknown member of tx", FORM, '"unit":"sats"', '"unit":"sats","vat":null'),
    ("unknown member of evidence", FORM, '"source":null', '"sauce":null,"source":null'),
    ("a member of tx is missing", QUOTE, '"bitcoin_txid":null,', ""),
    ("a member of evidence is missing", EVIDENCE, '"claims":null,', ""),
    ("export negative", MEMBERS, EXPORT, '"export_kwh":-1'),
    ("interval that is not the difference", MEMBERS, INTERVAL, '"interval_s":299'),
    ("interval written 300.0", MEMBERS, INTERVAL, '"interval_s":300.0'),
    ("interval as text", MEMBERS, INTERVAL, '"interval_s":"300"'),
    ("power that does not follow", MEMBERS, POWER, '"power_kw_avg":2.47'),
    ("amount in msat that does not follow", QUOTE, '"amount_msat":1234000', '"amount_msat":1234001'),
    ("amount in sats that does not follow", QUOTE, '"amount_sats":1234,', '"amount_sats":1235,'),
    ("amount written 1234.000", QUOTE, '"amount_sats":1234,', '"amount_sats":1234.000,'),
    ("two prices", QUOTE, '"price_sats_per_kwh":100', '"price_sats_per_kwh":101'),
    ("price as text", QUOTE, PRICE, '"price_msat_per_kwh":"100000"'),
    ("price true", QUOTE, PRICE, '"price_msat_per_kwh":true'),
    ("price above a billion sats", QUOTE, PRICE, '"price_msat_per_kwh":1000000000001'),
    ("price negative", QUOTE, PRICE, '"price_msat_per_kwh":-1'),
    ("tariff as a number", QUOTE, '"tariff_version":"flat/1"', '"tariff_version":1'),
    ("unit btc", QUOTE, '"unit":"sats"', '"unit":"btc"'),
    ("settled already", QUOTE, '"settlement_status":"pending"', '"settlement_status":"settled"'),
    ("an invoice", QUOTE, '"ln_invoice_id":null', '"ln_invoice_id":"lnbc1"'),
    ("channel lightning", QUOTE, '"channel":"ln"', '"channel":"lightning"'),
    ("another version", MEMBERS, '"emlog-1.1"', '"emlog-1.0"'),
    ("site with a slash", "reading.md §2.1", '"PLANT-01"', '"PLANT/01"'),
    ("device id empty", "reading.md §2.1", '"gw-01"', '""'),
    ("meter as a number", "reading.md §2.1", '"MTR-001"', "1"),
    ("start as Unix time", MEMBERS, START, "1764547200"),
    ("end in the year 10000", MEMBERS, END, '"10000-01-01T00:00:00Z"'),
    ("status good", MEMBERS, STATUS, '"status":"good"'),
    ("status null", MEMBERS, STATUS, '"status":null'),
    ("tags null", MEMBERS, TAGS, '"tags":null'),
    ("a tag that is a number", MEMBERS, TAGS, '"tags":[1]'),
    ("seventeen tags", MEMBERS, TAGS, '"tags":[' + ",".join(['""'] * 17) + "]"),
    ("a tag of 65 characters", MEMBERS, TAGS, f'"tags":["{chr(0xE9) * 65}"]'),
    ("longer than 4096 bytes", FORM, TAGS, '"tags":[' + ",".join(['"' + "\U0001f50c" * 64 + '"'] * 16) + "]"),
    ("evidence of another kind", EVIDENCE, '"kind":"device"', '"kind":"device2"'),
    ("kid in upper case", EVIDENCE, KID, KID.upper()),
    ("kid of 31 digits", EVIDENCE, KID, KID[:31]),
    ("kid null for a device", EVIDENCE, f'"{KID}"', "null"),
    ("epoch null for a device", EVIDENCE, '"epoch":[3,3]', '"epoch":null'),
    ("epoch of three", EVIDENCE, '"epoch":[3,3]', '"epoch":[3,3,3]'),
    ("epoch beyond 32 bits", EVIDENCE, '"epoch":[3,3]', '"epoch":[3,4294967296]'),
    ("epoch with a boolean", EVIDENCE, '"epoch":[3,3]', '"epoch":[true,3]'),
    ("seq null for a device", EVIDENCE, '"seq":[17,22]', '"seq":null'),
    ("seq negative", EVIDENCE, '"seq":[17,22]', '"seq":[-1,22]'),
    ("source for a device", EVIDENCE, '"source":null', f'"source":"{SOURCE}"'),
    ("claims empty", EVIDENCE, '"claims":null', '"claims":{}'),
    ("claims an array", EVIDENCE, '"claims":null', '"claims":[]'),
    ("a claim about another member", EVIDENCE, '"claims":null', '"claims":{"energy_kwh":1}'),
    ("a letter as an escape", JCS, STATUS, '"status":"o\\u006b"'),
    ("an escape in upper case", JCS, TAGS, '"tags":["\\u001F"]'),
    ("a slash as an escape", JCS, '"flat/1"', '"flat\\/1"'),
    ("a long escape for a newline", JCS, TAGS, '"tags":["\\u000a"]'),
    ("half of a surrogate pair", JCS, TAGS, '"tags":["\\ud83d"]'),
    ("a control character as it is", JCS, TAGS, '"tags":["\x01"]'),
    ("nested 32 deep", FORM, TAGS, f'"tags":{"[" * 31}{"]" * 31}'),
    ("nested 33 deep", FORM, TAGS, f'"tags":{"[" * 32}{"]" * 32}'),
    ("nested 1700 deep", FORM, TAGS, f'"tags":{"[" * 1_699}{"]" * 1_699}'),
)
"""Name, section, what stands in the body of TYPICAL, what stands there instead."""

REPORTED_CHANGES: Final = (
    ("kid for a reported interval", EVIDENCE, '"kid":null', f'"kid":"{KID}"'),
    ("seq for a reported interval", EVIDENCE, '"seq":null', '"seq":[1,2]'),
    ("no source for an import", EVIDENCE, '"kind":"reported"', '"kind":"import"'),
    ("a claim null", EVIDENCE, CLAIM, '"power_kw_avg":null}'),
    ("a claim with 16 digits", EVIDENCE, CLAIM, '"power_kw_avg":1234567890.123456}'),
    ("a claim with seven decimals", EVIDENCE, CLAIM, '"power_kw_avg":2.4700001}'),
)
"""The same, in the body of REPORTED."""

WHOLE: Final = (
    ("white space", JCS, BODY.replace(",", ", ")),
    ("a newline at the end", JCS, BODY + "\n"),
    ("a byte order mark", JCS, "\ufeff" + BODY),
    ("single quotes", JCS, BODY.replace('"', "'")),
    ("a comma after the last member", JCS, BODY[:-1] + ",}"),
    ("a comment", JCS, BODY + "//"),
    ("two values", JCS, BODY + BODY),
    ("cut short", JCS, BODY[:-1]),
    ("empty", JCS, ""),
    ("an array", MEMBERS, f"[{BODY}]"),
    ("a text", MEMBERS, '"emlog-1.1"'),
    ("tx null", MEMBERS, BODY[: BODY.index('"tx":')] + '"tx":null}'),
    ("evidence null", MEMBERS, f'{{{ENERGY},"evidence":null,{BODY[BODY.index(EXPORT) :]}'),
    ("members not sorted", JCS, f"{{{BODY[len(ENERGY) + 2 : -1]},{ENERGY}}}"),
)
NOT_UTF8: Final = BODY.encode().replace(b'"tags":[]', b'"tags":["\xc3\x28"]')


def _with(record: Record, old: str, new: str) -> str:
    text = body(record).decode()
    if text.count(old) != 1:
        raise LookupError(old)
    return text.replace(old, new)


def _without(member: str) -> str:
    value = jcs.loads(BODY.encode(), MAX_RECORD_BYTES)
    if not isinstance(value, Mapping):
        raise TypeError(BODY)
    return jcs.dumps({name: item for name, item in value.items() if name != member}).decode()


def _bodies() -> Iterator[tuple[str, str, str]]:
    for name, literal in ENERGIES.items():
        yield f"energy {name}", FORM, _with(TYPICAL, ENERGY, f'"energy_kwh":{literal}')
    for name, time in STARTS.items():
        yield f"start {name}", MEMBERS, _with(TYPICAL, START, f'"{time}"')
    for name, spec, old, new in CHANGES:
        yield name, spec, _with(TYPICAL, old, new)
    for name, spec, old, new in REPORTED_CHANGES:
        yield name, spec, _with(REPORTED, old, new)
    twelve, nothing = replace(TYPICAL, energy_mwh=12_000_000), replace(TYPICAL, energy_mwh=0)
    yield "energy 12.0 instead of 12", FORM, _with(twelve, '"energy_kwh":12,', '"energy_kwh":12.0,')
    yield "energy minus nothing", FORM, _with(nothing, '"energy_kwh":0,', '"energy_kwh":-0,')
    no_price = replace(TYPICAL, price_msat_per_kwh=None, tariff_version=None)
    yield "tariff without a price", QUOTE, _with(no_price, '"tariff_version":null', '"tariff_version":"flat/1"')
    import_without = _with(REPORTED, '"kind":"reported"', '"kind":"import"')
    yield "source of 63 digits", EVIDENCE, import_without.replace('"source":null', f'"source":"{SOURCE[1:]}"')
    # An energy near its bound in one second: its power would need 19 digits.
    largest = replace(TYPICAL, end_s=TYPICAL.start_s + 1, energy_mwh=10**15 - 1, price_msat_per_kwh=0)
    yield "power above 15 digits", FORM, body(largest).decode()
    for member in MEMBERS_OF_A_RECORD:
        yield f"{member} is missing", MEMBERS, _without(member)
    yield from WHOLE


def refusals() -> list[dict[str, Any]]:
    """The member `invalid`."""
    found: list[dict[str, Any]] = [
        {"name": name, "spec": spec, "body": text, **refused(parse_body, text.encode())}
        for name, spec, text in _bodies()
    ]
    found.append({"name": "a tag that is not UTF-8", "spec": FORM, "body_hex": NOT_UTF8.hex()})
    found[-1].update(refused(parse_body, NOT_UTF8))
    return found
