"""Authentic: who signed what, with a key valid then, and who vouches for the key (docs/spec/proof.md §3.2)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from wattseal.core import jcs
from wattseal.core.answers.key_ring import KeyRing, Unknown, check_validity
from wattseal.core.bundle import Bundle, Leaf
from wattseal.core.contents import Contents
from wattseal.core.derivation import device_record
from wattseal.core.emlog import Record, body, check
from wattseal.core.entry import NOTHING, Slots
from wattseal.core.note import Note, open_note
from wattseal.core.note_key import Verifier
from wattseal.core.reading import (
    FLAG_CLOCK_UNSYNCED,
    FLAG_METER_UNREACHABLE,
    FLAG_REGISTER_RESET,
    FLAG_TAMPER,
    Reading,
    signature_is_good,
)
from wattseal.core.refusal import Refusal
from wattseal.core.registry import Signer, meter_path
from wattseal.core.reported import parse_interval
from wattseal.core.statement import parse_import, reported_text, statement_text
from wattseal.core.trust import Trust
from wattseal.core.units import parse_rfc3339
from wattseal.core.verdict import Answer, worst

_WORDS = {
    "device": "signed by a device key",
    "gateway": "read and signed by a gateway",
    "import": "imported history that the operator vouches for; no meter signed it",
    "reported": "reported without counter or meter signature; only the gateway vouches",
}


_FLAGS = {
    FLAG_TAMPER: "tampering",
    FLAG_REGISTER_RESET: "a register reset",
    FLAG_METER_UNREACHABLE: "its meter did not answer",
    FLAG_CLOCK_UNSYNCED: "its clock was not set",
}


def judge(bundle: Bundle, contents: Contents, trust: Trust, registry: Mapping[str, bytes] | None) -> Answer:
    """Whether every record follows from what was signed.

    `registry` holds the bodies that *included* has shown to be the log's, or is None where it could not.
    """
    if contents.fault is not None:
        return Answer("no", str(contents.fault))
    return _Check(bundle, contents, trust, registry).run()


class _Check:
    """One run over a bundle; keys and readings are looked up once."""

    def __init__(self, bundle: Bundle, contents: Contents, trust: Trust, registry: Mapping[str, bytes] | None) -> None:
        self._bundle, self._contents = bundle, contents
        self._ring = KeyRing(bundle, trust, registry)
        self._reports = {
            (hashlib.sha256(item.raw).digest(), hashlib.sha256(item.note).digest()): item for item in bundle.reported
        }
        self._vouchers: set[str] = set()
        self._flags: set[str] = set()
        # Digests of readings, entries of statements, digests of what was reported.
        self._used: set[bytes] = set()

    def run(self) -> Answer:
        answers = [self._answer(place) for place in range(len(self._bundle.records))]
        held = len(self._contents.readings) + len(self._bundle.statements) + len(self._bundle.reported)
        strays = held - len(self._used)
        if strays and all(answer.word == "yes" for answer in answers):
            return Answer("no", f"the file holds {strays} pieces of evidence that belong to none of its records")
        answer = worst(answers, Answer("unknown", "there are no records"))
        if answer.word != "yes":
            return answer
        kinds = Counter(record.evidence.kind for record in self._contents.all_records())
        said = [f"{count} records {_WORDS[kind]}" for kind, count in sorted(kinds.items())]
        vouchers = sorted(self._vouchers)
        # Who stands for a key is half of the answer, so it is never left to the small print.
        said.append(vouchers[0] if len(vouchers) == 1 else f"{len(vouchers)} keys or statements vouch, listed below")
        return replace(answer, reason="; ".join(said), facts=(*vouchers, *sorted(self._flags)))

    def _answer(self, place: int) -> Answer:
        record, leaf = self._contents.records[place], self._bundle.records[place]
        try:
            if isinstance(record, Refusal):
                raise record
            if meter_path(record.site_id, record.iot_device_id, record.meter_id) != self._bundle.path:
                raise Refusal("meter", "is another meter than the file says")
            match record.evidence.kind:
                case "device" | "gateway":
                    simulated = self._read_by_device(record, leaf)
                case "import":
                    simulated = self._imported(record, leaf)
                case "reported":
                    simulated = self._reported(record, leaf)
                case kind:
                    raise Unknown(f"this version cannot check evidence of the kind {kind}")
        except Unknown as unknown:
            return Answer("unknown", f"records.{place}: {unknown}")
        except Refusal as refusal:
            return Answer("no", f"records.{place}: {refusal.field} {refusal.reason}")
        return Answer("yes", "", simulated)

    # --- kind device and gateway

    def _read_by_device(self, record: Record, leaf: Leaf) -> bool:
        start_kid, end_kid = self._kid(leaf.slots.start), self._kid(leaf.slots.end)
        if end_kid.hex() != record.evidence.kid:
            raise Refusal("evidence.kid", "is not that of the key that signed the reading")
        keys = self._ring.key(start_kid), self._ring.key(end_kid)
        start, end = self._reading(leaf.slots.start), self._reading(leaf.slots.end)
        for reading in (start, end):
            if reading.meter_id != record.meter_id:
                raise Refusal("meter_id", f"is not that of the reading ({reading.meter_id})")
        self._check_chain(leaf, (start_kid, start), (end_kid, end))
        if record.price_msat_per_kwh is not None and record.tariff_version is None:
            raise Refusal("tx.price_msat_per_kwh", "has no tariff version, and a reading names no price")
        derived = device_record(
            record.site_id,
            record.iot_device_id,
            record.meter_id,
            "device" if start.source_digest is None and end.source_digest is None else "gateway",
            end_kid,
            start,
            end,
            gap=record.status == "gap",
            price_msat=record.price_msat_per_kwh,
            tariff_version=record.tariff_version,
        )
        _compare(leaf, derived)
        self._check_status(record)
        return any(key.simulated for key in keys)

    def _check_chain(self, leaf: Leaf, first: tuple[bytes, Reading], last: tuple[bytes, Reading]) -> None:
        """The end must come after the start in one chain (reading.md §3), or in the chain of the key that followed."""
        (start_kid, start), (end_kid, end) = first, last
        if start_kid != end_kid:
            if not self._ring.follows(end_kid, start_kid, leaf.slots.start):
                raise Refusal("kid", "the readings are signed by two keys, and no registered rotation joins them")
            return
        if (end.epoch, end.seq) <= (start.epoch, start.seq):
            raise Refusal("seq", "the end reading does not come after the start reading in its device's chain")
        if end.epoch == start.epoch and end.seq == start.seq + 1 and end.prev != leaf.slots.start:
            raise Refusal("prev", "of the end reading names another reading than the start")

    def _check_status(self, record: Record) -> None:
        if self._ring.meter is None or record.status == "gap":
            return
        interval_s = self._ring.meter.record_interval_s
        slots = record.end_s // interval_s - record.start_s // interval_s
        if slots > 1:
            raise Refusal("status", f"must be gap: the record covers {slots} slots of the meter's grid")

    def _kid(self, digest: bytes) -> bytes:
        found = self._contents.readings.get(digest)
        if found is None:
            raise Refusal("readings", f"hold none with the digest {digest.hex()[:16]}…, from which the record was made")
        return found[0].kid

    def _reading(self, digest: bytes) -> Reading:
        envelope, reading = self._contents.readings[digest]
        if digest not in self._used:
            key = self._ring.key(envelope.kid)
            if not signature_is_good(envelope, key.public_key):
                raise Refusal("readings", f"the signature under {digest.hex()[:16]}… is not its device's")
            key.check(reading)
            self._used.add(digest)
            self._vouchers.add(key.voucher)
            for flag, words in _FLAGS.items():
                if reading.flags & flag:
                    self._flags.add(f"a device reported: {words}")
        return reading

    # --- kind import and reported

    def _imported(self, record: Record, leaf: Leaf) -> bool:
        statement = next(
            (item for item in self._bundle.statements if item.leaf.entry.hex() == record.evidence.source), None
        )
        if statement is None:
            raise Refusal("evidence.source", "names an import that is not in the file")
        claim = parse_import(statement.leaf.body)
        if statement.leaf.slots != Slots(end=hashlib.sha256(statement.note).digest()):
            raise Refusal("statements", "the note is not the one that the import's entry commits to")
        signer = self._open(statement.note, claim.operator, "operator", statement_text("import-1", statement.leaf.body))
        if self._bundle.path not in claim.meters or not claim.first_s <= record.start_s < record.end_s <= claim.last_s:
            raise Refusal("statements", "the operator's import does not cover this meter and time")
        if NOTHING in (leaf.slots.start, leaf.slots.end):
            raise Refusal("slots", "an imported record has a row chain on both sides")
        self._used.add(statement.leaf.entry)
        self._vouchers.add(f"operator {claim.operator} imported the file {claim.file_sha256.hex()}")
        return signer.simulated

    def _reported(self, record: Record, leaf: Leaf) -> bool:
        found = self._reports.get((leaf.slots.start, leaf.slots.end))
        if found is None:
            raise Refusal(
                "reported", "the bytes or the gateway's note that the record was made from are not in the file"
            )
        note = Note.parse(found.note)
        received_s = parse_rfc3339(note.text.decode().rstrip("\n").rpartition("\n")[2], "reported.note")
        signer = self._open(found.note, note.signatures[0].name, "gateway", reported_text(found.raw, received_s))
        check_validity("reported.note", received_s, signer.valid_from_s, signer.valid_until_s)
        interval = parse_interval(found.raw)
        # Without a tariff version the price can only be the payload's own, which `record` then takes.
        price = None if record.tariff_version is None else record.price_msat_per_kwh
        derived = interval.record(record.site_id, record.iot_device_id, record.meter_id, price, record.tariff_version)
        _compare(leaf, derived)
        self._used.add(leaf.slots.start)
        self._vouchers.add(f"gateway {signer.name} signed what was reported to it")
        return signer.simulated

    def _open(self, note: bytes, name: str, role: str, text: str) -> Signer:
        """The registered signer of that name whose signature the note carries; Refusal if it says something else."""
        signers = {Verifier.from_vkey(signer.vkey): signer for signer in self._ring.signers(name, role)}
        opened = open_note(note, signers)
        if opened.text.decode() != text:
            raise Refusal("note", f"the note of the {role} is about something else")
        return signers[opened.signatures[0].verifier]


def _compare(said: Leaf, derived: Record) -> None:
    """Name the first value in which a record says something else than what follows from what was signed."""
    check(derived)
    right = body(derived)
    if said.body == right:
        return
    difference = jcs.first_difference(jcs.loads(said.body, len(said.body)), jcs.loads(right, len(right)))
    field, mine, theirs = difference or ("record", "another text", "its canonical form")
    raise Refusal(field, f"says {mine}, but what was signed gives {theirs}")
