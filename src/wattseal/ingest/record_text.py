"""Bodies of readings' records, written from what stays the same in a chain's records and what does not.

This runs once per record. `core.derivation` says what the record is and `core.emlog.body` how it is written; a test
holds the bytes equal to theirs.
"""

from __future__ import annotations

from typing import NamedTuple

from wattseal.core.derivation import Boundary
from wattseal.core.emlog import MAX_AMOUNT_MSAT, SCHEMA
from wattseal.core.jcs import text
from wattseal.core.units import rfc3339, sats_text


class RecordBody(NamedTuple):
    """A record's canonical bytes and the columns that stand beside it: mWh, msat."""

    body: bytes
    energy_mwh: int
    export_mwh: int
    price_msat: int | None
    amount_msat: int | None


class RecordText:
    """The unchanging text of the records of one chain, kind of evidence and price."""

    __slots__ = ("_device", "_kind", "_no_price", "_price", "_price_msat", "_site")

    def __init__(
        self, path: tuple[str, str, str], kind: str, kid: bytes, price_msat: int | None, tariff_version: str | None
    ) -> None:
        site_id, device_id, meter_id = path
        self._kind = f'],"kid":"{kid.hex()}","kind":"{kind}","seq":['
        self._device = f',"iot_device_id":"{device_id}","meter_id":"{meter_id}","power_kw_avg":'
        self._site = f',"schema_version":"{SCHEMA}","site_id":"{site_id}","status":"'
        self._price_msat = price_msat
        self._no_price = _after_amount(None, None)
        self._price = _after_amount(price_msat, tariff_version)

    def body(self, start: Boundary, end: Boundary, *, gap: bool) -> RecordBody:
        """The record from one boundary to the next, whose time is later and whose registers have not fallen."""
        start_s, end_s = start.time_s, end.time_s
        interval_s = end_s - start_s
        energy_mwh, export_mwh = end.import_mwh - start.import_mwh, end.export_mwh - start.export_mwh
        # units.average_power_mw and units.quote_msat, in place: half-even.
        power_mw, rest = divmod(energy_mwh * 3_600, interval_s)
        rest += rest
        if rest > interval_s or (rest == interval_s and power_mw & 1):
            power_mw += 1
        price_msat, amount_msat, price = self._price_msat, None, self._no_price
        amount = '"amount_msat":null,"amount_sats":null'
        if price_msat is not None:
            amount_msat, rest = divmod(energy_mwh * price_msat, 1_000_000)
            if rest > 500_000 or (rest == 500_000 and amount_msat & 1):
                amount_msat += 1
            if amount_msat <= MAX_AMOUNT_MSAT:
                amount, price = f'"amount_msat":{amount_msat},"amount_sats":{sats_text(amount_msat)}', self._price
            else:
                price_msat = amount_msat = None
        body = (
            f'{{"energy_kwh":{_millionths(energy_mwh)},"evidence":{{"claims":null,"epoch":[{start.epoch},{end.epoch}{self._kind}'
            f'{start.seq},{end.seq}],"source":null}},"export_kwh":{_millionths(export_mwh)}'
            f',"interval_s":{interval_s}{self._device}{_millionths(power_mw)}{self._site}{"gap" if gap else "ok"}'
            f'","tags":[],"ts_end":"{rfc3339(end_s)}","ts_start":"{rfc3339(start_s)}","tx":{{{amount}{price}'
        )
        return RecordBody(body.encode(), energy_mwh, export_mwh, price_msat, amount_msat)


def _millionths(units: int) -> str:
    """`kwh_text` or `kw_text` of what is not negative."""
    whole, rest = divmod(units, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)


def _after_amount(price_msat: int | None, tariff_version: str | None) -> str:
    price = '"price_msat_per_kwh":null,"price_sats_per_kwh":null'
    if price_msat is not None:
        price = f'"price_msat_per_kwh":{price_msat},"price_sats_per_kwh":{sats_text(price_msat)}'
    version = "null" if price_msat is None or tariff_version is None else text(tariff_version)
    return (
        f',"bitcoin_txid":null,"channel":"ln","ln_invoice_id":null,{price}'
        f',"settlement_status":"pending","tariff_version":{version},"unit":"sats"}}}}'
    )
