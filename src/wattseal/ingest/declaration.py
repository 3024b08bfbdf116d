"""An operator declares that a register did not run on: a signed entry, and what was set aside by it is judged again.

Docs: docs/spec/log.md §2.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from wattseal.core.discontinuity import RESET, ROLLOVER, SCHEMA, Discontinuity, parse_discontinuity
from wattseal.core.entry import Slots, entry_hash
from wattseal.core.note import Note
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.refusal import Refusal
from wattseal.core.statement import statement_text
from wattseal.core.units import MAX_ENERGY_MWH, kwh_text
from wattseal.ingest import gate
from wattseal.ingest.admission import Round
from wattseal.ingest.decision import SetAside
from wattseal.ingest.draft import Logged, statement_draft
from wattseal.ingest.registry import Source
from wattseal.ingest.shifts import shift_of
from wattseal.log.port import BOUNDARY, DETAIL, SET_ASIDE_IN_CHAIN, ReadingRow, SecretRow

_USED: Final = (BOUNDARY, DETAIL)


class Declaration(NamedTuple):
    """What an operator says; registers in mWh, None where the rule of `declare` fills them in."""

    kind: str
    path: str
    import_before_mwh: int | None
    import_after_mwh: int
    export_before_mwh: int | None
    export_after_mwh: int | None
    reason: str
    kid: bytes | None = None
    after: bytes | None = None
    """Digest of the last reading that counts before it; None: the last one that was admitted."""


def declare(work: Round, log_secret: SecretRow, operator: Ed25519Signer, said: Declaration) -> Logged:
    """Log a discontinuity after the chain's last admitted reading, and judge again what was set aside after it.

    Registers that may be left out: the import before a reset, where nobody read it: then it is that of the last
    reading; and the export, where the meter has counted none, or of a rollover: then it runs on.
    Refusal for what names no chain or a place with admitted successors, and for energy that cannot be.
    """
    key = operator.verifier
    signer = work.registry.signers.get(f"signer/{key.name}+{key.key_id.hex()}")
    if signer is None or signer.role != "operator":
        raise Refusal("operator", f"{key.name} is not registered as an operator")
    source, rows = _chain(work, said)
    last = max((row for row in rows if row.state in _USED), key=lambda row: (row.epoch, row.seq))
    if said.after not in (None, last.digest):
        raise Refusal("after", "must be the last admitted reading of the chain: what was admitted after it stands")
    if work.has_shift(source.chain_no, last.digest):
        raise Refusal("after", "the record that is open here holds a discontinuity already; wait for its end")
    statement = _statement(work, source, last, said, key.name)
    parse_discontinuity(statement.body())
    _check_energy(work, source, statement, last)
    body = statement.body()
    text = statement_text(SCHEMA, body).encode()
    note = bytes(Note(text, (operator.sign(text),)))
    slots = Slots(end=hashlib.sha256(note).digest())
    draft = statement_draft(work.next_id(), body, SCHEMA, log_secret, work.now_s, slots)
    logged = work.log(draft, b"", note.decode())
    shift = shift_of(statement, entry_hash(draft.salts, body, slots))
    aside = SetAside(work.tx, source.chain_no)
    admitted = work.shift(source, last, shift, aside.rejected)
    first = next((row for row in rows if row.state == SET_ASIDE_IN_CHAIN and _is_after(row, last)), None)
    if first is not None and first.digest not in admitted and first.digest not in aside.rejected:
        detail = f"the next reading ({kwh_text(first.import_mwh)} kWh in, {kwh_text(first.export_mwh)} kWh out)"
        raise Refusal("import_after_kwh", f"{detail} does not go on from these registers within the meter's rating")
    aside.settle(admitted, draft.entry_id)
    return logged


def _is_after(row: ReadingRow, last: ReadingRow) -> bool:
    return (row.epoch, row.seq) > (last.epoch, last.seq)


def _chain(work: Round, said: Declaration) -> tuple[Source, list[ReadingRow]]:
    """The chain of the meter's key, or of its key that was used last, and its last readings."""
    meter = work.registry.meters.get(said.path)
    if meter is None:
        raise Refusal("meter_id", f"{said.path} is not registered")
    found: list[tuple[int, Source, list[ReadingRow]]] = []
    for kid in meter.kids if said.kid is None else (said.kid,):
        source = work.registry.source(kid, meter.meter_id)
        if source is not None and source.meter.path == said.path:
            rows = list(work.tx.chain_tail(source.chain_no))
            found += [(row.time_s, source, rows) for row in rows if row.state in _USED][-1:]
    if not found:
        raise Refusal("kid", f"no reading of {said.path} was admitted by that key: there is no chain to go on with")
    _, source, rows = max(found, key=lambda item: item[0])
    return source, rows


def _statement(work: Round, source: Source, last: ReadingRow, said: Declaration, operator: str) -> Discontinuity:
    meter, kind = source.meter, said.kind
    import_before, is_known = said.import_before_mwh, True
    if import_before is None:
        if kind != RESET:
            raise Refusal("import_before_kwh", f"must be given for the kind {kind}")
        import_before, is_known = last.import_mwh, False
    export_before, export_after = said.export_before_mwh, said.export_after_mwh
    if kind == ROLLOVER and export_before is None and export_after is None:
        export_before = export_after = last.export_mwh
    if export_before is None:
        if last.export_mwh and is_known:
            raise Refusal("export_before_kwh", f"must be given: the meter has exported {kwh_text(last.export_mwh)} kWh")
        export_before = last.export_mwh
    return Discontinuity(
        kind,
        meter.site_id,
        meter.iot_device_id,
        meter.meter_id,
        source.key.kid,
        last.digest,
        import_before,
        export_before,
        said.import_after_mwh,
        export_after or 0,
        is_known,
        said.reason,
        work.now_s,
        operator,
    )


def _check_energy(work: Round, source: Source, statement: Discontinuity, last: ReadingRow) -> None:
    """The old register must have run on from the last reading, no faster than the meter can until now."""
    for name, before_mwh, last_mwh in (
        ("import", statement.import_before_mwh, last.import_mwh),
        ("export", statement.export_before_mwh, last.export_mwh),
    ):
        energy_mwh, seconds = before_mwh - last_mwh, work.now_s - last.time_s
        field = f"{name}_before_kwh"
        if energy_mwh < 0:
            raise Refusal(field, f"is less than the last reading's {kwh_text(last_mwh)} kWh: energy would be negative")
        if energy_mwh > MAX_ENERGY_MWH or not gate.is_rated(energy_mwh, source.terms, max(seconds, 0)):
            rated = "more than a record may hold, or the meter's rated power allows until now"
            raise Refusal(field, f"would be {kwh_text(energy_mwh)} kWh since the last reading, {rated}")
