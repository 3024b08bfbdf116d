"""A small log that is the same each time: ids, secrets and times are fixed, so two runs end in the same checkpoint."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.log.sample_readings import payload, row_of, signed_reading
from wattseal.core.emlog import Record, body
from wattseal.core.entry import EMPTY_SLOTS, Slots, derive_salts, entry_hash
from wattseal.core.evidence import Evidence
from wattseal.core.note import Note
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.reading import parse_payload
from wattseal.core.registry import DeviceKey, Meter, Signer, Tariff, map_key, parse_meter
from wattseal.core.sorted_map import map_root
from wattseal.core.statement import Decision, Import, Quarantine, reported_text, statement_text
from wattseal.log.fsck import check_store
from wattseal.log.guard import Guard, read_guard
from wattseal.log.port import BOUNDARY, SET_ASIDE, BatchRow, Read, ReadingRow, Store, Write
from wattseal.log.registrations import REGISTRY_SCHEMAS, registry_name
from wattseal.log.report import Report
from wattseal.log.salts import SaltSource
from wattseal.log.sequencer import Draft, RegistryCommitment, Sequencer
from wattseal.log.sqlite import SqliteStore

ORIGIN = "example.org/wattseal/sample"
SIGNER = Ed25519Signer(ORIGIN, bytes([1]) * 32)
OPERATOR = Ed25519Signer(f"{ORIGIN}/operator", bytes([2]) * 32)
GATEWAY = Ed25519Signer(f"{ORIGIN}/gateway", bytes([3]) * 32)
START = 1_764_547_200  # 2025-12-01T00:00:00Z
INTERVAL = 300
SITE, DEVICE = "PLANT-01", "gw-01"

LOAD, SUN, FLAT = 1, 2, 3
"""Numbers of the meters: a disclosed consumer, a disclosed producer, a tenant's flat."""
NAMES = {LOAD: "MTR-LOAD", SUN: "MTR-SUN", FLAT: "MTR-FLAT"}
LOG_SECRET = 1
"""secret_no of the log; that of a meter is one more than its number."""

# The curve's generator point: a valid public key.
KEY = DeviceKey(
    bytes.fromhex(
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    ),
    SITE,
    DEVICE,
    bytes.fromhex("0123456789abcdefee"),
    START,
)


def secret(number: int) -> bytes:
    return hashlib.sha256(b"secret %d" % number).digest()


def meter(number: int, *, disclosed: bool | None = None) -> Meter:
    role = "production" if number == SUN else "consumption"
    shown = number != FLAT if disclosed is None else disclosed
    return Meter(SITE, DEVICE, NAMES[number], role, (KEY.kid,), INTERVAL, "Europe/Berlin", START, disclosed=shown)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def signed(signer: Ed25519Signer, text: str) -> str:
    return bytes(Note(text.encode(), (signer.sign(text.encode()),))).decode()


def draft_of(name: str, schema: str, data: bytes, *, slots: Slots = EMPTY_SLOTS, secret_no: int = LOG_SECRET) -> Draft:
    """A draft whose id follows from its name."""
    entry_id = digest(f"id {name}")[:16]
    return Draft(entry_id, schema, secret_no, derive_salts(secret(secret_no), entry_id), slots, data, START)


def entry_of(draft: Draft) -> bytes:
    return entry_hash(draft.salts, draft.body, draft.slots)


def registry_drafts() -> list[Draft]:
    signers = [
        Signer(signer.verifier.name, role, signer.verifier.vkey, START)
        for signer, role in ((SIGNER, "log"), (OPERATOR, "operator"), (GATEWAY, "gateway"))
    ]
    documents: list[tuple[str, Signer | DeviceKey | Tariff]] = [("signer-1", one) for one in signers]
    documents += [("key-1", KEY), ("tariff-1", Tariff("flat", 1, SITE, 100, START))]
    drafts = [draft_of(one.registry_name, schema, one.body()) for schema, one in documents]
    return drafts + [draft_of(f"meter {number}", "meter-1", meter(number).body()) for number in NAMES]


