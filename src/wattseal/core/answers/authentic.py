"""Authentic: who signed what, with a key valid then, and who vouches for the key (docs/spec/proof.md §3.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from wattseal.core.answers.declared_evidence import DeclaredEvidence
from wattseal.core.answers.device_evidence import DeviceEvidence
from wattseal.core.answers.import_evidence import ImportEvidence
from wattseal.core.answers.key_ring import KeyRing
from wattseal.core.answers.released_evidence import ReleasedEvidence
from wattseal.core.answers.reported_evidence import ReportedEvidence
from wattseal.core.answers.signers import Signers
from wattseal.core.answers.trail import Trail
from wattseal.core.answers.unknown import Unknown
from wattseal.core.bundle import Bundle, Leaf
from wattseal.core.contents import Contents
from wattseal.core.emlog import Record
from wattseal.core.refusal import Refusal
from wattseal.core.registry import meter_path
from wattseal.core.trust import Trust
from wattseal.core.verdict import Answer, worst

_WORDS = {
    "device": "signed by a device key",
    "gateway": "read and signed by a gateway",
    "operator": "that the operator let count or bridged by a statement, listed below; a device key signed the readings",
    "import": "imported history that the operator vouches for; no meter signed it",
    "reported": "reported without counter or meter signature; only the gateway vouches",
}


def judge(bundle: Bundle, contents: Contents, trust: Trust, registry: Mapping[str, bytes] | None) -> Answer:
    """Whether every record follows from what was signed.

    `registry` holds the bodies that *included* has shown to be the log's, or is None where it could not.
    """
    if contents.fault is not None:
        return Answer("no", str(contents.fault))
    return _Check(bundle, contents, trust, registry).run()


class _Check:
    """One run over a bundle."""

    def __init__(self, bundle: Bundle, contents: Contents, trust: Trust, registry: Mapping[str, bytes] | None) -> None:
        self._bundle, self._contents, self._registry = bundle, contents, registry
        self._trail = Trail()
        signers = Signers(registry)
        ring = KeyRing(bundle, trust, registry)
        self._devices = DeviceEvidence(contents, ring, self._trail)
        self._declared = DeclaredEvidence(bundle, self._devices, ring, signers, self._trail)
        self._released = ReleasedEvidence(bundle, self._devices, signers, self._trail)
        self._imports = ImportEvidence(bundle, signers, self._trail)
        self._reports = ReportedEvidence(bundle, signers, self._trail)

    def run(self) -> Answer:
        answers = [self._answer(place) for place in range(len(self._bundle.records))]
        held = len(self._contents.readings) + len(self._bundle.statements) + len(self._bundle.reported)
        strays = held - len(self._trail.used)
        if strays and all(answer.word == "yes" for answer in answers):
            return Answer("no", f"the file holds {strays} pieces of evidence that belong to none of its records")
        answer = worst(answers, Answer("unknown", "there are no records"))
        if answer.word != "yes":
            return answer
        kinds = Counter(record.evidence.kind for record in self._contents.all_records())
        said = [f"{count} records {_WORDS[kind]}" for kind, count in sorted(kinds.items())]
        vouchers = sorted(self._trail.vouchers)
        # Who stands for a key is half of the answer, so it is never left to the small print.
        said.append(vouchers[0] if len(vouchers) == 1 else f"{len(vouchers)} keys or statements vouch, listed below")
        cautions = [f"{words} ({count} times)" for words, count in sorted(self._trail.cautions.items())]
        reason = "; ".join(said) + ("; but " + ", ".join(cautions) if cautions else "")
        return replace(answer, reason=reason, facts=tuple(vouchers), caution=bool(cautions))

    def _answer(self, place: int) -> Answer:
        record, leaf = self._contents.records[place], self._bundle.records[place]
        try:
            if isinstance(record, Refusal):
                raise record
            simulated = self._check(record, leaf)
        except Unknown as unknown:
            return Answer("unknown", f"records.{place}: {unknown}")
        except Refusal as refusal:
            return Answer("no", f"records.{place}: {refusal.field} {refusal.reason}")
        return Answer("yes", "", simulated)

    def _check(self, record: Record, leaf: Leaf) -> bool:
        """Whether the record rests on something simulated."""
        if meter_path(record.site_id, record.iot_device_id, record.meter_id) != self._bundle.path:
            raise Refusal("meter", "is another meter than the file says")
        kind = record.evidence.kind
        if kind in ("import", "reported") and not self._contents.readings.keys().isdisjoint(
            (leaf.slots.start, leaf.slots.end)
        ):
            # Else it would seem to join a meter's chain, between whose registers it then adds energy.
            raise Refusal("slots", f"a record of the kind {kind} names a device's reading as its evidence")
        match kind:
            case "device" | "gateway":
                simulated = self._devices.check(record, leaf)
            case "operator" if record.evidence.source is None:
                simulated = self._released.check(record, leaf)
            case "operator":
                simulated = self._declared.check(record, leaf)
            case "import":
                simulated = self._imports.check(record, leaf)
            case "reported":
                simulated = self._reports.check(record, leaf)
            case _:
                raise Unknown(f"this version cannot check evidence of the kind {kind}")
        tariff = record.tariff_version
        if tariff is not None and self._registry is not None and f"tariff/{tariff}" not in self._registry:
            # Else whoever leaves the tariff out of the file would turn the no of *billed* into a yes.
            raise Unknown(f"the file leaves out the tariff {tariff}, whose price the record names")
        return simulated
