from __future__ import annotations

import json

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from tests.core.make_body_vectors import BATCH, changed
from tests.core.refused import outcome
from tests.core.strategies import FUZZ, HASHES, TIMES, json_values, maybe, texts
from wattseal.core.batch import Batch, parse_batch
from wattseal.core.refusal import Refusal

INDEXES = st.integers(0, 2**53 - 1)
ENERGIES = st.integers(0, 10**15 - 1)
batches = st.builds(Batch, texts, INDEXES, INDEXES, INDEXES, TIMES, maybe(HASHES), ENERGIES, ENERGIES, INDEXES, HASHES)


@given(batches)
def test_a_batch_is_read_back(batch: Batch) -> None:
    data = batch.body()
    assert parse_batch(data) == batch
    assert data == rfc8785.dumps(json.loads(data))


@FUZZ
@given(st.data())
def test_any_value_in_the_place_of_another_is_read_or_refused(data: st.DataObject) -> None:
    members = json.loads(BATCH.body())
    name = data.draw(st.sampled_from(sorted(members)))
    value = data.draw(json_values | st.dictionaries(st.sampled_from(("size", "root")), json_values))
    body = changed(BATCH, {name: value})
    found = outcome(parse_batch, body)
    if isinstance(found, Refusal):
        assert found.field.split(".")[0] == name
    else:
        assert found.body() == body


@FUZZ
@given(st.binary(max_size=40), st.integers(0, 400))
def test_any_bytes_are_read_or_refused(rest: bytes, length: int) -> None:
    data = BATCH.body()[:length] + rest
    found = outcome(parse_batch, data)
    assert isinstance(found, Refusal) or found.body() == data
