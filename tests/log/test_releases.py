"""A record that rests on a released reading leads, in its bundle, to the operator's signed decision."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.room import NOW, ORIGIN, SIGNER, Room, fields, meter, signed
from wattseal.core.bundle import parse_bundle
from wattseal.core.reading import Sample, parse_envelope
from wattseal.core.statement import DECISION, QUARANTINE
from wattseal.core.trust import parse_trust
from wattseal.core.verdict import Answer
from wattseal.core.verify import verify
from wattseal.ingest.releasable import RELEASABLE
from wattseal.log.bundle import build_bundle, record_bundle

PATH = "site/device-m1/m1"
TRUST = f'version = 1\n[[log]]\norigin = "{ORIGIN}"\nvkey = "{SIGNER.verifier.vkey}"\n'


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    opened = Room(tmp_path)
    yield opened
    opened.close()


def released(room: Room) -> dict[str, Any]:
    """The bundle of a record whose end took more energy than its meter's rating, and what was decided about it."""
    source = meter()
    room.enrol(source)
    room.clock.now_s = NOW + 600
    first = source.read(NOW)
    much = signed(source, source.read(NOW + 60), import_mwh=fields(first).import_mwh + 50_000_000)
    receipts = room.submit(first, much)
    room.decide(receipts[1].log_id or b"", "release")
    room.flush()
    with room.store.read() as read:
        document: dict[str, Any] = json.loads(build_bundle(read, path=PATH, from_s=NOW, to_s=NOW + 60))
    return document


def authentic(document: dict[str, Any]) -> Answer:
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    verdicts = verify(parse_bundle(data), parse_trust(TRUST, lambda _: b""))
    return verdicts.authentic


@pytest.mark.parametrize("reason", [reason for reason, why_not in RELEASABLE.items() if why_not is None])
def test_whatever_may_be_released_can_be_verified(room: Room, reason: str) -> None:
    source = meter()
    room.enrol(source)
    room.clock.now_s = NOW + 600
    first, second, third = (source.read(NOW + 60 * place) for place in range(3))
    imported = fields(first).import_mwh
    changes: dict[str, dict[str, object]] = {
        "register-fell": {"import_mwh": 5},
        "rate-impossible": {"import_mwh": imported + 50_000_000},
        "profile-mismatch": {"profile": (Sample(60, 1, 0, 0),)},
    }
    odd = signed(source, second, **changes[reason])
    after = signed(source, third, prev=parse_envelope(odd).digest, import_mwh=fields(odd).import_mwh + 1_000)
    receipt = room.submit(first, odd)[1]
    assert receipt.reason == reason
    room.decide(receipt.log_id or b"", "release")
    assert room.submit(after)[0].outcome == "admitted"
    room.check()
    rows = room.rows()
    assert "operator" in {row.kind for row in rows}
    with room.store.read() as read:
        answers = [authentic(json.loads(record_bundle(read, row))) for row in rows]
    assert [answer.word for answer in answers] == ["yes"] * len(rows), answers


def schema(statement: dict[str, Any]) -> object:
    return json.loads(statement["entry"]["body"])["schema_version"]


def test_the_decision_vouches(room: Room) -> None:
    document = released(room)
    assert [schema(statement) for statement in document["statements"]] == [QUARANTINE, DECISION]
    answer = authentic(document)
    assert answer.word == "yes", answer.reason
    assert any("released a reading from quarantine" in fact for fact in answer.facts)


@pytest.mark.parametrize("missing", [QUARANTINE, DECISION])
def test_without_the_decision_it_cannot_be_told(room: Room, missing: str) -> None:
    document = released(room)
    document["statements"] = [one for one in document["statements"] if schema(one) != missing]
    used = {place for entry in _entries(document) for place in entry["path"]}
    used |= {place for item in document["registry"] for place in item["map_path"]}
    _renumber(document, sorted(used))
    answer = authentic(document)
    assert (answer.word, "leaves out" in answer.reason) == ("unknown", True)


def test_anothers_note_is_no_decision(room: Room) -> None:
    document = released(room)
    decision = next(one for one in document["statements"] if schema(one) == DECISION)
    decision["note"] = decision["note"].replace("wattseal/statement/1", "wattseal/statement/2")
    answer = authentic(document)
    assert (answer.word, "the note is not the one" in answer.reason) == ("no", True)


def test_a_rejection_releases_nothing(room: Room) -> None:
    document = released(room)
    decision = next(one for one in document["statements"] if schema(one) == DECISION)
    decision["entry"]["body"] = decision["entry"]["body"].replace('"decision":"release"', '"decision":"reject"')
    answer = authentic(document)
    assert (answer.word, "did not release" in answer.reason) == ("no", True)


def _entries(document: dict[str, Any]) -> list[dict[str, Any]]:
    others = [document["batch"], *document["records"]]
    return others + [item["entry"] for name in ("registry", "statements") for item in document[name]]


def _renumber(document: dict[str, Any], used: list[int]) -> None:
    """A bundle refers to each of its hashes."""
    places = {old: new for new, old in enumerate(used)}
    for entry in _entries(document):
        entry["path"] = [places[place] for place in entry["path"]]
    for item in document["registry"]:
        item["map_path"] = [places[place] for place in item["map_path"]]
    document["hashes"] = [document["hashes"][place] for place in used]
