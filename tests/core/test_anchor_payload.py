from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.bitcoin_strategies import hashes
from wattseal.core.anchor_payload import anchor_payload, anchor_script, anchored_digest, checkpoint_digest
from wattseal.core.bitcoin.script import op_return_pushes
from wattseal.core.refusal import Refusal


def test_the_digest_covers_the_body_with_its_last_newline() -> None:
    body = b"example.org/log\n5\nq1fKT/bdcbMHnHYsVUnUoLbvNTHVoMOvLUWZkrnTSvs=\n"
    assert checkpoint_digest(body) == hashlib.sha256(body).digest() != checkpoint_digest(body[:-1])


@given(hashes)
def test_a_digest_comes_back(digest: bytes) -> None:
    payload = anchor_payload(digest)
    assert payload == b"WSEAL1" + digest
    assert anchored_digest(payload) == digest
    script = anchor_script(digest)
    assert script == b"\x6a\x26" + payload
    assert op_return_pushes(script) == (payload,)


@given(st.binary(max_size=60).filter(lambda data: len(data) != 32))
def test_other_lengths_are_refused(digest: bytes) -> None:
    with pytest.raises(Refusal, match="instead of 32"):
        anchor_payload(digest)
    assert anchored_digest(b"WSEAL1" + digest) is None


@pytest.mark.parametrize("tag", [b"WSEAL2", b"wseal1", b"EMTR\x01\x00"])
def test_other_tags_are_not_ours(tag: bytes) -> None:
    assert anchored_digest(tag + bytes(32)) is None
