"""The two worlds without a meter's signature: imported history, and intervals that somebody reported to a gateway."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal

from tests.core.world import DEVICE, INTERVAL, METER, ORIGIN, SITE, START, World
from wattseal.core import jcs
from wattseal.core.emlog import Record, body
from wattseal.core.entry import Slots
from wattseal.core.evidence import Evidence
from wattseal.core.note import Note
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.registry import Signer
from wattseal.core.reported import parse_interval
from wattseal.core.statement import Import, reported_text, statement_text
from wattseal.core.units import kwh_text, rfc3339

PATH = f"{SITE}/{DEVICE}/{METER}"
MAPPING: jcs.Json = {"time": "end", "import": {"column": "kwh", "unit": "kWh"}, "factor": Decimal("0.5")}


@dataclass
class ImportWorld(World):
    """Records out of a CSV file with one row per record, under one `import-1` statement."""

    def take_evidence(self) -> None:
        self.rows = [
            f"{rfc3339(START + (place + 1) * INTERVAL)},{kwh_text(self.energy(place))}".encode()
            for place in range(self.records)
        ]
        self.file = b"end,kwh\r\n" + b"".join(row + b"\r\n" for row in self.rows)
        self.file_sha256 = hashlib.sha256(self.file).digest()
        mapping_sha256 = hashlib.sha256(jcs.dumps(MAPPING)).digest()
        chain = hashlib.sha256(b"wattseal/import/1\n" + self.file_sha256 + mapping_sha256 + PATH.encode()).digest()
        self.row_chain = [chain]
        for row in self.rows:
            chain = hashlib.sha256(chain + hashlib.sha256(row).digest()).digest()
            self.row_chain.append(chain)
        self.vouch(self.statement())

    @staticmethod
    def energy(place: int) -> int:
        return 1_000_000 + 250_000 * place

    def statement(self) -> Import:
        end_s = START + self.records * INTERVAL
        operator = self.operator.verifier.name
        return Import(self.file_sha256, MAPPING, self.records, (PATH,), START, end_s, operator)

    def vouch(self, statement: Import, signer: Ed25519Signer | None = None) -> None:
        """Log a statement with a note over it, by default the operator's; the records name the last one."""
        data = statement.body()
        text = statement_text("import-1", data).encode()
        note = bytes(Note(text, ((signer or self.operator).sign(text),)))
        index = self.add(data, Slots(end=hashlib.sha256(note).digest()), self.registry_secret)
        self.statements = [(index, note)]
        self.source = self.items[index].entry.hex()

    def record(self, place: int) -> Record:
        start_s = START + place * INTERVAL
        evidence = Evidence("import", source=self.source)
        price, label = self.tariff.price_msat_per_kwh, self.tariff.label
        energy = self.energy(place)
        end_s = start_s + INTERVAL
        return Record(SITE, DEVICE, METER, start_s, end_s, energy, 0, "ok", evidence, price, label)

    def slots(self, place: int) -> Slots:
        return Slots(self.row_chain[place], self.row_chain[place + 1])

    def shown_names(self) -> list[str]:
        return sorted(name for name in self.names if not name.startswith(("key/", f"signer/{ORIGIN}+")))


@dataclass
class ReportedWorld(World):
    """Records out of JSON intervals, the first of which is the white paper's example with its wrong power."""

    def __post_init__(self) -> None:
        self.gateway = Ed25519Signer(f"{ORIGIN}/gateway", bytes([5]) * 32)
        self.gateway_registration = Signer(self.gateway.verifier.name, "gateway", self.gateway.verifier.vkey, START)
        self.payloads = [self.payload(place) for place in range(self.records)]
        super().__post_init__()

    @staticmethod
    def payload(place: int) -> bytes:
        start_s = START + place * INTERVAL
        return (
            f'{{"ts_start": "{rfc3339(start_s)}", "ts_end": "{rfc3339(start_s + INTERVAL)}", "interval_s": {INTERVAL}, '
            f'"energy_kwh": 12.34, "power_kw_avg": {"148.08" if place else "2.47"}, "price_sats_per_kwh": 100, '
            '"status": "ok", "tags": ["line-A"]}'
        ).encode()

    def take_evidence(self) -> None:
        self.register(self.gateway_registration)
        for place, raw in enumerate(self.payloads):
            text = reported_text(raw, PATH, START + (place + 1) * INTERVAL + 2).encode()
            self.reported.append((raw, bytes(Note(text, (self.gateway.sign(text),)))))

    def record(self, place: int) -> Record:
        price, label = self.tariff.price_msat_per_kwh, self.tariff.label
        return parse_interval(self.payloads[place]).record(SITE, DEVICE, METER, price, label)

    def slots(self, place: int) -> Slots:
        raw, note = self.reported[place]
        return Slots(hashlib.sha256(raw).digest(), hashlib.sha256(note).digest())

    def shown_names(self) -> list[str]:
        hidden = ("key/", f"signer/{ORIGIN}+", f"signer/{ORIGIN}/operator+")
        return sorted(name for name in self.names if not name.startswith(hidden))


def rewritten(world: World, place: int, record: Record) -> None:
    """Log another body in the place of a record, as an operator could who does not mind what was signed."""
    world.items[world.record_indexes[place]].body = body(record)
