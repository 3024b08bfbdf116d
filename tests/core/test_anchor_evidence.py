from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.bitcoin_strategies import hashes
from tests.core.make_anchor_vectors import CHAIN, DIGESTS, HEIGHT, KNOWN, evidence
from wattseal.core.anchor_evidence import MAX_EVIDENCE_TX, MAX_HEADERS, BitcoinEvidence
from wattseal.core.bitcoin.block import parse_block
from wattseal.core.bitcoin.chain import CHAINS
from wattseal.core.bitcoin.header import parse_header
from wattseal.core.refusal import Refusal

_branches = st.lists(hashes, max_size=20).map(tuple)


@st.composite
def _evidence(draw: st.DrawFn) -> BitcoinEvidence:
    branch = draw(_branches)
    return BitcoinEvidence(
        chain=draw(st.sampled_from(sorted(CHAINS))),
        tx=draw(st.binary(min_size=1, max_size=200)),
        tx_index=draw(st.integers(0, (1 << len(branch)) - 1)),
        branch=branch,
        height=draw(st.integers(0, (1 << 31) - 1)),
        headers=tuple(draw(st.lists(st.binary(min_size=80, max_size=80), min_size=1, max_size=4))),
    )


@given(_evidence())
def test_evidence_comes_back_through_json(given_evidence: BitcoinEvidence) -> None:
    assert BitcoinEvidence.from_json(json.loads(json.dumps(given_evidence.to_json()))) == given_evidence


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(_evidence(), st.sampled_from(["format", "chain", "tx", "tx_index", "branch", "height", "headers"]), _json)
def test_any_json_is_refused_or_read(good: BitcoinEvidence, member: str, value: object) -> None:
    changed = {**good.to_json(), member: value}
    try:
        read = BitcoinEvidence.from_json(changed)
    except Refusal:
        return
    assert read.to_json() == changed


@given(_json)
def test_other_json_is_refused(value: object) -> None:
    with pytest.raises(Refusal):
        BitcoinEvidence.from_json(value)


def test_bounds_at_their_edges() -> None:
    good = evidence(0)
    header = good.headers[0]
    replace(good, tx=bytes(MAX_EVIDENCE_TX), headers=(header,) * MAX_HEADERS, height=(1 << 31) - 1)
    too_large: list[dict[str, Any]] = [
        {"tx": bytes(MAX_EVIDENCE_TX + 1)},
        {"headers": (header,) * (MAX_HEADERS + 1)},
        {"headers": ()},
        {"branch": (bytes(32),) * 21},
        {"branch": (bytes(31),), "tx_index": 0},
        {"height": 1 << 31},
        {"tx_index": 8},
    ]
    for bad in too_large:
        with pytest.raises(Refusal) as caught:
            replace(good, **bad)
        assert caught.value.field in bad


def test_bounds_hold_for_json_too() -> None:
    good = evidence(0)
    for member, bad in (
        ("tx", "00" * (MAX_EVIDENCE_TX + 1)),
        ("headers", [good.headers[0].hex()] * (MAX_HEADERS + 1)),
    ):
        with pytest.raises(Refusal) as caught:
            BitcoinEvidence.from_json({**good.to_json(), member: bad})
        assert caught.value.field == member


def test_a_long_text_is_refused_before_it_is_read() -> None:
    with pytest.raises(Refusal, match="longer than 100000 bytes"):
        BitcoinEvidence.from_json({**evidence(0).to_json(), "tx": "z" * 200_001})


def test_long_names_of_members_are_not_repeated_in_full() -> None:
    with pytest.raises(Refusal) as caught:
        BitcoinEvidence.from_json({"x" * 100_000: 1, **{f"y{number}": 1 for number in range(1_000)}})
    assert len(caught.value.reason) < 500


def test_evidence_from_a_block() -> None:
    block = parse_block(CHAIN.blocks()[HEIGHT])
    successor = parse_header(CHAIN.blocks()[HEIGHT + 1][:80])
    made = BitcoinEvidence.from_block("simulated", HEIGHT, block, DIGESTS[2], [successor])
    assert made == evidence(2, depth=2)
    assert made.tx_index == 3
    assert parse_header(made.headers[0]).hash() == KNOWN[HEIGHT]
    with pytest.raises(Refusal, match="in no transaction of this block"):
        BitcoinEvidence.from_block("simulated", HEIGHT, block, bytes(32))
