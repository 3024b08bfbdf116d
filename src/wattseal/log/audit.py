"""Follows the bodies of a log in order: chains, batches, totals, registry (docs/spec/log.md §7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from wattseal.core import jcs
from wattseal.core.batch import Batch, parse_batch
from wattseal.core.discontinuity import SCHEMA as DISCONTINUITY
from wattseal.core.discontinuity import Discontinuity, parse_discontinuity
from wattseal.core.document import MAX_BODY_BYTES, parse_document
from wattseal.core.emlog import SCHEMA as RECORD
from wattseal.core.emlog import Record, parse_body
from wattseal.core.entry import Slots
from wattseal.core.evidence import FROM_READINGS
from wattseal.core.note_key import Verifier
from wattseal.core.refusal import Refusal
from wattseal.core.registry import (
    DeviceKey,
    Meter,
    Signer,
    Tariff,
    map_key,
    meter_path,
    parse_device_key,
    parse_meter,
    parse_signer,
    parse_tariff,
)
from wattseal.core.sorted_map import MapRoot, map_root
from wattseal.core.statement import DECISION, parse_decision, parse_import
from wattseal.core.units import is_within_rating, kwh_text
from wattseal.log.amendments import (
    SUPERSESSION,
    TOMBSTONE,
    Supersession,
    fault_of,
    parse_supersession,
    parse_tombstone,
)
from wattseal.log.coverage import Coverage, Piece
from wattseal.log.report import Findings

BATCH: Final = "batch-1"

_PARSERS: Final[Mapping[str, Callable[[bytes], object]]] = {
    RECORD: parse_body,
    BATCH: parse_batch,
    "signer-1": parse_signer,
    "key-1": parse_device_key,
    "meter-1": parse_meter,
    "tariff-1": parse_tariff,
    "import-1": parse_import,
    DECISION: parse_decision,
    DISCONTINUITY: parse_discontinuity,
    SUPERSESSION: parse_supersession,
    TOMBSTONE: parse_tombstone,
}


class _Closed(NamedTuple):
    """The batch before: its number, its last index, its entry."""

    number: int = -1
    last_index: int = -1
    entry: bytes | None = None


def parse_any(schema: str, data: bytes) -> object:
    """The parsed body of a schema that is known here; one of another schema must be canonical and name it."""
    parser = _PARSERS.get(schema)
    if parser is not None:
        return parser(data)
    parse_document(data, schema)
    return None


def schema_in(data: bytes) -> str:
    """The schema_version of a body; Refusal where there is none."""
    # Nearly all bodies are records, and parse_any looks into them closely enough.
    if b'"schema_version":"emlog-1.1"' in data:
        return RECORD
    value = jcs.loads(data, MAX_BODY_BYTES)
    schema = value.get("schema_version") if isinstance(value, Mapping) else None
    if not isinstance(schema, str):
        raise Refusal("schema_version", "is missing")
    return schema


class Audit:
    """Takes each body with its entry, in order; writes what is wrong into the findings.

    `supersessions` are those of the whole log. With `is_whole` false only what is disclosed is there: then the registry
    root cannot be checked, nor the totals of batches in which a meter of `hidden` was disclosed.
    """

    def __init__(
        self,
        origin: str,
        findings: Findings,
        supersessions: Iterable[Supersession],
        *,
        is_whole: bool = True,
        hidden: frozenset[str] = frozenset(),
    ) -> None:
        self._origin = origin
        self._findings = findings
        self._is_whole = is_whole
        self._hidden = hidden
        self._superseded = {supersession.superseded for supersession in supersessions}
        self._watched = self._superseded.union(*(supersession.by for supersession in supersessions))
        self._amended: dict[bytes, Record] = {}
        self._coverage: dict[str, Coverage] = {}
        self._sums: dict[str, tuple[int, int]] = {}
        self._is_sum_known = True
        self._disclosed: dict[str, bool] = {}
        """The meters that are disclosed now, by path, and whether each is a producer."""
        self._rated_mw: dict[str, int | None] = {}
        self._registry: dict[bytes, bytes] = {}
        self._root: MapRoot | None = None
        self._closed = _Closed()
        self._supersessions: list[tuple[int, Supersession]] = []
        self._parts: set[bytes] = set()
        """Of the supersessions of the open batch."""
        self._in_batch: set[bytes] = set()
        """The records of the open batch that a supersession names."""
        self._discontinuities: dict[bytes, str] = {}
        """The path of the meter of each, by entry."""
        self.operators: list[Verifier] = []
        """The keys that may sign the operator's statements, so far."""

    def erased(self) -> None:
        """A body is not there, rightly: the totals of this batch cannot be known."""
        self._is_sum_known = False

    def body(self, index: int, schema: str, data: bytes, entry: bytes, slots: Slots) -> object:
        """Take the next body; return it parsed, None where it cannot be read or its schema has no type here."""
        self._findings.count("bodies")
        try:
            value = parse_any(schema, data)
        except Refusal as refusal:
            self._findings.bad(f"its body is no {schema}: {refusal}", index)
            self.erased()
            return None
        match value:
            case Record():
                self._record(index, value, entry, slots)
            case Batch():
                self._batch(index, value, entry)
            case Signer() | DeviceKey() | Meter() | Tariff():
                self._registration(index, value, entry)
            case Supersession():
                self._supersessions.append((index, value))
                self._parts.update(value.by)
            case Discontinuity():
                self._discontinuities[entry] = value.path
        return value

    def _record(self, index: int, record: Record, entry: bytes, slots: Slots) -> None:
        self._findings.count("records")
        path = meter_path(record.site_id, record.iot_device_id, record.meter_id)
        energy, export = self._sums.get(path, (0, 0))
        self._sums[path] = energy + record.energy_mwh, export + record.export_mwh
        source = record.evidence.source
        if record.evidence.kind == "operator" and source is not None:
            known = self._discontinuities.get(bytes.fromhex(source))
            if known != path and (known is not None or self._is_whole):
                self._findings.bad("names a discontinuity of its meter that is not in the log before it", index)
        if entry in self._watched:
            self._amended[entry] = record
            self._in_batch.add(entry)
        self._check_rating(index, path, record)
        if entry in self._superseded:
            return
        kind = record.evidence.kind
        piece = Piece(
            record.start_s,
            record.end_s,
            slots.start,
            slots.end,
            _chain(record),
            is_read=kind in FROM_READINGS,
            is_released=kind == "operator" and source is None,
        )
        coverage = self._coverage.get(path)
        if coverage is None:
            coverage = self._coverage[path] = Coverage()
        fault = coverage.add(piece)
        if fault is not None:
            self._findings.bad(fault, index)

    def _check_rating(self, index: int, path: str, record: Record) -> None:
        """What an operator declared is bounded by what the log says of the meter; the gate bounds all else."""
        rated_mw = self._rated_mw.get(path)
        if record.evidence.kind != "operator" or record.evidence.source is None or rated_mw is None:
            return
        if not is_within_rating(max(record.energy_mwh, record.export_mwh), rated_mw, record.end_s - record.start_s):
            self._findings.bad("what was declared gives it more energy than the meter's rating allows", index)

    def _registration(self, index: int, value: Signer | DeviceKey | Meter | Tariff, entry: bytes) -> None:
        self._findings.count("registrations")
        self._registry[map_key(value.registry_name)] = entry
        self._root = None
        if isinstance(value, Meter):
            self._rated_mw[value.path] = value.rated_power_mw
            self._disclosed.pop(value.path, None)
            if value.disclosed:
                self._disclosed[value.path] = value.role == "production"
        elif isinstance(value, Signer) and value.role == "operator":
            try:
                self.operators.append(Verifier.from_vkey(value.vkey))
            except Refusal as refusal:
                self._findings.bad(f"the key of {value.name} cannot be used: {refusal}", index)

    def _batch(self, index: int, batch: Batch, entry: bytes) -> None:
        self._findings.count("batches")
        before = self._closed
        expected: dict[str, tuple[object, object]] = {
            "origin": (batch.origin, self._origin),
            "batch": (batch.number, before.number + 1),
            "first_index": (batch.first_index, before.last_index + 1),
            "last_index": (batch.last_index, index),
            "previous": (_hex(batch.previous), _hex(before.entry)),
        }
        self._leave_out_parts(index)
        if self._is_sum_known and self._hidden.isdisjoint(self._disclosed):
            sums = [(self._disclosed[path], *both) for path, both in self._sums.items() if path in self._disclosed]
            consumption = sum(energy for is_producer, energy, _ in sums if not is_producer)
            production = sum(export for _, _, export in sums)
            expected["consumption_kwh"] = kwh_text(batch.consumption_mwh), kwh_text(consumption)
            expected["production_kwh"] = kwh_text(batch.production_mwh), kwh_text(production)
        else:
            self._findings.count("totals that cannot be checked")
        if self._is_whole:
            self._root = self._root or map_root(sorted(self._registry.items()))
            expected["registry.size"] = batch.registry_size, self._root.size
            expected["registry.root"] = batch.registry_root.hex(), self._root.root.hex()
        for name, (said, found) in expected.items():
            if said != found:
                self._findings.bad(f"batch {batch.number} says {name} {said}, and the log says {found}", index)
        self._sums.clear()
        self._parts.clear()
        self._in_batch.clear()
        self._is_sum_known = True
        self._closed = _Closed(batch.number, index, entry)

    def _leave_out_parts(self, index: int) -> None:
        """Their energy was counted with the record that they replace (docs/spec/log.md §3)."""
        for entry in self._parts:
            part = self._amended.get(entry)
            if part is None:
                continue  # of a meter that is not disclosed, or `finish` names the supersession
            if entry not in self._in_batch:
                self._findings.bad("a supersession in this batch names a part that stands in an earlier one", index)
                continue
            path = meter_path(part.site_id, part.iot_device_id, part.meter_id)
            energy, export = self._sums[path]
            self._sums[path] = energy - part.energy_mwh, export - part.export_mwh

    def is_superseded(self, entry: bytes) -> bool:
        """Whether a supersession, also a later one, names that record."""
        return entry in self._superseded

    def finish(self) -> None:
        """After the last body: the supersessions, and how often the records of a meter are interrupted."""
        for index, supersession in self._supersessions:
            if not self._is_whole and not self._amended.keys() >= {supersession.superseded, *supersession.by}:
                continue  # about meters that are not disclosed
            fault = fault_of(supersession, self._amended)
            if fault is not None:
                self._findings.bad(fault, index)
        if len({supersession.superseded for _, supersession in self._supersessions}) != len(self._supersessions):
            self._findings.bad("a record is superseded twice")
        for path, coverage in sorted(self._coverage.items()):
            if coverage.interruptions:
                self._findings.count("interruptions", coverage.interruptions)
                self._findings.note(f"the records of {path} stop and begin again {coverage.interruptions} times")
            if coverage.reported_between:
                self._findings.note(
                    f"{coverage.reported_between} times what was reported of {path} stands between two readings of one "
                    "chain; a bundle of that time tells whether it adds up with their registers"
                )


def _chain(record: Record) -> str | None:
    """Which chain of slots a record is a link of; a released reading stands in the chain of its device."""
    evidence = record.evidence
    if evidence.kind in FROM_READINGS:
        return f"readings of {evidence.kid}"
    if evidence.kind == "import":
        return f"rows of {evidence.source}"
    return None


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
