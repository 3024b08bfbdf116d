"""Writes proof bundles out of the store (docs/spec/proof.md §1)."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from wattseal.core import jcs
from wattseal.core.bundle import FORMAT, MAX_RECORDS
from wattseal.core.checkpoint import Checkpoint
from wattseal.core.discontinuity import SCHEMA as DISCONTINUITY
from wattseal.core.discontinuity import parse_discontinuity
from wattseal.core.emlog import Record, parse_body
from wattseal.core.merkle import consistency_path, inclusion_path
from wattseal.core.note import Note
from wattseal.core.reading import parse_envelope
from wattseal.core.refusal import Refusal
from wattseal.core.registry import meter_path, parse_meter
from wattseal.core.statement import operator_of
from wattseal.core.tiles import NodeReader
from wattseal.core.tlog_proof import TlogProof
from wattseal.core.units import rfc3339
from wattseal.log.port import BOUNDARY, BatchRow, EntryRow, MeterRow, Read
from wattseal.log.registrations import RegistryMap, registrations
from wattseal.log.releases import releases_of
from wattseal.log.salts import SaltSource
from wattseal.log.tail import tile_reader

ANCHORED_STATES = ("in_block", "final")


class NotYet(LookupError):
    """The entries are in the log, but no checkpoint covers them yet; the message says what to do."""


class _Head(NamedTuple):
    """The checkpoint that a proof leads to."""

    batch: BatchRow
    checkpoint: str
    size: int


def _head(read: Read, idx: int) -> _Head:
    """The newest anchored checkpoint that covers the entry, else the newest one; NotYet where none does."""
    newest = next(iter(read.batches(limit=1, newest_first=True)), None)
    anchored = max((row.batch for row in read.attestations() if row.state in ANCHORED_STATES), default=-1)
    for batch in (read.batch(anchored) if anchored >= 0 else None, newest):
        if batch is not None and batch.checkpoint is not None and batch.last_idx >= idx:
            return _Head(batch, batch.checkpoint, batch.last_idx + 1)
    raise NotYet(f"entry {idx} is stored but in no closed batch yet; wait for the next one, or flush")


class _Writer:
    """One bundle in the making: entries and paths over one table of hashes."""

    def __init__(self, read: Read, head: _Head) -> None:
        self._salts = SaltSource(read.secrets())
        self._size = head.size
        self._read_node = NodeReader(tile_reader(read), head.size)
        self._places: dict[bytes, int] = {}

    @property
    def hashes(self) -> list[str]:
        return [value.hex() for value in self._places]

    @property
    def salts(self) -> SaltSource:
        return self._salts

    def refer(self, path: Iterable[bytes]) -> list[int]:
        return [self._places.setdefault(value, len(self._places)) for value in path]

    def entry(self, row: EntryRow) -> dict[str, Any]:
        salts = self._salts.salts(row)
        return {
            "index": row.idx,
            "salts": [salts.entry.hex(), salts.body.hex(), salts.reading.hex()],
            "slots": [row.start_slot.hex(), row.end_slot.hex()],
            "body": row.body.decode(),
            "path": self.refer(inclusion_path(self._read_node, row.idx, self._size)),
        }

    def consistency(self, since: int | None) -> dict[str, Any] | None:
        if since is None or since == self._size:
            return None
        if not 0 < since < self._size:
            raise Refusal("since", f"must be a size of this log from 1 to {self._size}, the checkpoint's")
        return {"size": since, "path": self.refer(consistency_path(self._read_node, since, self._size))}


def build_bundle(read: Read, *, path: str, from_s: int, to_s: int, since: int | None = None) -> bytes:
    """A bundle of the records of the meter `path` (site/device/meter) that cover [from_s, to_s).

    The period is narrowed to the grid slots that records cover. `since` adds the proof that the log continues a
    checkpoint of that size. Refusal where there is no such meter or no record, NotYet before there is a checkpoint.
    """
    meter = next((row for row in read.meters() if _path(row) == path), None)
    if meter is None:
        raise Refusal("meter", f"there is no meter {path}")
    rows = read.records_of_meter(meter.meter_no, from_s, to_s)
    if not rows:
        raise Refusal("period", f"the meter {path} has no records from {rfc3339(from_s)} to {rfc3339(to_s)}")
    return _bundle(read, meter, rows, (from_s, to_s), since)


def record_bundle(read: Read, row: EntryRow, *, since: int | None = None) -> bytes:
    """A bundle of one record, or of the parts that superseded it."""
    meter = next((meter for meter in read.meters() if meter.meter_no == row.meter_no), None)
    if meter is None or row.start_s is None or row.end_s is None:
        raise Refusal("log_id", "is no record")
    # A record that was superseded is shown by its parts, so that no file disagrees with another about what stands.
    rows = read.records_of_meter(meter.meter_no, row.start_s, row.end_s) if read.superseded([row.idx]) else [row]
    return _bundle(read, meter, rows, (row.start_s, row.end_s), since)


def _path(meter: MeterRow) -> str:
    return meter_path(meter.site_id, meter.iot_device_id, meter.meter_id)


def _bundle(read: Read, meter: MeterRow, rows: Sequence[EntryRow], wanted: tuple[int, int], since: int | None) -> bytes:
    if len(rows) > MAX_RECORDS:
        raise Refusal("period", f"holds {len(rows)} records; a bundle carries at most {MAX_RECORDS}")
    head = _head(read, max(row.idx for row in rows))
    writer = _Writer(read, head)
    registry = registrations(read, head.batch.last_idx)
    records = [parse_body(row.body) for row in rows]
    statements = _statements(read, records) + _release_statements(read, writer.salts, rows, records)
    operators = {operator_of(row.body, row.schema) for row, note in statements if note}
    names = _names(
        meter, records, registry, operators, Checkpoint.parse(Note.parse(head.checkpoint.encode()).text).origin
    )
    from_s, to_s = _period(wanted, rows, registry.get(f"meter/{_path(meter)}"))
    placed = RegistryMap(registry, writer.salts)
    document = {
        "format": FORMAT,
        "meter": {"site_id": meter.site_id, "iot_device_id": meter.iot_device_id, "meter_id": meter.meter_id},
        "period": {"from": rfc3339(from_s), "to": rfc3339(to_s)},
        "checkpoint": head.checkpoint,
        "consistency": writer.consistency(since),
        "batch": writer.entry(read.entries(head.batch.last_idx, 1)[0]),
        "registry": [_registration(writer, placed, name, registry[name]) for name in names],
        "statements": [{"note": note, "entry": writer.entry(row)} for row, note in statements],
        "records": [writer.entry(row) for row in rows],
        "readings": [base64.b64encode(data).decode() for data in _readings(read, meter, rows, records, statements)],
        "reported": _reported(read, rows),
        "anchors": _anchors(read, head.batch),
        "bill": None,
    }
    return json.dumps({**document, "hashes": writer.hashes}, ensure_ascii=False, separators=(",", ":")).encode()


def _registration(writer: _Writer, placed: RegistryMap, name: str, row: EntryRow) -> dict[str, Any]:
    place, path = placed.place(name)
    return {"name": name, "map_index": place, "map_path": writer.refer(path), "entry": writer.entry(row)}


def _names(
    meter: MeterRow,
    records: Sequence[Record],
    registry: Mapping[str, EntryRow],
    operators: Collection[str],
    origin: str,
) -> list[str]:
    """The registrations that the verifier will ask for; the log's own key says whether the log is a rehearsal."""
    names = {f"meter/{_path(meter)}"}
    body = registry.get(f"meter/{_path(meter)}")
    if body is not None:
        names |= {f"key/{kid.hex()}" for kid in parse_meter(body.body).kids}
    names |= {f"tariff/{record.tariff_version}" for record in records if record.tariff_version is not None}
    reported = any(record.evidence.kind == "reported" for record in records)
    for name, row in registry.items():
        if name.startswith("signer/"):
            signer = name.removeprefix("signer/").rpartition("+")[0]
            role = str(_member(row.body, "role"))
            wanted = {"operator": signer in operators, "gateway": reported, "log": signer == origin}
            if wanted.get(role, False):
                names.add(name)
    return sorted(name for name in names if name in registry)


