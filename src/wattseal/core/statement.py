"""What an operator or a gateway signs by note, and the bodies of statements (docs/spec/log.md §2, §5)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from wattseal.core import jcs
from wattseal.core.document import parse_document
from wattseal.core.refusal import Refusal
from wattseal.core.registry import meter_path
from wattseal.core.units import identifier, rfc3339

QUARANTINE = "quarantine-1"
DECISION = "decision-1"
DECISIONS = ("release", "reject")


def statement_text(schema: str, body: bytes) -> str:
    """The note text that an operator signs over a body."""
    return f"wattseal/statement/1\n{schema}\n{hashlib.sha256(body).hexdigest()}\n"


def operator_of(body: bytes, schema: str) -> str:
    """Who makes a statement of that schema, as its body says; Refusal for another schema."""
    return parse_document(body, schema).text("operator")


def reported_text(raw: bytes, path: str, received_s: int) -> str:
    """The note text that a gateway signs over the bytes that were reported to it, and the meter it put them under."""
    return f"wattseal/reported/1\n{hashlib.sha256(raw).hexdigest()}\n{path}\n{rfc3339(received_s)}\n"


@dataclass(frozen=True, slots=True)
class Import:
    """History that the operator vouches for: one file, one mapping, the meters and the time that it covers.

    A meter is written "site/device/meter".
    """

    file_sha256: bytes
    mapping: jcs.Json
    rows: int
    meters: tuple[str, ...]
    first_s: int
    last_s: int
    operator: str

    @property
    def mapping_sha256(self) -> bytes:
        """Digest of the canonical mapping."""
        return hashlib.sha256(jcs.dumps(self.mapping)).digest()

    def body(self) -> bytes:
        """Canonical `import-1`."""
        return jcs.dumps(
            {
                "schema_version": "import-1",
                "file_sha256": self.file_sha256.hex(),
                "mapping_sha256": self.mapping_sha256.hex(),
                "mapping": self.mapping,
                "rows": self.rows,
                "meters": list(self.meters),
                "first": rfc3339(self.first_s),
                "last": rfc3339(self.last_s),
                "operator": self.operator,
            }
        )


def parse_import(data: bytes) -> Import:
    """An Import from its body."""
    members = parse_document(data, "import-1")
    mapping_sha256 = members.hex("mapping_sha256", 32)
    statement = Import(
        members.hex("file_sha256", 32),
        members.any("mapping"),
        members.integer("rows", 0, 2**53 - 1),
        tuple(map(_meter, members.list("meters", 10_000))),
        members.time("first"),
        members.time("last"),
        members.text("operator"),
    )
    members.done()
    if statement.mapping_sha256 != mapping_sha256:
        raise Refusal("mapping_sha256", "is not the digest of mapping")
    return statement


def _meter(value: jcs.Json) -> str:
    parts = value.split("/") if isinstance(value, str) else []
    if len(parts) != 3:
        raise Refusal("meters", 'must be a list of "site/device/meter"')
    return meter_path(*(identifier(part, "meters") for part in parts))


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A reading that was set aside; the fields that could be read from it, else None."""

    received_s: int
    reason: str
    detail: str
    kid: bytes | None
    meter_id: str | None
    epoch: int | None
    seq: int | None

    def body(self) -> bytes:
        """Canonical `quarantine-1`."""
        return jcs.dumps(
            {
                "schema_version": QUARANTINE,
                "received_at": rfc3339(self.received_s),
                "reason": self.reason,
                "detail": self.detail,
                "kid": None if self.kid is None else self.kid.hex(),
                "meter_id": self.meter_id,
                "epoch": self.epoch,
                "seq": self.seq,
            }
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """An operator's decision about a quarantined entry (its 32 bytes, docs/spec/log.md §1)."""

    subject: bytes
    decision: str
    reason: str
    decided_s: int
    operator: str

    def body(self) -> bytes:
        """Canonical `decision-1`."""
        return jcs.dumps(
            {
                "schema_version": DECISION,
                "subject": self.subject.hex(),
                "decision": self.decision,
                "reason": self.reason,
                "decided_at": rfc3339(self.decided_s),
                "operator": self.operator,
            }
        )


def parse_decision(data: bytes) -> Decision:
    """A Decision from its body."""
    members = parse_document(data, DECISION)
    decision = Decision(
        members.hex("subject", 32),
        members.one_of("decision", DECISIONS),
        members.text("reason", 1_024),
        members.time("decided_at"),
        members.text("operator"),
    )
    members.done()
    return decision
