from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from tests.core.make_body_vectors import DECISION, IMPORT, PARSERS, changed
from tests.core.refused import outcome, refusal_of
from tests.core.strategies import FUZZ, HASHES, TIMES, U32, identifiers, json_values, maybe, texts
from wattseal.core import jcs
from wattseal.core.document import parse_document
from wattseal.core.refusal import Refusal
from wattseal.core.statement import (
    DECISIONS,
    Decision,
    Import,
    Quarantine,
    parse_decision,
    parse_import,
    reported_text,
    statement_text,
)

imports = st.builds(
    Import,
    HASHES,
    json_values,
    st.integers(0, 2**53 - 1),
    st.lists(st.builds("{}/{}/{}".format, identifiers, identifiers, identifiers), max_size=3).map(tuple),
    TIMES,
    TIMES,
    texts,
)
decisions = st.builds(Decision, HASHES, st.sampled_from(DECISIONS), texts, TIMES, texts)
quarantines = st.builds(
    Quarantine,
    TIMES,
    texts,
    texts,
    maybe(st.binary(min_size=16, max_size=16)),
    maybe(identifiers),
    maybe(U32),
    maybe(U32),
)


@given(imports)
def test_an_import_is_read_back(statement: Import) -> None:
    assert parse_import(statement.body()) == statement
    mapping = json.loads(statement.body())["mapping"]
    assert statement.mapping_sha256 == hashlib.sha256(rfc8785.dumps(mapping)).digest()


@given(decisions)
def test_a_decision_is_read_back(decision: Decision) -> None:
    assert parse_decision(decision.body()) == decision


@given(quarantines)
def test_a_quarantine_is_canonical(quarantine: Quarantine) -> None:
    data = quarantine.body()
    assert data == rfc8785.dumps(json.loads(data))
    members = parse_document(data, "quarantine-1")
    assert members.time("received_at") == quarantine.received_s
    assert members.optional_hex("kid", 16) == quarantine.kid
    assert [members.any(name) for name in ("reason", "detail", "meter_id", "epoch", "seq")] == [
        quarantine.reason,
        quarantine.detail,
        quarantine.meter_id,
        quarantine.epoch,
        quarantine.seq,
    ]
    members.done()


@FUZZ
@given(st.sampled_from((IMPORT, DECISION)), st.data())
def test_any_value_in_the_place_of_another_is_read_or_refused(document: Import | Decision, data: st.DataObject) -> None:
    members = json.loads(document.body())
    name = data.draw(st.sampled_from(sorted(members)))
    body = changed(document, {name: data.draw(json_values)})
    found = outcome(PARSERS[members["schema_version"]], body)
    if isinstance(found, Refusal):
        assert found.field in {name, "mapping_sha256"}
    else:
        assert found.body() == body


@pytest.mark.parametrize(
    "meters", [[""], ["a/b"], ["a/b/c/d"], ["a//c"], ["a/b/c "], [1], [None], [["a/b/c"]], [{}]], ids=str
)
def test_the_meters_of_an_import(meters: list[jcs.Json]) -> None:
    assert refusal_of(parse_import, changed(IMPORT, {"meters": meters})).field == "meters"


def test_a_mapping_is_bounded_in_depth() -> None:
    mapping: jcs.Json = 1
    for _ in range(31):
        mapping = [mapping]
    assert parse_import(replace(IMPORT, mapping=mapping).body()).mapping == mapping
    assert refusal_of(parse_import, replace(IMPORT, mapping=[mapping]).body()).field == "json"


@given(st.binary(max_size=100), TIMES)
def test_what_is_signed(data: bytes, time_s: int) -> None:
    digest = hashlib.sha256(data).hexdigest()
    assert statement_text("import-1", data) == f"wattseal/statement/1\nimport-1\n{digest}\n"
    lines = reported_text(data, "s/d/m", time_s).split("\n")
    assert lines[:3] == ["wattseal/reported/1", digest, "s/d/m"]
    assert lines[4:] == [""]
