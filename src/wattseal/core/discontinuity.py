"""The operator's statement that a register did not run on: a meter swap, a rollover, a reset (docs/spec/log.md §2)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from wattseal.core import jcs
from wattseal.core.derivation import Boundary, Correction
from wattseal.core.document import parse_document
from wattseal.core.refusal import Refusal
from wattseal.core.registry import meter_path
from wattseal.core.units import MAX_ENERGY_MWH, kwh_text, rfc3339

SCHEMA: Final = "discontinuity-1"
SWAP, ROLLOVER, RESET = "meter-swap", "rollover", "register-reset"
KINDS: Final = (SWAP, ROLLOVER, RESET)
WORDS: Final = {SWAP: "a meter swap", ROLLOVER: "a rollover of the register", RESET: "a reset of the register"}


@dataclass(frozen=True, slots=True)
class Discontinuity:
    """Between the reading with the digest `after` and the next one of its chain; registers in mWh."""

    kind: str
    site_id: str
    iot_device_id: str
    meter_id: str
    kid: bytes
    after: bytes
    """Digest of the last reading that counts before it."""
    import_before_mwh: int
    """What the old register showed at its end; of a rollover, where it begins anew."""
    export_before_mwh: int
    import_after_mwh: int
    """Where the new one began."""
    export_after_mwh: int
    before_known: bool
    """Whether anybody read the old register's end. If not, it is the last reading's, and the record is a gap."""
    reason: str
    declared_s: int
    operator: str

    @property
    def path(self) -> str:
        """Which meter: site/device/meter."""
        return meter_path(self.site_id, self.iot_device_id, self.meter_id)

    def body(self) -> bytes:
        """Canonical `discontinuity-1`."""
        return jcs.dumps(
            {
                "schema_version": SCHEMA,
                "kind": self.kind,
                "site_id": self.site_id,
                "iot_device_id": self.iot_device_id,
                "meter_id": self.meter_id,
                "kid": self.kid.hex(),
                "after": self.after.hex(),
                "import_before_kwh": Decimal(kwh_text(self.import_before_mwh)),
                "export_before_kwh": Decimal(kwh_text(self.export_before_mwh)),
                "import_after_kwh": Decimal(kwh_text(self.import_after_mwh)),
                "export_after_kwh": Decimal(kwh_text(self.export_after_mwh)),
                "before_known": self.before_known,
                "reason": self.reason,
                "declared_at": rfc3339(self.declared_s),
                "operator": self.operator,
            }
        )


def parse_discontinuity(data: bytes) -> Discontinuity:
    """A Discontinuity from its body."""
    members = parse_document(data, SCHEMA)
    statement = Discontinuity(
        members.one_of("kind", KINDS),
        members.identifier("site_id"),
        members.identifier("iot_device_id"),
        members.identifier("meter_id"),
        members.hex("kid", 16),
        members.hex("after", 32),
        members.decimal("import_before_kwh", 6),
        members.decimal("export_before_kwh", 6),
        members.decimal("import_after_kwh", 6),
        members.decimal("export_after_kwh", 6),
        members.boolean("before_known"),
        members.text("reason", 1_024),
        members.time("declared_at"),
        members.text("operator"),
    )
    members.done()
    check(statement)
    return statement


def check(statement: Discontinuity) -> None:
    """Raise Refusal unless the registers are within their bounds, and the kind allows what is said of them."""
    for field, register in (
        ("import_before_kwh", statement.import_before_mwh),
        ("export_before_kwh", statement.export_before_mwh),
        ("import_after_kwh", statement.import_after_mwh),
        ("export_after_kwh", statement.export_after_mwh),
    ):
        if not 0 <= register <= MAX_ENERGY_MWH:
            raise Refusal(field, f"must be 0 to {kwh_text(MAX_ENERGY_MWH)}")
    if not statement.reason.strip():
        raise Refusal("reason", "must be given")
    if not statement.before_known and statement.kind != RESET:
        raise Refusal("before_known", f"must be true for the kind {statement.kind}")


class Declared(NamedTuple):
    """A statement with its entry."""

    statement: Discontinuity
    entry: bytes

    @property
    def correction(self) -> Correction:
        """What it adds to the difference of the registers around it."""
        said = self.statement
        return Correction(
            said.import_before_mwh - said.import_after_mwh, said.export_before_mwh - said.export_after_mwh, self.entry
        )


def check_between(statement: Discontinuity, start: Boundary, last: Boundary, end: Boundary) -> None:
    """Refuse a statement whose registers do not go on from `last` and lead to `end`, or which invents an end."""
    for name, before_mwh, after_mwh, first_mwh, last_mwh, end_mwh in (
        (
            "import",
            statement.import_before_mwh,
            statement.import_after_mwh,
            start.import_mwh,
            last.import_mwh,
            end.import_mwh,
        ),
        (
            "export",
            statement.export_before_mwh,
            statement.export_after_mwh,
            start.export_mwh,
            last.export_mwh,
            end.export_mwh,
        ),
    ):
        if not first_mwh <= last_mwh <= before_mwh or after_mwh > end_mwh:
            raise Refusal(f"{name}_before_kwh", "the declared registers do not lie between the readings")
        if not statement.before_known and name == "import" and before_mwh != last_mwh:
            raise Refusal("import_before_kwh", "must be the last reading's, as nobody read the register's end")
