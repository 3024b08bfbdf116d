"""Billed: price, sum and rounding recomputed, and by what it was paid (docs/spec/proof.md §3.5)."""

from __future__ import annotations

from collections.abc import Mapping

from wattseal.core.contents import Contents
from wattseal.core.refusal import Refusal
from wattseal.core.registry import Tariff, parse_tariff
from wattseal.core.verdict import Answer


def judge(contents: Contents, registry: Mapping[str, bytes] | None) -> Answer:
    """Unknown, as bundles hold no bill yet; but no, if a quote is not that of the tariff version that it names."""
    tariffs: dict[str, tuple[Tariff, frozenset[str]]] = {}
    try:
        for place, record in enumerate(contents.all_records()):
            label = record.tariff_version
            if registry is None or label is None or f"tariff/{label}" not in registry:
                continue
            if label not in tariffs:
                parsed = parse_tariff(registry[f"tariff/{label}"])
                tariffs[label] = parsed, frozenset(parsed.meters)
            tariff, meters = tariffs[label]
            applies = tariff.site_id == record.site_id and tariff.valid_from_s <= record.start_s
            if meters and f"{record.iot_device_id}/{record.meter_id}" not in meters:
                applies = False
            if not applies or record.price_msat_per_kwh != tariff.price_msat_per_kwh:
                return Answer("no", f"records.{place}: the quote is not that of the tariff {tariff.label}")
    except Refusal as refusal:
        return Answer("no", str(refusal))
    return Answer("unknown", "this file holds records with quotes, not a bill")
