"""An operator in memory, built from `core` alone: it signs readings, keeps a log, writes bundles and a trust file.

It is written apart from `wattseal.log`, so that the verifier is tested against a second maker of bundles. A lying
operator uses it too: every list can be changed before the bundle is made.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from wattseal.anchor.simulated import SimulatedChain
from wattseal.core.batch import Batch
from wattseal.core.bitcoin.digest import to_display
from wattseal.core.checkpoint import Checkpoint
from wattseal.core.derivation import device_record
from wattseal.core.emlog import Record, body
from wattseal.core.entry import EMPTY_SLOTS, PUBLIC, Salts, Slots, derive_salts, entry_hash
from wattseal.core.merkle import Frontier, consistency_path, inclusion_path, leaf_hash
from wattseal.core.note import Note
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.reading import Beacon, Reading, assemble, encode_payload, kid_of, signed_bytes
from wattseal.core.registry import DeviceKey, Meter, Signer, Tariff, map_key
from wattseal.core.sorted_map import SortedMap
from wattseal.core.units import rfc3339

ORIGIN = "example.org/wattseal/test"
START = 1_764_547_200  # 2025-12-01T00:00:00Z
INTERVAL = 300
SITE, DEVICE, METER = "PLANT-01", "gw-01", "MTR-001"
SERIAL = bytes.fromhex("0123456789abcdefee")


@dataclass
class Item:
    """One entry as the operator keeps it."""

    entry_id: bytes
    salts: Salts
    slots: Slots
    body: bytes

    @property
    def entry(self) -> bytes:
        return entry_hash(self.salts, self.body, self.slots)


class VirtualDevice:
    """A P-256 key in software with a chain of readings."""

    def __init__(self, secret: int = 7) -> None:
        self.private = ec.derive_private_key(secret, ec.SECP256R1())
        numbers = self.private.public_key().public_numbers()
        self.public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        self.kid = kid_of(self.public)

    def sign(self, reading: Reading) -> bytes:
        payload = encode_payload(reading)
        der = self.private.sign(signed_bytes(self.kid, payload), ec.ECDSA(SHA256(), deterministic_signing=True))
        r, s = utils.decode_dss_signature(der)
        return assemble(self.kid, payload, r.to_bytes(32, "big") + s.to_bytes(32, "big"))


@dataclass
class World:
    """A log with one metered chain of `records` records, a registry, a batch and an anchor."""

    records: int = 12
    simulated_key: bool = False
    items: list[Item] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    readings: list[tuple[Reading, bytes]] = field(default_factory=list)
    reported: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Bytes received and the gateway's note, by record."""
    statements: list[tuple[int, bytes]] = field(default_factory=list)
    """Index of the statement's entry and the operator's note."""
    record_indexes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log_signer = Ed25519Signer(ORIGIN, bytes([1]) * 32)
        self.operator = Ed25519Signer(f"{ORIGIN}/operator", bytes([2]) * 32)
        self.device = VirtualDevice()
        self.secret, self.registry_secret = bytes([3]) * 32, bytes([4]) * 32
        self.chain = SimulatedChain.create(START)
        self.key = DeviceKey(self.device.public, SITE, DEVICE, SERIAL, START, simulated=self.simulated_key)
        self.meter = Meter(SITE, DEVICE, METER, "consumption", (self.device.kid,), INTERVAL, "Europe/Berlin", START)
        self.tariff = Tariff("flat", 1, SITE, 100_000, START)
        self.register(Signer(ORIGIN, "log", self.log_signer.verifier.vkey, START))
        self.register(Signer(self.operator.verifier.name, "operator", self.operator.verifier.vkey, START))
        self.register(self.key)
        self.register(self.meter)
        self.register(self.tariff)
        self.take_evidence()
        self.add_records()

    # --- making entries

    def new_id(self) -> bytes:
        return hashlib.sha256(f"id {len(self.items)}".encode()).digest()[:16]

    def add(self, data: bytes, slots: Slots = EMPTY_SLOTS, secret: bytes | None = None) -> int:
        entry_id = self.new_id()
        salts = PUBLIC if secret is None else derive_salts(secret, entry_id)
        self.items.append(Item(entry_id, salts, slots, data))
        return len(self.items) - 1

    def register(self, registration: Signer | DeviceKey | Meter | Tariff) -> None:
        self.names[registration.registry_name] = self.add(registration.body(), secret=self.registry_secret)

    def take_evidence(self) -> None:
        height, first8 = self.chain.beacon()
        prev, register = bytes([9]) * 32, 5_000_000
        for seq in range(self.records + 1):
            time_s = START + seq * INTERVAL + seq % 7
            register += 123_456 + 1_000 * seq
            reading = Reading(
                SERIAL, METER, 1, seq, time_s, 2, register, 0, 1_500_000, 0, bytes(8), prev, Beacon(height, first8)
            )
            self.readings.append((reading, self.device.sign(reading)))
            prev = hashlib.sha256(encode_payload(reading)).digest()

    def record(self, place: int) -> Record:
        start, end = self.readings[place][0], self.readings[place + 1][0]
        return device_record(
            SITE,
            DEVICE,
            METER,
            "device",
            self.device.kid,
            start,
            end,
            gap=False,
            price_msat=self.tariff.price_msat_per_kwh,
            tariff_version=self.tariff.label,
        )

    def slots(self, place: int) -> Slots:
        digests = [hashlib.sha256(encode_payload(reading)).digest() for reading, _ in self.readings[place : place + 2]]
        return Slots(digests[0], digests[1])

    def add_records(self) -> None:
        for place in range(self.records):
            self.record_indexes.append(self.add(body(self.record(place)), self.slots(place), self.secret))

    # --- the log

    def registry_map(self) -> tuple[SortedMap, dict[str, int]]:
        rows = sorted((map_key(name), name) for name in self.names)
        places = {name: place for place, (_, name) in enumerate(rows)}
        return SortedMap((key, self.items[self.names[name]].entry) for key, name in rows), places

    def close(self) -> bytes:
        """Append the batch entry and return the signed checkpoint."""
        commitment = self.registry_map()[0].commitment
        last = len(self.items)
        batch = Batch(ORIGIN, 0, 0, last, START + 90_000, None, 0, 0, commitment.size, commitment.root)
        self.add(batch.body())
        return self.sign_checkpoint()

    def levels(self) -> list[list[bytes]]:
        return Frontier().extend([leaf_hash(item.entry) for item in self.items])

    def root(self) -> bytes:
        tree = Frontier()
        tree.extend([leaf_hash(item.entry) for item in self.items])
        return tree.root()

    def sign_checkpoint(self) -> bytes:
        text = Checkpoint(ORIGIN, len(self.items), self.root()).body()
        return bytes(Note(text, (self.log_signer.sign(text),)))

    def anchor(self, checkpoint: bytes) -> dict[str, Any]:
        digest = Checkpoint.parse(Note.parse(checkpoint).text).digest()
        self.chain.publish(digest, START + 90_000)
        self.chain.mine(START + 90_600, 6)
        evidence = self.chain.evidence(digest)
        assert evidence is not None
        return evidence.to_json()

    # --- the files

    def shown_names(self) -> list[str]:
        """The registrations that the bundle shows."""
        return sorted(name for name in self.names if not name.startswith("signer/"))

    def bundle(self, *, since: int | None = None, places: range | None = None) -> dict[str, Any]:
        """A bundle of the records at `places` (all by default) under a checkpoint that closes the log now."""
        checkpoint = self.close()
        levels, size = self.levels(), len(self.items)
        hashes: list[str] = []
        known: dict[bytes, int] = {}

        def node(level: int, index: int) -> bytes:
            return levels[level][index]

        def refer(path: list[bytes] | tuple[bytes, ...]) -> list[int]:
            for value in path:
                if value not in known:
                    known[value] = len(hashes)
                    hashes.append(value.hex())
            return [known[value] for value in path]

        def entry(index: int) -> dict[str, Any]:
            item = self.items[index]
            return {
                "index": index,
                "salts": [item.salts.entry.hex(), item.salts.body.hex(), item.salts.reading.hex()],
                "slots": [item.slots.start.hex(), item.slots.end.hex()],
                "body": item.body.decode(),
                "path": refer(inclusion_path(node, index, size)),
            }

        def statement(index: int, note: bytes) -> dict[str, Any]:
            return {"note": note.decode(), "entry": entry(index)}

        sorted_map, map_places = self.registry_map()
        places = range(self.records) if places is None else places
        registry = []
        for name in self.shown_names():
            proof = sorted_map.prove_member(map_key(name))
            registry.append(
                {
                    "name": name,
                    "map_index": map_places[name],
                    "map_path": refer(proof.path),
                    "entry": entry(self.names[name]),
                }
            )
        consistency = None
        if since is not None:
            consistency = {"size": since, "path": refer(consistency_path(node, since, size))}
        return {
            "format": "wattseal-bundle-1",
            "meter": {"site_id": SITE, "iot_device_id": DEVICE, "meter_id": METER},
            "period": {
                "from": rfc3339(START + places.start * INTERVAL),
                "to": rfc3339(START + places.stop * INTERVAL),
            },
            "checkpoint": checkpoint.decode(),
            "consistency": consistency,
            "batch": entry(size - 1),
            "registry": registry,
            "statements": [statement(index, note) for index, note in self.statements],
            "records": [entry(self.record_indexes[place]) for place in places],
            "readings": [base64.b64encode(data).decode() for _, data in self.readings[places.start : places.stop + 1]],
            "reported": [
                {"raw": base64.b64encode(raw).decode(), "note": note.decode()}
                for raw, note in self.reported[places.start : places.stop]
            ],
            "anchors": [self.anchor(checkpoint)],
            "bill": None,
            "hashes": hashes,
        }

    def trust_text(self, *, last_seen: bytes | None = None, keys: bool = False) -> str:
        lines = ["version = 1", "[[log]]", f'origin = "{ORIGIN}"', f'vkey = "{self.log_signer.verifier.vkey}"']
        if last_seen is not None:
            lines.append(f"last_seen = {json.dumps(last_seen.decode())}")
        if keys:
            lines += ["[[device_key]]", f'public_key = "{self.device.public.hex()}"']
        lines += ["[[chain]]", 'name = "simulated"', "simulated = true", "blocks = ["]
        lines += [
            f'  {{height = {height}, hash = "{to_display(found)}"}},'
            for height, found in self.chain.known_blocks().items()
        ]
        lines.append("]")
        return "\n".join(lines) + "\n"


def to_file(bundle: dict[str, Any]) -> bytes:
    """The bytes of a bundle file."""
    return json.dumps(bundle, ensure_ascii=False).encode()


def pruned(bundle: dict[str, Any]) -> dict[str, Any]:
    """The bundle without the hashes that nothing refers to any more, as its maker would write it."""
    parts = [*bundle["registry"], *bundle["statements"]]
    paths = [entry["path"] for entry in (bundle["batch"], *bundle["records"], *(part["entry"] for part in parts))]
    paths += [item["map_path"] for item in bundle["registry"]]
    used = sorted({place for path in paths for place in path})
    moved = {place: new for new, place in enumerate(used)}
    for path in paths:
        path[:] = [moved[place] for place in path]
    bundle["hashes"] = [bundle["hashes"][place] for place in used]
    return bundle