def _member(body: bytes, name: str) -> jcs.Json:
    value = jcs.loads(body, len(body))
    return value.get(name) if isinstance(value, Mapping) else None


def _period(wanted: tuple[int, int], rows: Sequence[EntryRow], meter: EntryRow | None) -> tuple[int, int]:
    """The wanted period, widened to the grid and narrowed to what the records cover."""
    interval = 1 if meter is None else parse_meter(meter.body).record_interval_s
    covered_from, covered_to = (rows[0].start_s or 0) // interval, (rows[-1].end_s or 0) // interval
    from_s = max(wanted[0] // interval, covered_from) * interval
    to_s = min(-(-wanted[1] // interval), covered_to) * interval
    return from_s, to_s


def _statements(read: Read, records: Sequence[Record]) -> list[tuple[EntryRow, str]]:
    """The imports and declared discontinuities that the records name, with the operator's notes."""
    wanted = {record.evidence.source for record in records if record.evidence.source is not None}
    if not wanted:
        return []
    salts, found = SaltSource(read.secrets()), []
    for row in (*_all_of(read, "import-1"), *_all_of(read, DISCONTINUITY)):
        if salts.entry(row).hex() in wanted:
            raw = read.raw(row.idx)
            if raw is None:
                raise Refusal("statements", f"the operator's note of entry {row.idx} is missing: run fsck")
            found.append((row, raw[1]))
    return found


def _release_statements(
    read: Read, salts: SaltSource, rows: Sequence[EntryRow], records: Sequence[Record]
) -> list[tuple[EntryRow, str]]:
    """The quarantine entries and decisions that records of the kind operator rest on; only the decisions have notes."""
    digests = {
        slot
        for row, record in zip(rows, records, strict=True)
        if record.evidence.kind == "operator" and record.evidence.source is None
        for slot in (row.start_slot, row.end_slot)
    }
    found = releases_of(read, digests, salts)
    return [pair for release in found for pair in ((release.quarantined, ""), (release.decision, release.note))]


def _all_of(read: Read, schema: str) -> Iterator[EntryRow]:
    """All entries of a schema other than records, in index order."""
    after = -1
    while rows := read.entries_of_schema(schema, after):
        yield from rows
        after = rows[-1].idx


def _readings(
    read: Read,
    meter: MeterRow,
    rows: Sequence[EntryRow],
    records: Sequence[Record],
    statements: Sequence[tuple[EntryRow, str]],
) -> list[bytes]:
    """The boundary readings of the records, and the last ones before declared discontinuities, each once."""
    chains = [chain for chain in read.chains() if chain.meter_no == meter.meter_no]
    salts = SaltSource(read.secrets())
    declared = {
        salts.entry(row).hex(): parse_discontinuity(row.body) for row, _ in statements if row.schema == DISCONTINUITY
    }
    found: dict[bytes, bytes] = {}
    for row, record in zip(rows, records, strict=True):
        evidence = record.evidence
        if evidence.epoch is None or evidence.seq is None:
            continue
        for place, slot in enumerate((row.start_slot, row.end_slot)):
            if slot not in found:
                found[slot] = _reading(
                    read, [chain.chain_no for chain in chains], evidence.epoch[place], evidence.seq[place], slot
                )
        if evidence.kind == "operator" and evidence.source is not None:
            after = declared[evidence.source].after
            if after not in found:
                places = evidence.epoch[0], evidence.seq[0]
                found[after] = _reading_between(read, [chain.chain_no for chain in chains], places, after)
    return list(found.values())


def _reading_between(read: Read, chains: Sequence[int], place: tuple[int, int], digest: bytes) -> bytes:
    """The reading with that digest after a place of one of these chains."""
    for chain_no in chains:
        epoch, seq = place
        while rows := read.readings_after(chain_no, epoch, seq, 256):
            for row in rows:
                if row.digest == digest:
                    return row.cose
                if row.state == BOUNDARY:
                    break
            else:
                epoch, seq = rows[-1].epoch, rows[-1].seq
                continue
            break
    raise Refusal("readings", f"the reading {digest.hex()} before a discontinuity is missing from the store: run fsck")


def _reading(read: Read, chains: Sequence[int], epoch: int, seq: int, digest: bytes) -> bytes:
    for chain_no in chains:
        for row in read.reading(chain_no, epoch, seq):
            if row.digest == digest and parse_envelope(row.cose).digest == digest:
                return row.cose
    raise Refusal(
        "readings", f"the reading {digest.hex()} (epoch {epoch}, seq {seq}) is missing from the store: run fsck"
    )


def _reported(read: Read, rows: Sequence[EntryRow]) -> list[dict[str, str]]:
    found = []
    for row in rows:
        if row.kind == "reported":
            raw = read.raw(row.idx)
            if raw is None:
                raise Refusal("reported", f"what was reported for entry {row.idx} is missing: run fsck")
            found.append({"raw": base64.b64encode(raw[0]).decode(), "note": raw[1]})
    return found


def _anchors(read: Read, batch: BatchRow) -> list[Any]:
    rows = read.attestations(batch=batch.number)
    return [json.loads(row.evidence, parse_float=str) for row in rows if row.state in ANCHORED_STATES and row.evidence]


def tlog_proof(read: Read, row: EntryRow) -> bytes:
    """A C2SP tlog-proof of one entry (docs/spec/proof.md §5)."""
    head = _head(read, row.idx)
    path = inclusion_path(NodeReader(tile_reader(read), head.size), row.idx, head.size)
    return bytes(TlogProof(row.idx, tuple(path), head.checkpoint.encode()))


def proof_document(read: Read, row: EntryRow) -> dict[str, Any]:
    """The inclusion proof as the API shows it; it discloses nothing of the body."""
    head = _head(read, row.idx)
    salts = SaltSource(read.secrets())
    path = inclusion_path(NodeReader(tile_reader(read), head.size), row.idx, head.size)
    return {
        "log_id": row.entry_id.hex(),
        "leaf_index": row.idx,
        "tree_size": head.size,
        "entry": salts.entry(row).hex(),
        "hashes": [value.hex() for value in path],
        "checkpoint": head.checkpoint,
        "batch_id": head.batch.number,
        "root": Checkpoint.parse(Note.parse(head.checkpoint.encode()).text).root.hex(),
    }
