"""Makes vectors/entry.json; `python -m tests.core.make_vectors` writes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from tests.core.reading_samples import FULL, TYPICAL
from tests.core.record_samples import TYPICAL as RECORD
from tests.core.refused import refused
from tests.core.vouched_world import MAPPING, PATH, ImportWorld, ReportedWorld
from tests.core.world import START
from wattseal.core import jcs
from wattseal.core.emlog import body
from wattseal.core.entry import (
    EMPTY_SLOTS,
    NOTHING,
    PUBLIC,
    Salts,
    Slots,
    commit_body,
    commit_reading,
    derive_salts,
    entry_hash,
)
from wattseal.core.merkle import leaf_hash
from wattseal.core.note import Note
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.reading import encode_payload
from wattseal.core.statement import Decision, statement_text

SECRET: Final = bytes(range(32))
ID: Final = bytes.fromhex("019acf1e32007abc8def0123456789ab")
READINGS: Final = Slots(*(hashlib.sha256(encode_payload(reading)).digest() for reading in (TYPICAL, FULL)))


def _salts() -> Iterator[dict[str, Any]]:
    for name, secret, entry_id in (
        ("a secret and an id", SECRET, ID),
        ("the same secret and the next id", SECRET, ID[:-1] + b"\xac"),
        ("a secret of zeros", bytes(32), ID),
        ("an id of zeros", SECRET, bytes(16)),
        ("all ones", b"\xff" * 32, b"\xff" * 16),
    ):
        salts = derive_salts(secret, entry_id)
        yield {
            "name": name,
            "spec": "log.md §1.1",
            "secret": secret.hex(),
            "id": entry_id.hex(),
            "salts": [salts.entry.hex(), salts.body.hex(), salts.reading.hex()],
        }


def _bad_salts() -> Iterator[dict[str, Any]]:
    for name, secret, entry_id in (
        ("secret of 31 bytes", SECRET[1:], ID),
        ("secret of 33 bytes", SECRET + b"\0", ID),
        ("id of 15 bytes", SECRET, ID[1:]),
        ("id of 17 bytes", SECRET, ID + b"\0"),
        ("no secret", b"", ID),
    ):
        case = {"name": name, "spec": "log.md §1.1", "secret": secret.hex(), "id": entry_id.hex()}
        yield {**case, **refused(lambda pair: derive_salts(*pair), (secret, entry_id))}


def _entries() -> Iterator[dict[str, Any]]:
    record = body(RECORD)
    salts = derive_salts(SECRET, ID)
    public = b'{"batch":0,"schema_version":"batch-1"}'
    cases: tuple[tuple[str, str, Salts, bytes, Slots], ...] = (
        ("a record between two readings", "log.md §1", salts, record, READINGS),
        ("the same with its slots exchanged", "log.md §1", salts, record, Slots(READINGS.end, READINGS.start)),
        ("a start slot alone", "log.md §1.2", salts, record, Slots(start=READINGS.start)),
        ("an end slot alone", "log.md §1.2", salts, record, Slots(end=READINGS.end)),
        ("zero slots", "log.md §1.2", salts, record, EMPTY_SLOTS),
        ("public", "log.md §1.1", PUBLIC, public, EMPTY_SLOTS),
        ("public with slots", "log.md §1", PUBLIC, public, READINGS),
        ("an empty body", "log.md §1", salts, b"", EMPTY_SLOTS),
        ("a body outside of ASCII", "log.md §1", salts, '{"tag":"\u00e9\U0001f50c"}'.encode(), EMPTY_SLOTS),
        ("a body of 65536 bytes", "log.md §2", salts, b" " * 65_536, EMPTY_SLOTS),
    )
    for name, spec, found, data, slots in cases:
        entry = entry_hash(found, data, slots)
        yield {
            "name": name,
            "spec": spec,
            "salts": [found.entry.hex(), found.body.hex(), found.reading.hex()],
            "body": data.decode(),
            "slots": [slots.start.hex(), slots.end.hex()],
            "commit_body": commit_body(found.body, data).hex(),
            "commit_reading": commit_reading(found.reading, slots).hex(),
            "entry": entry.hex(),
            "leaf": leaf_hash(entry).hex(),
        }


def _slots() -> dict[str, Any]:
    """What stands in the slots of each kind (log.md §1.2)."""
    world, reports = ImportWorld(records=3), ReportedWorld(records=1)
    raw, note = reports.reported[0]
    decision = Decision(b"\x11" * 32, "release", "the clock was set", START, "op")
    operator = Ed25519Signer("op.example", bytes([2]) * 32)
    text = statement_text("decision-1", decision.body()).encode()
    signed = bytes(Note(text, (operator.sign(text),)))
    return {
        "readings": {
            "start_payload": encode_payload(TYPICAL).hex(),
            "end_payload": encode_payload(FULL).hex(),
            "slots": [READINGS.start.hex(), READINGS.end.hex()],
        },
        "reported": {
            "raw": raw.decode(),
            "meter": PATH,
            "received_at": "2025-12-01T00:05:02Z",
            "vkey": reports.gateway.verifier.vkey,
            "note": note.decode(),
            "slots": [hashlib.sha256(raw).hexdigest(), hashlib.sha256(note).hexdigest()],
        },
        "import": {
            "file": world.file.decode(),
            "file_sha256": world.file_sha256.hex(),
            "mapping": jcs.dumps(MAPPING).decode(),
            "meter": PATH,
            "rows": [row.decode() for row in world.rows],
            "chain": [link.hex() for link in world.row_chain],
        },
        "statement": {
            "schema": "decision-1",
            "body": decision.body().decode(),
            "vkey": operator.verifier.vkey,
            "note": signed.decode(),
            "slots": [NOTHING.hex(), hashlib.sha256(signed).hexdigest()],
        },
    }


def vectors() -> dict[str, Any]:
    """The whole file."""
    return {
        "format": "wattseal-vectors-entry-1",
        "specification": "docs/spec/log.md",
        "salts": list(_salts()),
        "salts_invalid": list(_bad_salts()),
        "entries": list(_entries()),
        "slots": _slots(),
    }
