"""The work that a file makes, counted: it does not grow with records × what they rest on (docs/spec/proof.md §1)."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import pytest

from tests.core.make_bundle_vectors import trust_of
from tests.core.vouched_world import ImportWorld, ReportedWorld
from tests.core.world import World, to_file
from wattseal.core.answers import device_evidence, import_evidence, key_ring, reported_evidence, signers
from wattseal.core.answers.once import Once
from wattseal.core.answers.unknown import Unknown
from wattseal.core.bundle import parse_bundle
from wattseal.core.entry import Salts, Slots, entry_hash
from wattseal.core.refusal import Refusal
from wattseal.core.verify import verify


def test_each_question_is_asked_once_whatever_it_comes_to() -> None:
    asked: list[str] = []

    def find(question: str) -> str | None:
        asked.append(question)
        match question:
            case "bad":
                raise Refusal("field", "why")
            case "missing":
                raise Unknown("what")
            case "none":
                return None
        return question.upper()

    once = Once(find)
    refusals, unknowns = set(), set()
    for _ in range(3):
        assert (once("a"), once("none")) == ("A", None)
        with pytest.raises(Refusal, match="field: why") as refusal:
            once("bad")
        with pytest.raises(Unknown, match="what") as unknown:
            once("missing")
        refusals.add(refusal.value)
        unknowns.add(unknown.value)
    assert asked == ["a", "none", "bad", "missing"]
    assert (len(refusals), len(unknowns)) == (3, 3)


@pytest.mark.parametrize("spoilt", [False, True])
@pytest.mark.parametrize(
    ("world", "module", "name"),
    [
        (ImportWorld, import_evidence, "parse_import"),
        (ImportWorld, import_evidence, "statement_text"),
        (ReportedWorld, reported_evidence, "parse_interval"),
        (ReportedWorld, reported_evidence, "reported_text"),
        (ReportedWorld, signers, "parse_signer"),
        (ReportedWorld, signers, "open_note"),
        (World, device_evidence, "signature_is_good"),
        (World, key_ring, "parse_device_key"),
        (World, key_ring, "load_public_key"),
    ],
)
def test_many_records_make_no_more_work_of_one_part(
    world: type[World],
    module: ModuleType,
    name: str,
    spoilt: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many records rest on a statement, a report, a reading or a key, it is checked once."""
    made = world(records=1)
    bundle = {**made.bundle(), "anchors": []}
    if spoilt and bundle["reported"]:
        bundle["reported"][0]["note"] = bundle["reported"][0]["note"].replace("Z\n", "Z\n\n")
    bundle["records"] *= 50
    if spoilt:
        # Each record then says something that does not follow, and none ends the run.
        bundle["records"] = [
            {**record, "body": record["body"].replace('"ok"', '"gap"')} for record in bundle["records"]
        ]
    calls = Counter[str]()
    real = getattr(module, name)

    def counted(*arguments: object) -> object:
        calls[name] += 1
        return real(*arguments)

    monkeypatch.setattr(module, name, counted)
    verify(parse_bundle(to_file(bundle)), trust_of(made.trust_text()))
    assert calls[name] <= 4


def test_statements_are_not_searched_for_each_record(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ImportWorld(records=2)
    bundle = {**world.bundle(), "anchors": []}
    decoy = bundle["statements"][0]
    bundle["statements"] = [
        *(
            {**decoy, "entry": {**decoy["entry"], "salts": [f"{at:064x}", *decoy["entry"]["salts"][1:]]}}
            for at in range(30)
        ),
        decoy,
    ]
    bundle["records"] *= 30
    calls = Counter[str]()

    def counted(salts: Salts, body: bytes, slots: Slots) -> bytes:
        calls["hash"] += 1
        return entry_hash(salts, body, slots)

    monkeypatch.setattr("wattseal.core.bundle.entry_hash", counted)
    verify(parse_bundle(to_file(bundle)), trust_of(world.trust_text()))
    parts = len(bundle["statements"]) + len(bundle["records"]) + len(bundle["registry"]) + 1
    assert calls["hash"] <= 3 * parts
