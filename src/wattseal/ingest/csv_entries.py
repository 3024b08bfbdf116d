"""Writes a file of history into the log: the operator's statement, then the records (docs/spec/emlog.md §7).

It may be stopped at any moment and run again: the file, the mapping and the meters name the statement, and what it has
given is found and left alone. All methods run in the writer's transaction, through `Ingest.call` or the like.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wattseal.core.emlog import SCHEMA, Record, body, check
from wattseal.core.entry import Slots, entry_hash
from wattseal.core.evidence import Evidence
from wattseal.core.note import Note
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.refusal import Refusal
from wattseal.core.registry import Meter, meter_path
from wattseal.core.statement import Import, parse_import, statement_text
from wattseal.core.units import rfc3339
from wattseal.ingest.csv_history import HistoryRecord
from wattseal.ingest.csv_import import Summary, first_chain
from wattseal.ingest.csv_mapping import Mapping
from wattseal.ingest.draft import salt_maker, statement_draft
from wattseal.ingest.enrolment import Enrolment
from wattseal.log.ids import new_ids
from wattseal.log.port import EntryRow, Read, Write
from wattseal.log.salts import SaltSource
from wattseal.log.sequencer import Draft, Sequencer

SCHEMA_IMPORT: Final = "import-1"


@dataclass(frozen=True, slots=True)
class HistoryFile:
    """What is imported, where to: the file's digest, how it is read, whose meters they are."""

    file_sha256: bytes
    mapping: Mapping
    site_id: str
    iot_device_id: str

    def path(self, meter_id: str) -> str:
        """Site/device/meter."""
        return meter_path(self.site_id, self.iot_device_id, meter_id)

    @property
    def paths(self) -> tuple[str, ...]:
        """Of all meters of the mapping, in its order."""
        return tuple(self.path(columns.meter_id) for columns in self.mapping.meters)

    def chains(self) -> dict[str, bytes]:
        """Where each meter's row chain begins, by meter id."""
        mapping_sha256 = self.mapping.sha256()
        return {
            columns.meter_id: first_chain(self.file_sha256, mapping_sha256, self.path(columns.meter_id))
            for columns in self.mapping.meters
        }


