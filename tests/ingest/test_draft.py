from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.entry import Slots, derive_salts
from wattseal.ingest.draft import SaltMaker, entry_ids, statement_draft
from wattseal.log.port import SecretRow


@given(st.binary(min_size=32, max_size=32), st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=3))
def test_salts_are_those_of_the_core(secret: bytes, ids: list[bytes]) -> None:
    maker = SaltMaker(secret)
    assert [maker.salts(entry_id) for entry_id in ids] == [derive_salts(secret, entry_id) for entry_id in ids]


def test_ids_do_not_end_and_do_not_repeat() -> None:
    ids = list(islice(entry_ids(1_760_000_000_000), 200))
    assert len(set(ids)) == 200
    assert {len(entry_id) for entry_id in ids} == {16}


def test_a_statement_is_salted_by_its_secret() -> None:
    secret = SecretRow(3, None, 0, None, bytes(32))
    draft = statement_draft(bytes(16), b"{}", "signer-1", secret, 5, Slots(end=bytes([1] * 32)))
    assert (draft.secret_no, draft.salts, draft.slots.end) == (3, derive_salts(bytes(32), bytes(16)), bytes([1] * 32))
    assert (draft.schema, draft.body, draft.received_s, draft.meter_no) == ("signer-1", b"{}", 5, None)
