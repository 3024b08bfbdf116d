"""The world in which the meter was swapped, and the operator declared it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from tests.core.world import DEVICE, METER, ORIGIN, SITE, START, World
from wattseal.core.derivation import device_record
from wattseal.core.discontinuity import SCHEMA, SWAP, Declared, Discontinuity
from wattseal.core.emlog import Record
from wattseal.core.entry import Slots
from wattseal.core.note import Note
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.reading import encode_payload
from wattseal.core.statement import statement_text

AT = 1
"""The record across the swap: it begins with the last reading of the old meter."""
UNREAD = 40_000


@dataclass
class DeclaredWorld(World):
    """After its second reading the old meter counted 0.04 kWh more; the new one began at 0.5 kWh."""

    def take_evidence(self) -> None:
        super().take_evidence()
        old, _ = self.readings[AT]
        first, _ = self.readings[AT + 1]
        signed, prev = self.readings[: AT + 1], hashlib.sha256(encode_payload(old)).digest()
        for reading, _ in self.readings[AT + 1 :]:
            register = 500_000 + 10_000 + reading.import_mwh - first.import_mwh
            swapped = replace(reading, import_mwh=register, prev=prev)
            signed.append((swapped, self.device.sign(swapped)))
            prev = hashlib.sha256(encode_payload(swapped)).digest()
        self.readings = signed
        self.declare(self.statement())

    def statement(self) -> Discontinuity:
        old, _ = self.readings[AT]
        after, operator = hashlib.sha256(encode_payload(old)).digest(), self.operator.verifier.name
        before_mwh, why = old.import_mwh + UNREAD, "calibration has run out"
        kid = self.device.kid
        return Discontinuity(
            SWAP, SITE, DEVICE, METER, kid, after, before_mwh, 0, 500_000, 0, True, why, START, operator
        )

    def declare(self, statement: Discontinuity, signer: Ed25519Signer | None = None) -> None:
        """Log a statement with a note over it, by default the operator's; the record across names the last one."""
        data = statement.body()
        text = statement_text(SCHEMA, data).encode()
        note = bytes(Note(text, ((signer or self.operator).sign(text),)))
        index = self.add(data, Slots(end=hashlib.sha256(note).digest()), self.registry_secret)
        self.statements = [(index, note)]
        self.declared = Declared(statement, self.items[index].entry)

    def record(self, place: int) -> Record:
        if place != AT:
            return super().record(place)
        start, end = self.readings[place][0], self.readings[place + 1][0]
        return device_record(
            SITE,
            DEVICE,
            METER,
            "operator",
            self.device.kid,
            start,
            end,
            gap=not self.declared.statement.before_known,
            price_msat=self.tariff.price_msat_per_kwh,
            tariff_version=self.tariff.label,
            discontinuity=self.declared.correction,
        )

    def shown_names(self) -> list[str]:
        return sorted(name for name in self.names if not name.startswith(f"signer/{ORIGIN}+"))
