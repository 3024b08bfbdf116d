from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.real_bitcoin import (
    GENESIS_HASH,
    GENESIS_HEADER,
    HASH_1,
    HASH_2,
    HASH_100000,
    HEADER_1,
    HEADER_2,
    HEADER_100000,
)
from wattseal.core.bitcoin.chain import CHAINS
from wattseal.core.bitcoin.digest import to_display
from wattseal.core.bitcoin.header import (
    block_work,
    check_proof_of_work,
    decode_target,
    meets_target,
    parse_header,
    verify_header_chain,
)
from wattseal.core.refusal import Refusal

LIMIT = CHAINS["bitcoin"].pow_limit
REAL = [
    (GENESIS_HEADER, GENESIS_HASH),
    (HEADER_1, HASH_1),
    (HEADER_2, HASH_2),
    (HEADER_100000.serialise(), HASH_100000),
]


@pytest.mark.parametrize(("raw", "display"), REAL)
def test_real_headers(raw: bytes, display: str) -> None:
    header = parse_header(raw)
    assert header.serialise() == raw
    assert to_display(header.hash()) == display
    check_proof_of_work(header, LIMIT)


def test_the_genesis_header_field_by_field() -> None:
    header = parse_header(GENESIS_HEADER)
    assert (header.version, header.time, header.bits, header.nonce) == (1, 1231006505, 0x1D00FFFF, 2083236893)
    assert header.prev_hash == bytes(32)
    assert to_display(header.merkle_root) == "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"


@given(st.binary(min_size=80, max_size=80))
def test_every_80_bytes_come_back(raw: bytes) -> None:
    assert parse_header(raw).serialise() == raw


@pytest.mark.parametrize("length", [0, 79, 81, 160])
def test_other_lengths_are_refused(length: int) -> None:
    with pytest.raises(Refusal, match="instead of 80"):
        parse_header(bytes(length))


# The first six are the examples of Bitcoin Core's own test of arith_uint256.
@pytest.mark.parametrize(
    ("bits", "target"),
    [
        (0x01120000, 0x12),
        (0x02123400, 0x1234),
        (0x03123456, 0x123456),
        (0x04123456, 0x12345600),
        (0x05009234, 0x92340000),
        (0x20123456, 0x123456 << 8 * 29),
        (0x1D00FFFF, 0xFFFF << 208),
        (0x1B04864C, 0x04864C << 192),
        (0x207FFFFF, 0x7FFFFF << 232),
        (0x220000FF, 0xFF << 248),
        (0x2100FFFF, 0xFFFF << 240),
    ],
)
def test_targets(bits: int, target: int) -> None:
    assert decode_target(bits) == target


@pytest.mark.parametrize(
    ("bits", "reason"),
    [
        (0x04923456, "negative"),
        (0x1D80FFFF, "negative"),
        (0xFF123456, "256 bits"),
        (0x230000FF, "256 bits"),
        (0x220001FF, "256 bits"),
        (0x21010000, "256 bits"),
        (0, "zero"),
        (0x00123456, "zero"),
        (0x01003456, "zero"),
        (0x02000056, "zero"),
        (0x03000000, "zero"),
        (0x04000000, "zero"),
        (0xFF000000, "zero"),
    ],
)
def test_bits_without_a_usable_target(bits: int, reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        decode_target(bits)
    with pytest.raises(Refusal, match=reason):
        check_proof_of_work(replace(HEADER_100000, bits=bits), LIMIT)


def test_work() -> None:
    assert block_work(0x1D00FFFF) == 0x1_0001_0001
    assert block_work(0x207FFFFF) == 2
    assert block_work(0x1B04864C) == (1 << 256) // ((0x04864C << 192) + 1)


def test_proof_of_work_is_checked() -> None:
    missed = replace(HEADER_100000, nonce=HEADER_100000.nonce + 1)
    assert meets_target(HEADER_100000)
    assert not meets_target(missed)
    with pytest.raises(Refusal, match="no proof of work"):
        check_proof_of_work(missed, LIMIT)


def test_an_easier_target_than_the_chains_is_refused() -> None:
    easy = replace(HEADER_100000, bits=0x207FFFFF)
    with pytest.raises(Refusal, match="easier target"):
        check_proof_of_work(easy, LIMIT)


def test_every_chains_limit_is_usable() -> None:
    # The easiest targets that blocks of these chains really carry.
    easiest = {"bitcoin": 0x1D00FFFF, "testnet4": 0x1D00FFFF, "signet": 0x1E0377AE, "regtest": 0x207FFFFF}
    for name, bits in easiest.items():
        assert decode_target(bits) <= CHAINS[name].pow_limit < decode_target(bits) << 1
    assert CHAINS["simulated"].pow_limit == CHAINS["regtest"].pow_limit


def test_a_run_of_real_headers() -> None:
    run = [parse_header(raw) for raw in (GENESIS_HEADER, HEADER_1, HEADER_2)]
    assert verify_header_chain(run, LIMIT) == 0x3_0003_0003
    assert verify_header_chain(run[1:], LIMIT) == 0x2_0002_0002


@pytest.mark.parametrize(
    ("order", "field", "reason"),
    [
        ([], "headers", "missing"),
        ([0, 2], "headers.1", "does not name the header before it"),
        ([1, 0], "headers.1", "does not name"),
        ([0, 1, 1], "headers.2", "does not name"),
    ],
)
def test_runs_that_do_not_link(order: list[int], field: str, reason: str) -> None:
    headers = [parse_header(raw) for raw in (GENESIS_HEADER, HEADER_1, HEADER_2)]
    with pytest.raises(Refusal, match=reason) as caught:
        verify_header_chain([headers[index] for index in order], LIMIT)
    assert caught.value.field == field


def test_the_header_without_work_is_named() -> None:
    first, second = parse_header(GENESIS_HEADER), parse_header(HEADER_1)
    with pytest.raises(Refusal, match="no proof of work") as caught:
        verify_header_chain([first, replace(second, nonce=0)], LIMIT)
    assert caught.value.field == "headers.1"
    with pytest.raises(Refusal, match="easier target") as caught:
        verify_header_chain([replace(first, bits=0x207FFFFF)], LIMIT)
    assert caught.value.field == "headers.0.bits"