class HistoryEntries:
    """The log's side of one import. `source` is the statement's entry in hex, once `begin` has run."""

    def __init__(self, sequencer: Sequencer, enrolment: Enrolment, operator: Ed25519Signer, file: HistoryFile) -> None:
        self._sequencer = sequencer
        self._enrolment = enrolment
        self._operator = operator
        self._file = file
        self.source: str | None = None

    @property
    def chains(self) -> dict[str, bytes]:
        """Where each meter's row chain begins, by meter id."""
        return self._file.chains()

    def intervals(self, otherwise_s: int) -> dict[str, int]:
        """The grid of each meter by meter id: as registered, else as mapped, else `otherwise_s`."""
        known = self._enrolment.registry.meters
        return {
            columns.meter_id: known[path].record_interval_s
            if path in known
            else columns.record_interval_s or otherwise_s
            for columns, path in zip(self._file.mapping.meters, self._file.paths, strict=True)
        }

    def look_up(self, read: Read) -> str | None:
        """The statement of an earlier run over the same file, mapping and meters, if there is one."""
        salts = SaltSource(read.secrets())
        mapping_sha256 = self._file.mapping.sha256()
        for row in read.entries_of_schema(SCHEMA_IMPORT):
            statement = parse_import(row.body)
            is_same = (statement.file_sha256, statement.mapping_sha256) == (self._file.file_sha256, mapping_sha256)
            if is_same and statement.meters == self._file.paths:
                self.source = salts.entry(row).hex()
                return self.source
        return None

    def missing(self, read: Read, meter_id: str, records: Sequence[HistoryRecord]) -> list[HistoryRecord]:
        """Those of these records, in order, that an earlier run did not write.

        Refusal where another record of the meter covers part of their time: energy would count twice.
        """
        meter_no = self._enrolment.staged.meter_nos.get(self._file.path(meter_id))
        if meter_no is None or not records:
            return list(records)
        known: dict[int, EntryRow] = {}
        for row in read.records_of_meter(meter_no, records[0].start_s, records[-1].end_s):
            if self.source is None or row.kind != "import" or f'"source":"{self.source}"'.encode() not in row.body:
                self._refuse_overlap(meter_id, row, records)
            elif row.start_s is not None:
                known[row.start_s] = row
        return [record for record in records if record.start_s not in known]

    def _refuse_overlap(self, meter_id: str, row: EntryRow, records: Sequence[HistoryRecord]) -> None:
        start_s, end_s = row.start_s or 0, row.end_s or 0
        if any(record.start_s < end_s and start_s < record.end_s for record in records):
            span = f"{rfc3339(start_s)} to {rfc3339(end_s)}"
            raise Refusal(
                "overlap",
                f"the log has a record of {self._file.path(meter_id)}, kind {row.kind}, from {span}, which this file "
                "covers again; energy is never counted twice. Leave the time out, or import into another meter",
            )

    def begin(self, tx: Write, now_s: int, summary: Summary, intervals: dict[str, int]) -> str:
        """Register meters that are not known yet, and write the statement unless an earlier run did; its entry."""
        for columns, path in zip(self._file.mapping.meters, self._file.paths, strict=True):
            if path not in self._enrolment.staged.meters:
                meter = Meter(
                    self._file.site_id,
                    self._file.iot_device_id,
                    columns.meter_id,
                    columns.role,
                    (),
                    intervals[columns.meter_id],
                    self._file.mapping.zone,
                    summary.first_s or 0,
                )
                self._enrolment.register_meter(tx, now_s, meter)
        return self.look_up(tx) or self._state(tx, now_s, summary)

    def _state(self, tx: Write, now_s: int, summary: Summary) -> str:
        if summary.first_s is None or summary.last_s is None:
            raise Refusal("file", "holds no row that could be imported")
        statement = Import(
            self._file.file_sha256,
            self._file.mapping.json(),
            summary.rows,
            self._file.paths,
            summary.first_s,
            summary.last_s,
            self._operator.verifier.name,
        )
        data = statement.body()
        text = statement_text(SCHEMA_IMPORT, data).encode()
        note = bytes(Note(text, (self._operator.sign(text),)))
        slots = Slots(end=hashlib.sha256(note).digest())
        secret = self._enrolment.log_secret(tx)
        draft = statement_draft(new_ids(now_s * 1_000, 1)[0], data, SCHEMA_IMPORT, secret, now_s, slots)
        index = self._sequencer.append(tx, [draft])
        tx.add_raw([(index, b"", note.decode())])
        self.source = entry_hash(draft.salts, data, slots).hex()
        return self.source

    def add(self, tx: Write, now_s: int, meter_id: str, records: Sequence[HistoryRecord]) -> int:
        """Write those of a meter's records that are not there yet; returns how many."""
        missing = self.missing(tx, meter_id, records)
        path = self._file.path(meter_id)
        registry = self._enrolment.staged
        meter, meter_no = registry.meters[path], registry.meter_nos[path]
        secret = registry.secrets[meter_no]
        salts = salt_maker(secret.secret).salts
        evidence = Evidence("import", source=self.source)
        site_id, device_id = self._file.site_id, self._file.iot_device_id
        drafts = []
        quote = registry.quote(meter, 0)
        for entry_id, found in zip(new_ids(now_s * 1_000, len(missing)), missing, strict=True):
            start_s, end_s, energy_mwh, export_mwh, status, chain_before, chain_after = found
            if not quote.from_s <= start_s < quote.to_s:
                quote = registry.quote(meter, start_s)
            record = Record(
                site_id,
                device_id,
                meter_id,
                start_s,
                end_s,
                energy_mwh,
                export_mwh,
                status,
                evidence,
                quote.price_msat,
                quote.label,
            )
            check(record)
            drafts.append(
                Draft(
                    entry_id,
                    SCHEMA,
                    secret.secret_no,
                    salts(entry_id),
                    Slots(chain_before, chain_after),
                    body(record),
                    now_s,
                    meter_no,
                    "import",
                    start_s,
                    end_s,
                    energy_mwh,
                    export_mwh,
                    record.price_msat_per_kwh,
                    record.amount_msat,
                    status,
                )
            )
        if drafts:
            self._sequencer.append(tx, drafts)
        return len(drafts)
