"""Operators and holders of files who lie where a verifier once believed them."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, replace
from typing import Any

from tests.core.vouched_world import MAPPING, PATH, ReportedWorld, rewritten
from tests.core.world import INTERVAL, ORIGIN, START, World, pruned
from wattseal.core.entry import Slots
from wattseal.core.evidence import Evidence
from wattseal.core.note import Note
from wattseal.core.reading import encode_payload
from wattseal.core.registry import Signer
from wattseal.core.statement import Import, statement_text
from wattseal.core.units import rfc3339


@dataclass
class OpenWorld(World):
    """Its bundles show the operator's key and the log's own as well."""

    def shown_names(self) -> list[str]:
        return sorted(self.names)


def imported(world: World, places: range, energy_mwh: int | None = None, *, copies_slots: bool = False) -> None:
    """Put an import's records in the place of a device's, with a row chain or with the slots that were there."""
    end_s = world.record(places.stop - 1).end_s
    file_sha256 = hashlib.sha256(b"history %d" % places.start).digest()
    claim = Import(file_sha256, MAPPING, 1, (PATH,), START, end_s, world.operator.verifier.name)
    data = claim.body()
    text = statement_text("import-1", data).encode()
    note = bytes(Note(text, (world.operator.sign(text),)))
    index = world.add(data, Slots(end=hashlib.sha256(note).digest()), world.registry_secret)
    world.statements.append((index, note))
    source = world.items[index].entry
    rows = [hashlib.sha256(source + bytes([place])).digest() for place in range(places.stop + 1)]
    for place in places:
        record = world.record(place)
        energy = record.energy_mwh if energy_mwh is None else energy_mwh
        rewritten(world, place, replace(record, energy_mwh=energy, evidence=Evidence("import", source=source.hex())))
        if not copies_slots:
            world.items[world.record_indexes[place]].slots = Slots(rows[place], rows[place + 1])


def resigned(world: World, flags: int) -> None:
    """The device signs its readings anew with these flags; the log follows."""
    prev = world.readings[0][0].prev
    for place, (reading, _) in enumerate(world.readings):
        signed = replace(reading, prev=prev, flags=flags)
        world.readings[place] = (signed, world.device.sign(signed))
        prev = hashlib.sha256(encode_payload(signed)).digest()
    for place in range(world.records):
        world.items[world.record_indexes[place]].slots = world.slots(place)
        rewritten(world, place, world.record(place))


def without(bundle: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The bundle without the registrations whose name begins so."""
    cut = copy.deepcopy(bundle)
    cut["registry"] = [item for item in cut["registry"] if not item["name"].startswith(prefix)]
    return pruned(cut)


def overpriced() -> World:
    """The records quote a hundred times the price of the tariff that they name."""
    world = World(records=3)
    for place in range(3):
        rewritten(world, place, replace(world.record(place), price_msat_per_kwh=10_000_000))
    return world


def rehearsed_log() -> World:
    """A log whose registry calls its own key simulated."""
    world = OpenWorld(records=3)
    world.register(Signer(ORIGIN, "log", world.log_signer.verifier.vkey, START, simulated=True))
    return world


class OtherNames(ReportedWorld):
    """What was reported names another meter than the one that the gateway put it under."""

    @staticmethod
    def payload(place: int) -> bytes:
        start_s = START + place * INTERVAL
        return (
            f'{{"iot_device_id": "gw-09", "meter_id": "MTR-999", "ts_start": "{rfc3339(start_s)}", '
            f'"ts_end": "{rfc3339(start_s + INTERVAL)}", "interval_s": {INTERVAL}, "energy_kwh": 999}}'
        ).encode()