def record(
    number: int,
    slot: int,
    *,
    slots_long: int = 1,
    kind: str = "device",
    energy: int | None = None,
    source: str | None = None,
    start: str | None = None,
    status: str = "ok",
) -> Draft:
    """The record of a meter from one grid slot on; the slots of a chain follow from meter and time alone."""
    start_s, end_s = START + slot * INTERVAL, START + (slot + slots_long) * INTERVAL
    energy = 1_000_000 + slot if energy is None else energy
    import_mwh, export_mwh = (0, energy) if number == SUN else (energy, 0)
    is_chained = kind in {"device", "operator"}
    evidence = Evidence(
        kind,
        KEY.kid.hex() if is_chained else None,
        (1, 1) if is_chained else None,
        (slot, slot + slots_long) if is_chained else None,
        source,
    )
    value = Record(SITE, DEVICE, NAMES[number], start_s, end_s, import_mwh, export_mwh, status, evidence, 100, "flat/1")
    slots = Slots(digest(f"{number} {start_s} {kind}"), digest(f"{number} {end_s} {kind}"))
    if is_chained:
        slots = Slots(*(hashlib.sha256(reading(number, place, kind)).digest() for place in (slot, slot + slots_long)))
    if start is not None:
        slots = Slots(digest(start), slots.end)
    plain = draft_of(
        f"record {number} {slot} {slots_long} {kind}", "emlog-1.1", body(value), slots=slots, secret_no=number + 1
    )
    return plain._replace(
        meter_no=number,
        kind=kind,
        start_s=start_s,
        end_s=end_s,
        energy_mwh=import_mwh,
        export_mwh=export_mwh,
        price_msat=100,
        amount_msat=value.amount_msat,
        status=status,
    )


def reading(number: int, slot: int, kind: str = "device") -> bytes:
    """The payload of a meter's reading on a grid slot."""
    return payload(KEY.serial, NAMES[number], max(slot, 0), START + slot * INTERVAL, kind, is_export=number == SUN)


def records(first: int, count: int) -> list[Draft]:
    """Records of all three meters for `count` grid slots."""
    return [record(number, slot) for slot in range(first, first + count) for number in NAMES]


@dataclass
class Statement:
    """An entry with a signed note beside it."""

    draft: Draft
    note: str
    raw: bytes = b""


def statement(name: str, schema: str, data: bytes, signer: Ed25519Signer = OPERATOR) -> Statement:
    note = signed(signer, statement_text(schema, data))
    return Statement(draft_of(name, schema, data, slots=Slots(end=digest(note))), note)


def reported(slot: int) -> Statement:
    """A reported record of the flat, with the bytes that came and the gateway's note."""
    raw = b'{"slot":%d}' % slot
    note = signed(GATEWAY, reported_text(raw, f"{SITE}/{DEVICE}/{NAMES[FLAT]}", START))
    plain = record(FLAT, slot, kind="reported")
    draft = plain._replace(slots=Slots(hashlib.sha256(raw).digest(), digest(note)))
    return Statement(draft, note, raw)


def history(count: int) -> tuple[Statement, list[Draft]]:
    """An import of `count` slots before START for the consumer, with the statement that vouches for it."""
    data = Import(
        digest("file"),
        {},
        count,
        (f"{SITE}/{DEVICE}/{NAMES[LOAD]}",),
        START - count * INTERVAL,
        START,
        OPERATOR.verifier.name,
    ).body()
    statement_ = statement("import", "import-1", data)
    source = entry_of(statement_.draft).hex()
    return statement_, [record(LOAD, slot, kind="import", source=source) for slot in range(-count, 0)]


def quarantined() -> Draft:
    data = Quarantine(START, "register-fell", "fell by 5 kWh", KEY.kid, NAMES[LOAD], 1, 77).body()
    slots = Slots(hashlib.sha256(reading(LOAD, 77, "aside")).digest())
    plain = draft_of("quarantine", "quarantine-1", data, slots=slots, secret_no=LOAD + 1)
    return plain._replace(meter_no=LOAD, kind="device", start_s=START)


def decision() -> Statement:
    data = Decision(entry_of(quarantined()), "reject", "a test", START, OPERATOR.verifier.name).body()
    return statement("decision", "decision-1", data)


@dataclass
class Desk:
    """An open log. `store` is the bare one, also where the sequencer sees it through a wrapper."""

    store: Store
    guard: Guard
    sequencer: Sequencer

    def commitment(self) -> RegistryCommitment:
        """What the registry in the store commits to, as the next batch must say it."""
        with self.store.read() as read:
            source = SaltSource(read.secrets())
            rows = sorted(row for schema in REGISTRY_SCHEMAS for row in read.entries_of_schema(schema))
        registry = {registry_name(row): (source.entry(row), row) for row in rows}
        root = map_root(sorted((map_key(name), entry) for name, (entry, _) in registry.items()))
        meters = [parse_meter(row.body) for _, row in registry.values() if row.schema == "meter-1"]
        numbers = {name: number for number, name in NAMES.items()}
        shown = frozenset(numbers[one.meter_id] for one in meters if one.disclosed)
        return RegistryCommitment(root.size, root.root, shown, frozenset({SUN}))

    def set_up(self) -> None:
        """Secrets, meters, registry: in one transaction, once."""
        with self.store.read() as read:
            if read.secrets():
                return
        with self.sequencer.write() as tx:
            add_numbers(tx)
            self.sequencer.append(tx, registry_drafts())

    def append(self, *drafts: Draft) -> int:
        """Append records, and the readings that bound them as far as they are not there."""
        with self.sequencer.write() as tx:
            add_readings(tx, drafts)
            return self.sequencer.append(tx, drafts)

    def state(self, *statements: Statement) -> int:
        """Append statements or reported records, with what stands beside them."""
        with self.sequencer.write() as tx:
            first = self.sequencer.append(tx, [one.draft for one in statements])
            tx.add_raw([(index, one.raw, one.note) for index, one in enumerate(statements, first)])
        return first

    def body_at(self, idx: int) -> bytes:
        with self.store.read() as read:
            return read.entries(idx, 1)[0].body

    def close_batch(self) -> BatchRow:
        return self.sequencer.close_batch(START + 86_400, self.commitment())


