"""Whether what an entry stands on is stored: the readings at a record's edges, those set aside, and whose secret it is.

An entry commits to digests alone. Without the readings themselves nobody could be shown that a device signed them.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from wattseal.core.emlog import Record
from wattseal.core.registry import meter_path
from wattseal.core.statement import QUARANTINE
from wattseal.log.port import BOUNDARY, EntryRow, Read, ReadingRow
from wattseal.log.report import Findings
from wattseal.log.salts import NO_SECRET

_READING_KINDS: Final = frozenset({"device", "gateway", "operator"})


class EdgeCheck:
    """Looks into entries in order. `set_aside` then holds the quarantined digests whose readings must be stored."""

    def __init__(self, read: Read, findings: Findings) -> None:
        self._read = read
        self._findings = findings
        self._meter_nos = {meter_path(*row[1:]): row.meter_no for row in read.meters()}
        self._chain_nos = {(row.kid, row.meter_no): row.chain_no for row in read.chains()}
        self._secrets = {row.secret_no: row for row in read.secrets()}
        self._last: dict[int, ReadingRow] = {}
        """The end of each chain's newest record: the next one mostly begins with it."""
        self.set_aside: dict[bytes, int] = {}
        """Digest of a quarantined signed reading -> index of its entry."""
        self.quarantined: set[bytes] = set()

    def look_into(self, row: EntryRow, value: object) -> None:
        """Check a row; `value` is its parsed body."""
        secret = self._secrets.get(row.secret_no)
        if secret is not None and row.secret_no != NO_SECRET and secret.meter_no != row.meter_no:
            self._findings.bad(f"its secret belongs to meter number {secret.meter_no}", row.idx)
        if row.schema == QUARANTINE:
            self._quarantine(row)
        elif isinstance(value, Record) and value.evidence.kind in _READING_KINDS:
            self._edges(row, value)

    def _quarantine(self, row: EntryRow) -> None:
        raw = self._read.raw(row.idx)
        if raw is None:
            self.set_aside.setdefault(row.start_slot, row.idx)
            self.quarantined.add(row.start_slot)
        elif sha256(raw[0]).digest() != row.start_slot or raw[1]:
            self._findings.bad("the bytes that were set aside were changed", row.idx)

    def _edges(self, row: EntryRow, record: Record) -> None:
        evidence = record.evidence
        if evidence.kid is None or evidence.epoch is None or evidence.seq is None:
            return  # a record's form forbids it, and its parser says so
        path = meter_path(record.site_id, record.iot_device_id, record.meter_id)
        chain_no = self._chain_nos.get((bytes.fromhex(evidence.kid), self._meter_nos.get(path, 0)))
        if chain_no is None:
            self._findings.bad(f"there is no chain of the key {evidence.kid} and its meter", row.idx)
            return
        for place, (name, slot) in enumerate((("start", row.start_slot), ("end", row.end_slot))):
            reading = self._reading(chain_no, evidence.epoch[place], evidence.seq[place], slot)
            if reading is None:
                text = f"epoch {evidence.epoch[place]}, seq {evidence.seq[place]}"
                self._findings.bad(f"the signed reading at its {name} ({text}) is missing or was changed", row.idx)
            elif reading.state != BOUNDARY:
                self._findings.bad(f"the reading at its {name} is stored as {reading.state}", row.idx)
            elif name == "end":
                self._last[chain_no] = reading

    def _reading(self, chain_no: int, epoch: int, seq: int, digest: bytes) -> ReadingRow | None:
        last = self._last.get(chain_no)
        if last is not None and (last.epoch, last.seq, last.digest) == (epoch, seq, digest):
            return last
        try:
            rows = self._read.reading(chain_no, epoch, seq)
        except LookupError:
            return None  # an index names a row that is not there
        place = chain_no, epoch, seq, digest
        return next((row for row in rows if (row.chain_no, row.epoch, row.seq, row.digest) == place), None)
