from __future__ import annotations

import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any

import pytest
import rfc8785

from tests.core import second_opinion
from tests.core.make_vectors import load
from wattseal.core.entry import Salts, Slots, commit_body, commit_reading, derive_salts, entry_hash
from wattseal.core.merkle import leaf_hash
from wattseal.core.note import open_note
from wattseal.core.note_key import Verifier
from wattseal.core.refusal import Refusal
from wattseal.core.statement import reported_text, statement_text
from wattseal.core.units import parse_rfc3339

VECTORS = load("entry")
SLOTS = VECTORS["slots"]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("case", VECTORS["salts"], ids=lambda case: case["name"])
def test_salts(case: dict[str, Any]) -> None:
    secret, entry_id = bytes.fromhex(case["secret"]), bytes.fromhex(case["id"])
    salts = derive_salts(secret, entry_id)
    assert [salts.entry.hex(), salts.body.hex(), salts.reading.hex()] == case["salts"]
    for purpose, salt in zip((b"e", b"b", b"r"), case["salts"], strict=True):
        assert hmac.new(secret, b"wattseal/salt/1\n" + entry_id + purpose, hashlib.sha256).hexdigest() == salt


@pytest.mark.parametrize("case", VECTORS["salts_invalid"], ids=lambda case: case["name"])
def test_salts_invalid(case: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        derive_salts(bytes.fromhex(case["secret"]), bytes.fromhex(case["id"]))
    assert (caught.value.field, caught.value.reason) == (case["field"], case["reason"])


@pytest.mark.parametrize("case", VECTORS["entries"], ids=lambda case: case["name"])
def test_entries(case: dict[str, Any]) -> None:
    salts = Salts(*(bytes.fromhex(salt) for salt in case["salts"]))
    slots, body = Slots(*(bytes.fromhex(slot) for slot in case["slots"])), case["body"].encode()
    assert commit_body(salts.body, body).hex() == case["commit_body"]
    assert commit_reading(salts.reading, slots).hex() == case["commit_reading"]
    assert entry_hash(salts, body, slots).hex() == case["entry"]
    assert leaf_hash(bytes.fromhex(case["entry"])).hex() == case["leaf"]
    assert second_opinion.entry(case["salts"], body, case["slots"]).hex() == case["entry"]
    assert sha256(b"\0" + bytes.fromhex(case["entry"])) == case["leaf"]


def test_entries_differ_where_anything_differs() -> None:
    assert len({case["entry"] for case in VECTORS["entries"]}) == len(VECTORS["entries"])


def test_the_slots_of_readings() -> None:
    case = SLOTS["readings"]
    assert [sha256(bytes.fromhex(case[name])) for name in ("start_payload", "end_payload")] == case["slots"]


def test_the_slots_of_a_reported_interval() -> None:
    case = SLOTS["reported"]
    raw, note = case["raw"].encode(), case["note"].encode()
    assert case["slots"] == [sha256(raw), sha256(note)]
    opened = open_note(note, (Verifier.from_vkey(case["vkey"]),))
    text = f"wattseal/reported/1\n{sha256(raw)}\n{case['meter']}\n{case['received_at']}\n"
    received_s = parse_rfc3339(case["received_at"], "received_at")
    assert opened.text.decode() == text == reported_text(raw, case["meter"], received_s)


def test_the_slots_of_a_statement() -> None:
    case = SLOTS["statement"]
    body, note = case["body"].encode(), case["note"].encode()
    assert case["slots"] == ["00" * 32, sha256(note)]
    opened = open_note(note, (Verifier.from_vkey(case["vkey"]),))
    text = f"wattseal/statement/1\n{case['schema']}\n{sha256(body)}\n"
    assert opened.text.decode() == text == statement_text(case["schema"], body)


def test_the_row_chain_of_an_import() -> None:
    case = SLOTS["import"]
    file = case["file"].encode()
    assert sha256(file) == case["file_sha256"]
    assert rfc8785.dumps(json.loads(case["mapping"])).decode() == case["mapping"]
    mapping = hashlib.sha256(case["mapping"].encode()).digest()
    start = b"wattseal/import/1\n" + hashlib.sha256(file).digest() + mapping + case["meter"].encode()
    chain = [hashlib.sha256(start).digest()]
    for row in file.splitlines()[1:]:
        chain.append(hashlib.sha256(chain[-1] + hashlib.sha256(row).digest()).digest())
    assert [link.hex() for link in chain] == case["chain"]
    assert file.decode().splitlines()[1:] == case["rows"]
    assert [Decimal(row.split(",")[1]) for row in case["rows"]] == [1, Decimal("1.25"), Decimal("1.5")]