def add_numbers(tx: Write) -> None:
    numbers = [tx.add_secret(None, 0, None, secret(LOG_SECRET))]
    for number, name in NAMES.items():
        made = tx.add_meter(SITE, DEVICE, name)
        tx.add_chain(KEY.kid, made)
        numbers += [made, tx.add_secret(made, 0, None, secret(number + 1))]
    assert numbers == [1, 1, 2, 2, 3, 3, 4]


def add_readings(tx: Write, drafts: Sequence[Draft]) -> None:
    """The signed readings that these drafts commit to, once each."""
    rows: dict[bytes, ReadingRow] = {}
    for draft in drafts:
        if draft.meter_no is None:
            continue
        wanted = [
            (BOUNDARY, kind, time_s) for kind in ("device", "operator") for time_s in (draft.start_s, draft.end_s)
        ]
        if draft.schema == "quarantine-1":
            wanted = [(SET_ASIDE, "aside", START + 77 * INTERVAL)]
        for state, kind, time_s in wanted:
            data = reading(draft.meter_no, ((time_s or 0) - START) // INTERVAL, kind)
            digest_ = hashlib.sha256(data).digest()
            if digest_ not in (draft.slots.start, draft.slots.end) or digest_ in rows:
                continue
            row = row_of(draft.meter_no, signed_reading(KEY.kid, data), parse_payload(data), state)
            if all(other.digest != digest_ for other in tx.reading(draft.meter_no, row.epoch, row.seq)):
                rows[digest_] = row
    if rows:
        tx.add_readings(list(rows.values()))


Wrap = Callable[[Store], Store]


@cache
def _empty_store() -> bytes:
    """The file of a store in which nothing is yet; its migrations run once for all tests."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "log.db")
        SqliteStore.open(path, create=True).close()
        return path.read_bytes()


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder in memory, where there is one: for tests that make thousands of commits and are not about the disk."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@contextmanager
def opened(folder: Path, *, guard: Guard | None = None, wrap: Wrap | None = None) -> Iterator[Desk]:
    """The log in a folder: `log.db`, and the guard apart from it."""
    held = guard or Guard(folder / "apart" / "guard")
    try:
        if not (folder / "log.db").exists():
            (folder / "log.db").write_bytes(_empty_store())
        store = SqliteStore.open(folder / "log.db")
        try:
            seen: Store = store if wrap is None else wrap(store)
            yield Desk(store, held, Sequencer.open(seen, origin=ORIGIN, signer=SIGNER, guard=held, now=START))
        finally:
            store.close()
    finally:
        held.close()


def fill(desk: Desk) -> None:
    """Several batches with an entry of every kind; sizes cross the borders of tiles."""
    desk.set_up()
    desk.append(*records(0, 5))
    desk.close_batch()
    import_, rows = history(20)
    desk.state(import_)
    desk.append(*rows)
    desk.append(quarantined())
    desk.state(decision())
    desk.close_batch()
    desk.append(*records(5, 100))
    desk.state(*(reported(slot) for slot in range(200, 210)))
    desk.close_batch()
    desk.append(*records(105, 3))
    desk.close_batch()


def checked(folder: Path) -> Report:
    """fsck of the log in a folder, as the command does it."""
    guard = read_guard(folder / "apart" / "guard")
    store = SqliteStore.open(folder / "log.db", read_only=True)
    try:
        return check_store(store, guard, SIGNER.verifier)
    finally:
        store.close()


def all_checkpoints(read: Read) -> Mapping[int, str]:
    """Checkpoints by size."""
    return {row.last_idx + 1: row.checkpoint for row in read.batches(limit=10_000) if row.checkpoint is not None}
