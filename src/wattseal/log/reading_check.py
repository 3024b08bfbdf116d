"""Looks at every stored reading: its bytes, its columns, its signature, and the chain that it is a link of.

Together with edge_check.py, which starts from the entries, nothing that was deleted between two others stays unseen.
What was deleted at the very end of a chain, and bounds no record, leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wattseal.core.reading import Reading, is_successor, parse_envelope, parse_payload
from wattseal.core.refusal import Refusal
from wattseal.core.registry import meter_path, parse_device_key, parse_meter
from wattseal.log.edge_check import EdgeCheck
from wattseal.log.port import BOUNDARY, DETAIL, SET_ASIDE, SET_ASIDE_IN_CHAIN, ChainRow, EntryRow, Read, ReadingRow
from wattseal.log.report import Findings
from wattseal.log.signature_check import SignatureCheck

_AT_ONCE: Final = 1_000
_LINKS: Final = frozenset({BOUNDARY, DETAIL, SET_ASIDE_IN_CHAIN})
_ASIDE: Final = frozenset({SET_ASIDE, SET_ASIDE_IN_CHAIN})
_TOLD_EVERY: Final = 4_096


class ReadingCheck:
    """One check of all readings of a committed state. `workers` is as in SignatureCheck; None: no signatures."""

    def __init__(self, read: Read, edges: EdgeCheck, findings: Findings, workers: int | None) -> None:
        self._read = read
        self._edges = edges
        self._findings = findings
        self._keys: dict[bytes, bytes] = {}
        """Public keys by kid."""
        self._meters: dict[str, set[bytes]] = {}
        """By path: the keys that were ever registered for it."""
        self._signatures = None if workers is None else SignatureCheck(findings, workers)
        self._seen = 0

    def run(self) -> Iterator[int]:
        """Check all of it; gives the number of readings done, now and then."""
        self._load_registry()
        names = {row.meter_no: meter_path(*row[1:]) for row in self._read.meters()}
        for path in names.values():
            if path not in self._meters:
                self._findings.bad(f"the meter {path} is stored and no entry registers it")
        try:
            for chain in self._read.chains():
                yield from self._chain(chain, names.get(chain.meter_no, ""))
            yield from self._unchained()
        finally:
            if self._signatures is not None:
                self._signatures.finish()
        if self._seen:
            self._findings.count("readings", self._seen)
        stored = self._read.counts()["reading"]
        if self._seen != stored:
            self._findings.bad(f"{stored} readings were stored, and {self._seen} are found")
        for digest, idx in self._edges.set_aside.items():
            self._findings.bad(f"the reading that was set aside, {digest.hex()}, is missing or was changed", idx)

    def _load_registry(self) -> None:
        for row in _all(self._read, "key-1"):
            try:
                key = parse_device_key(row.body)
            except Refusal:
                continue  # the walk over the entries names it
            self._keys[key.kid] = key.public_key
        for row in _all(self._read, "meter-1"):
            try:
                meter = parse_meter(row.body)
            except Refusal:
                continue
            self._meters.setdefault(meter.path, set()).update(meter.kids)

    def _chain(self, chain: ChainRow, path: str) -> Iterator[int]:
        kid = chain.kid.hex()
        if chain.kid not in self._keys:
            self._findings.bad(f"chain {chain.chain_no}: its key {kid} is not registered")
        elif chain.kid not in self._meters.get(path, ()):
            self._findings.bad(f"chain {chain.chain_no}: its key {kid} was never registered for its meter {path}")
        epoch, seq = -1, -1
        cursor: ReadingRow | None = None
        while rows := self._after(chain.chain_no, epoch, seq):
            for row in rows:
                name = f"reading of chain {chain.chain_no}, epoch {row.epoch}, seq {row.seq}"
                reading = self._look_at(row, name, chain.kid, path)
                if row.chain_no != chain.chain_no:
                    self._findings.bad(f"{name}: its column chain_no says {row.chain_no}")
                if row.state in _LINKS:
                    if reading is not None and cursor is not None and not row.bridged:
                        self._link(reading, cursor, name)
                    cursor = row
                if self._told():
                    yield self._seen
            epoch, seq = rows[-1].epoch, rows[-1].seq

    def _after(self, chain_no: int, epoch: int, seq: int) -> Sequence[ReadingRow]:
        """The next readings of a chain, with all that share a place: else a page could end between two of them."""
        try:
            rows = list(self._read.readings_after(chain_no, epoch, seq, _AT_ONCE))
            if len(rows) == _AT_ONCE:
                last = rows[-1]
                whole = self._read.reading(chain_no, last.epoch, last.seq)
                rows = [row for row in rows if (row.epoch, row.seq) != (last.epoch, last.seq)] + list(whole)
        except LookupError as error:
            self._findings.bad(f"chain {chain_no} cannot be read after epoch {epoch}, seq {seq}: {error.args[0]}")
            return []
        return rows

    def _link(self, reading: Reading, cursor: ReadingRow, name: str) -> None:
        if not is_successor(reading, cursor.epoch, cursor.seq, cursor.digest):
            self._findings.bad(
                f"{name}: it does not follow the one stored before it, epoch {cursor.epoch}, seq {cursor.seq}"
            )

    def _unchained(self) -> Iterator[int]:
        skip = 0
        while rows := self._read.unchained_readings(skip):
            for row in rows:
                self._look_at(row, f"reading {row.digest.hex()} of an unknown meter", None, None)
                if self._told():
                    yield self._seen
            skip += len(rows)

    def _told(self) -> bool:
        return self._seen % _TOLD_EVERY == 0

    def _look_at(self, row: ReadingRow, name: str, kid: bytes | None, path: str | None) -> Reading | None:
        """The reading in a row, None where its bytes are none."""
        self._seen += 1
        self._edges.set_aside.pop(row.digest, None)
        if row.state in _ASIDE and row.digest not in self._edges.quarantined:
            self._findings.bad(f"{name}: it is stored as {row.state}, and no entry set it aside")
        try:
            envelope = parse_envelope(row.cose)
            reading = parse_payload(envelope.payload)
        except Refusal as refusal:
            self._findings.bad(f"{name}: its bytes are no reading: {refusal}")
            return None
        if envelope.digest != row.digest:
            self._findings.bad(f"{name}: its digest is not that of its bytes")
        for column in ("epoch", "seq", "time_s", "import_mwh", "export_mwh"):
            said, signed = getattr(row, column), getattr(reading, column)
            if said != signed:
                self._findings.bad(f"{name}: its column {column} says {said}, and what was signed {signed}")
        if kid is not None and (envelope.kid != kid or reading.meter_id != (path or "").rpartition("/")[2]):
            self._findings.bad(f"{name}: it is of another key or meter, {envelope.kid.hex()} {reading.meter_id}")
        public_key = self._keys.get(envelope.kid)
        if public_key is None:
            self._findings.bad(f"{name}: its key {envelope.kid.hex()} is not registered")
        elif self._signatures is not None:
            self._signatures.add(row.cose, public_key, name)
        return reading


def _all(read: Read, schema: str) -> Iterator[EntryRow]:
    after = -1
    while rows := read.entries_of_schema(schema, after):
        yield from rows
        after = rows[-1].idx
