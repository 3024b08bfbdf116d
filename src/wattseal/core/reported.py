"""A JSON interval that somebody reported, and the record that follows from it (docs/spec/emlog.md §6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from wattseal.core import jcs
from wattseal.core.derivation import fits
from wattseal.core.document import Members
from wattseal.core.emlog import CHANNELS, SCHEMA, STATUSES, Record, body, check
from wattseal.core.evidence import MAX_CLAIM, Evidence
from wattseal.core.refusal import Refusal
from wattseal.core.units import (
    MAX_ENERGY_MWH,
    average_power_mw,
    divide_half_even,
    quantity,
    quote_msat,
)

MAX_REPORTED_BYTES = 16_384
_MAX_INTERVAL_S = 366 * 86_400
_IDENTITY = ("site_id", "iot_device_id", "meter_id")


@dataclass(frozen=True, slots=True)
class Claim:
    """A number that a client gave beside what it follows from: `units` of 10^-decimals, of which it wrote `written`."""

    units: int
    decimals: int
    written: int

    def differs(self, recomputed: int) -> bool:
        """Whether it is another number than the recomputed one, rounded half-even to the decimals that were written."""
        step = int(10 ** (self.decimals - min(self.written, self.decimals)))
        return divide_half_even(recomputed, step) * step != self.units


@dataclass(frozen=True, slots=True)
class Interval:
    """A reported interval; identity members are None where the payload leaves them to the topic or path."""

    site_id: str | None
    iot_device_id: str | None
    meter_id: str | None
    start_s: int
    end_s: int
    energy_mwh: int
    export_mwh: int
    status: str
    tags: tuple[str, ...]
    price_msat_per_kwh: int | None
    channel: str
    power: Claim | None
    amount: Claim | None

    def record(
        self,
        site_id: str,
        iot_device_id: str,
        meter_id: str,
        price_msat: int | None = None,
        tariff_version: str | None = None,
    ) -> Record:
        """The record of kind `reported` for that meter.

        Price (msat per kWh) and version are those of the tariff valid at its start. Without one, or where its quote is
        an amount that no record can carry, the price is the payload's own claim (docs/spec/emlog.md §4).
        """
        power_mw = average_power_mw(self.energy_mwh, self.end_s - self.start_s)
        price = price_msat
        if price is None or not fits(self.energy_mwh, price):
            price, tariff_version = self.price_msat_per_kwh, None
        amount_msat = None if price is None else quote_msat(self.energy_mwh, price)
        power_claim = self.power.units if self.power and self.power.differs(power_mw) else None
        amount_differs = self.amount is not None and (amount_msat is None or self.amount.differs(amount_msat))
        amount_claim = self.amount.units if self.amount and amount_differs else None
        evidence = Evidence("reported", claimed_power_mw=power_claim, claimed_amount_msat=amount_claim)
        record = Record(
            site_id,
            iot_device_id,
            meter_id,
            self.start_s,
            self.end_s,
            self.energy_mwh,
            self.export_mwh,
            self.status,
            evidence,
            price,
            tariff_version,
            self.channel,
            self.tags,
        )
        check(record)
        # What cannot be written as a record is refused here, before anything was acknowledged.
        body(record)
        return record


def parse_interval(raw: bytes) -> Interval:
    """An interval from the bytes received; Refusal names the first member that is wrong."""
    value = jcs.loads(raw, MAX_REPORTED_BYTES)
    if not isinstance(value, Mapping):
        raise Refusal("interval", "must be a JSON object")
    members = _Optional(value)
    identity = [members.identifier(name) if members.has(name) else None for name in _IDENTITY]
    if members.has("schema_version"):
        members.one_of("schema_version", (SCHEMA,))
    start_s, end_s = members.time("ts_start"), members.time("ts_end")
    if not start_s < end_s <= start_s + _MAX_INTERVAL_S:
        raise Refusal("ts_end", "must lie after ts_start, at most 366 days")
    if members.integer("interval_s", 1, _MAX_INTERVAL_S) != end_s - start_s:
        raise Refusal("interval_s", f"must be ts_end - ts_start, which is {end_s - start_s}")
    tx = _Optional(members.any("tx") if members.has("tx") else {}, "tx")
    price = _price(members, tx)
    interval = Interval(
        identity[0],
        identity[1],
        identity[2],
        start_s,
        end_s,
        _energy(members, "energy_kwh"),
        _energy(members, "export_kwh") if members.has("export_kwh") else 0,
        members.one_of("status", STATUSES) if members.has("status") else "ok",
        _tags(members),
        price,
        tx.one_of("channel", CHANNELS) if tx.has("channel") else "ln",
        members.claim("power_kw_avg", 6),
        _amount(tx),
    )
    tx.settled_elsewhere()
    if members.has("evidence"):
        raise Refusal("evidence", "is given by the gate, not by the sender; leave it out")
    members.done()
    return interval


class _Optional(Members):
    """Members that may be left out."""

    def has(self, name: str) -> bool:
        return name in self._rest

    def claim(self, name: str, decimals: int) -> Claim | None:
        """A number that a record can carry, or null or nothing."""
        value = self.any(name) if self.has(name) else None
        if value is None:
            return None
        units = quantity(value, decimals, self.field(name))
        exponent = value.as_tuple().exponent if isinstance(value, Decimal) else 0
        written = max(0, -exponent) if isinstance(exponent, int) else 0
        if not -MAX_CLAIM <= units <= MAX_CLAIM:
            raise Refusal(self.field(name), "has more than 15 digits")
        return Claim(units, decimals, written)

    def settled_elsewhere(self) -> None:
        """The members of tx that a sender may repeat, but whose values are not the sender's to give (emlog.md §4)."""
        for name, only in (
            ("unit", "sats"),
            ("settlement_status", "pending"),
            ("ln_invoice_id", None),
            ("bitcoin_txid", None),
            ("tariff_version", None),
        ):
            if self.has(name) and self.any(name) != only:
                raise Refusal(self.field(name), f"must be {only or 'null'} in a report")
        self.done()


def _energy(members: Members, name: str) -> int:
    energy = members.decimal(name, 6)
    if energy > MAX_ENERGY_MWH:
        raise Refusal(name, "is more than a billion kWh")
    return energy


def _price(members: _Optional, tx: _Optional) -> int | None:
    found = []
    for where, name, decimals in (
        (members, "price_sats_per_kwh", 3),
        (tx, "price_sats_per_kwh", 3),
        (tx, "price_msat_per_kwh", 0),
    ):
        price = where.optional_decimal(name, decimals) if where.has(name) else None
        if price is not None:
            found.append(price)
    if len(set(found)) > 1:
        raise Refusal("price_sats_per_kwh", "is given twice with different values")
    return found[0] if found else None


def _amount(tx: _Optional) -> Claim | None:
    """The claimed amount, in either unit."""
    sats, msat = tx.claim("amount_sats", 3), tx.claim("amount_msat", 0)
    if sats is not None and msat is not None and sats.differs(msat.units):
        raise Refusal("tx.amount_msat", "is another amount than amount_sats")
    return sats if msat is None else Claim(msat.units, 3, 3)


def _tags(members: _Optional) -> tuple[str, ...]:
    tags = members.list("tags", 16) if members.has("tags") else []
    if not all(isinstance(tag, str) for tag in tags):
        raise Refusal("tags", "must be an array of texts")
    return tuple(str(tag) for tag in tags)
