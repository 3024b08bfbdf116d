"""The canonical energy record `emlog-1.1` (docs/spec/emlog.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wattseal.core import jcs
from wattseal.core.evidence import Evidence, check_evidence, evidence_text, parse_evidence
from wattseal.core.refusal import Refusal
from wattseal.core.units import (
    MAX_ENERGY_MWH,
    MAX_TIME_S,
    average_power_mw,
    identifier,
    kw_text,
    kwh_text,
    parse_rfc3339,
    quantity,
    quote_msat,
    rfc3339,
    sats_text,
)

SCHEMA = "emlog-1.1"
MAX_RECORD_BYTES = 4_096
MAX_TAGS, MAX_TAG_CHARACTERS = 16, 64
MAX_PRICE_MSAT = 10**12
MAX_AMOUNT_MSAT = 10**15 - 1
MAX_AVERAGE_POWER_MW = 10**15 - 1
"""Like the energy: 15 digits (§1). Reached only by a short interval with an energy near its own bound."""
STATUSES = ("ok", "estimated", "error", "gap")
CHANNELS = ("ln", "onchain", "internal")


@dataclass(frozen=True, slots=True)
class Record:
    """One interval of one meter: energies in mWh, price in msat per kWh, times in Unix seconds."""

    site_id: str
    iot_device_id: str
    meter_id: str
    start_s: int
    end_s: int
    energy_mwh: int
    export_mwh: int
    status: str
    evidence: Evidence
    price_msat_per_kwh: int | None = None
    tariff_version: str | None = None
    channel: str = "ln"
    tags: tuple[str, ...] = ()

    @property
    def interval_s(self) -> int:
        """Length in seconds."""
        return self.end_s - self.start_s

    @property
    def amount_msat(self) -> int | None:
        """The quote in msat, or None where there is no price (§4)."""
        return None if self.price_msat_per_kwh is None else quote_msat(self.energy_mwh, self.price_msat_per_kwh)

    @property
    def power_mw(self) -> int:
        """Average import power, recomputed."""
        return average_power_mw(self.energy_mwh, self.interval_s)


def check(record: Record) -> None:
    """Raise Refusal unless the values of a record built by a program are within §2."""
    identifier(record.site_id, "site_id")
    identifier(record.iot_device_id, "iot_device_id")
    identifier(record.meter_id, "meter_id")
    if not 0 <= record.start_s < record.end_s <= MAX_TIME_S:
        raise Refusal("ts_end", "must lie after ts_start, both between 1970 and 9999")
    for field, energy in (("energy_kwh", record.energy_mwh), ("export_kwh", record.export_mwh)):
        if not 0 <= energy <= MAX_ENERGY_MWH:
            raise Refusal(field, f"must be 0 to {kwh_text(MAX_ENERGY_MWH)} kWh")
    if record.status not in STATUSES:
        raise Refusal("status", f"must be one of {', '.join(STATUSES)}")
    if record.channel not in CHANNELS:
        raise Refusal("tx.channel", f"must be one of {', '.join(CHANNELS)}")
    check_evidence(record.evidence)
    if len(record.tags) > MAX_TAGS or any(len(tag) > MAX_TAG_CHARACTERS for tag in record.tags):
        raise Refusal("tags", f"at most {MAX_TAGS} texts of {MAX_TAG_CHARACTERS} characters")
    price, amount = record.price_msat_per_kwh, record.amount_msat
    if price is not None and not 0 <= price <= MAX_PRICE_MSAT:
        raise Refusal("tx.price_msat_per_kwh", f"must be 0 to {MAX_PRICE_MSAT}")
    if price is None and record.tariff_version is not None:
        raise Refusal("tx.tariff_version", "must be null where there is no price")
    if amount is not None and amount > MAX_AMOUNT_MSAT:
        raise Refusal("tx.amount_msat", f"must be at most {MAX_AMOUNT_MSAT}")
    if record.power_mw > MAX_AVERAGE_POWER_MW:
        raise Refusal("power_kw_avg", f"must be at most {kw_text(MAX_AVERAGE_POWER_MW)} kW")


def body(record: Record) -> bytes:
    """Canonical bytes of a checked record (§1); Refusal if its tags make it longer than a record may be.

    The members stand here in JCS order, as one text: this runs once per record, and a test holds it byte-equal to a
    general JCS writer.
    """
    price, amount = record.price_msat_per_kwh, record.amount_msat
    tx_amount = (
        '"amount_msat":null,"amount_sats":null'
        if amount is None
        else f'"amount_msat":{amount},"amount_sats":{sats_text(amount)}'
    )
    tx_price = (
        '"price_msat_per_kwh":null,"price_sats_per_kwh":null'
        if price is None
        else f'"price_msat_per_kwh":{price},"price_sats_per_kwh":{sats_text(price)}'
    )
    tariff = "null" if record.tariff_version is None else jcs.text(record.tariff_version)
    text = (
        f'{{"energy_kwh":{kwh_text(record.energy_mwh)},"evidence":{evidence_text(record.evidence)}'
        f',"export_kwh":{kwh_text(record.export_mwh)}'
        f',"interval_s":{record.interval_s},"iot_device_id":"{record.iot_device_id}","meter_id":"{record.meter_id}"'
        f',"power_kw_avg":{kw_text(record.power_mw)},"schema_version":"{SCHEMA}","site_id":"{record.site_id}"'
        f',"status":"{record.status}","tags":[{",".join(map(jcs.text, record.tags))}]'
        f',"ts_end":"{rfc3339(record.end_s)}","ts_start":"{rfc3339(record.start_s)}","tx":{{{tx_amount}'
        f',"bitcoin_txid":null,"channel":"{record.channel}","ln_invoice_id":null,{tx_price}'
        f',"settlement_status":"pending","tariff_version":{tariff},"unit":"sats"}}}}'
    )
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise Refusal("tags", "a text holds half of a surrogate pair") from None
    if len(data) > MAX_RECORD_BYTES:
        raise Refusal("tags", f"make the record longer than {MAX_RECORD_BYTES} bytes")
    return data


_RECOMPUTED = frozenset(["interval_s", "power_kw_avg", "tx.amount_msat", "tx.amount_sats", "tx.price_sats_per_kwh"])
_MEMBERS = frozenset(
    [
        "schema_version",
        "site_id",
        "iot_device_id",
        "meter_id",
        "ts_start",
        "ts_end",
        "interval_s",
        "energy_kwh",
        "export_kwh",
        "power_kw_avg",
        "status",
        "tags",
        "tx",
        "evidence",
    ]
)


def parse_body(data: bytes) -> Record:
    """The record that data is the canonical form of; Refusal names the first member that is wrong."""
    value = jcs.loads(data, MAX_RECORD_BYTES)
    if not isinstance(value, Mapping):
        raise Refusal("record", "must be a JSON object")
    odd = sorted(value.keys() ^ _MEMBERS)
    if odd:
        raise Refusal(odd[0][:64], "is no member of emlog-1.1" if odd[0] in value else "is missing")
    tx, tags = value["tx"], value["tags"]
    if not isinstance(tx, Mapping):
        raise Refusal("tx", "must be an object")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise Refusal("tags", "must be an array of texts")
    record = Record(
        identifier(value["site_id"], "site_id"),
        identifier(value["iot_device_id"], "iot_device_id"),
        identifier(value["meter_id"], "meter_id"),
        parse_rfc3339(value["ts_start"], "ts_start"),
        parse_rfc3339(value["ts_end"], "ts_end"),
        quantity(value["energy_kwh"], 6, "energy_kwh"),
        quantity(value["export_kwh"], 6, "export_kwh"),
        _word(value["status"], "status"),
        parse_evidence(value["evidence"]),
        _optional_int(tx.get("price_msat_per_kwh"), "tx.price_msat_per_kwh"),
        _optional_text(tx.get("tariff_version"), "tx.tariff_version"),
        _word(tx.get("channel"), "tx.channel"),
        tuple(tags),
    )
    check(record)
    canonical = body(record)
    if canonical != data:
        difference = jcs.first_difference(value, jcs.loads(canonical, MAX_RECORD_BYTES))
        if difference is None:
            raise Refusal("record", "is not in canonical form (RFC 8785)")
        field, said, right = difference
        if field in _RECOMPUTED:
            raise Refusal(field, f"is {said}, but the record's other values give {right}: one of them was changed")
        raise Refusal(field, f"is {said}, but must be {right}")
    return record


def _word(value: jcs.Json, field: str) -> str:
    if not isinstance(value, str):
        raise Refusal(field, "must be a text")
    return value


def _optional_text(value: jcs.Json, field: str) -> str | None:
    if value is None or (isinstance(value, str) and len(value) <= 256):
        return value
    raise Refusal(field, "must be null or a text of at most 256 characters")


def _optional_int(value: jcs.Json, field: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise Refusal(field, "must be null or an integer")
