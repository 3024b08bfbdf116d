from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.make_anchor_vectors import DIGESTS, HEIGHT, KNOWN, TIP, evidence, mined, trusting
from tests.core.real_bitcoin import GENESIS_HASH
from wattseal.core.anchor_check import ChainTrust, check, check_beacon
from wattseal.core.anchor_evidence import BitcoinEvidence
from wattseal.core.bitcoin.chain import CHAINS
from wattseal.core.bitcoin.digest import from_display
from wattseal.core.bitcoin.header import parse_header
from wattseal.core.refusal import Refusal

ONE, DIGEST = evidence(0), DIGESTS[0]
# The last header is known, so that every byte of the evidence is fixed by it or by the digest.
PINNED = trusting(HEIGHT + 2)


def test_what_yes_says() -> None:
    finding = check(ONE, DIGEST, trusting(*KNOWN))
    assert (finding.state, finding.chain, finding.simulated) == ("yes", "simulated", True)
    assert "simulated" in finding.reason
    assert (finding.height, finding.block_hash, finding.work) == (HEIGHT, KNOWN[HEIGHT], 6)
    assert finding.block_time == parse_header(ONE.headers[0]).time
    # Counted up to the verifier's tip, not over the headers that somebody sent along.
    assert finding.confirmations == TIP - HEIGHT + 1


def test_headers_after_the_known_one_add_no_confirmation() -> None:
    assert check(ONE, DIGEST, trusting(HEIGHT)).confirmations == 1


def test_work_confirms_no_height() -> None:
    for height in (0, HEIGHT, 900_000):
        finding = check(replace(ONE, height=height), DIGEST, trusting(min_work=6))
        assert (finding.state, finding.height, finding.confirmations) == ("yes", None, 3)
        assert "the evidence's own claim" in finding.reason
        assert "simulated" in finding.reason


def test_unknown_establishes_no_height_and_no_confirmation() -> None:
    finding = check(ONE, DIGEST, None)
    assert (finding.state, finding.height, finding.confirmations) == ("unknown", None, None)
    assert "would settle it" in finding.reason


def test_work_does_not_outvote_a_known_block() -> None:
    trust = replace(trusting(HEIGHT, min_work=1), known_blocks={HEIGHT + 1: bytes(32)})
    assert check(ONE, DIGEST, trust).state == "no"


def _flipped(data: bytes, bit: int) -> bytes:
    bit %= 8 * len(data)
    return data[: bit >> 3] + bytes([data[bit >> 3] ^ 1 << (bit & 7)]) + data[(bit >> 3) + 1 :]


PARTS = ["digest", "tx", "tx_index", "height", *(f"branch.{n}" for n in range(3)), *(f"headers.{n}" for n in range(3))]


@given(st.sampled_from(PARTS), st.integers(0, 8 * 200 - 1), st.integers(0, 4))
@example("tx_index", 1, 4)
def test_one_flipped_bit_never_yields_yes(part: str, bit: int, number: int) -> None:
    good, digest = evidence(number), DIGESTS[number]
    assert check(good, digest, PINNED).state == "yes"
    name, _, place = part.partition(".")
    if name == "digest":
        assert check(good, _flipped(digest, bit), PINNED).state != "yes"
        return
    changed: dict[str, Any] = {}
    if name in {"tx_index", "height"}:
        changed[name] = getattr(good, name) ^ 1 << bit % (3 if name == "tx_index" else 31)
    elif name == "tx":
        changed[name] = _flipped(good.tx, bit)
    else:
        items = list(getattr(good, name))
        items[int(place)] = _flipped(items[int(place)], bit)
        changed[name] = tuple(items)
    assert check(replace(good, **changed), digest, PINNED).state != "yes"


def test_every_single_bit_of_the_smallest_evidence() -> None:
    """Exhaustive, through JSON as a stranger would send it: each bit of each byte, index and height."""
    good = evidence(0, depth=1)
    trust = trusting(HEIGHT)
    flips = [("tx", replace(good, tx=_flipped(good.tx, bit))) for bit in range(8 * len(good.tx))]
    flips += [("header", replace(good, headers=(_flipped(good.headers[0], bit),))) for bit in range(8 * 80)]
    for level, node in enumerate(good.branch):
        for bit in range(256):
            branch = (*good.branch[:level], _flipped(node, bit), *good.branch[level + 1 :])
            flips.append(("branch", replace(good, branch=branch)))
    flips += [("tx_index", replace(good, tx_index=good.tx_index ^ 1 << bit)) for bit in range(3)]
    flips += [("height", replace(good, height=good.height ^ 1 << bit)) for bit in range(31)]
    assert check(good, DIGEST, trust).state == "yes"
    for part, flipped in flips:
        read = BitcoinEvidence.from_json(json.loads(json.dumps(flipped.to_json())))
        # A wrong height says nothing of the blocks that are known; everything else contradicts itself or them.
        expected = {"no", "unknown"} if part == "height" else {"no"}
        assert check(read, DIGEST, trust).state in expected


def test_a_stolen_header_run_with_other_bits_is_not_the_known_one() -> None:
    """A forged first block on the true parent: proof of work is cheap here, so only the known hash tells."""
    first = parse_header(ONE.headers[0])
    forged = replace(ONE, headers=(mined(replace(first, time=first.time + 1)).serialise(),))
    assert check(forged, DIGEST, trusting(HEIGHT)).state == "no"
    assert check(forged, DIGEST, trusting(HEIGHT - 1)).state == "unknown"
    assert check(forged, DIGEST, trusting(min_work=2)).state == "yes"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_digest_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(Refusal, match="instead of 32"):
        check(ONE, bytes(length), PINNED)


@pytest.mark.parametrize("name", sorted(CHAINS))
def test_the_flag_must_fit_the_chain(name: str) -> None:
    simulated = name in {"regtest", "simulated"}
    assert ChainTrust(name, simulated=simulated).known_tip is None
    with pytest.raises(Refusal) as caught:
        ChainTrust(name, simulated=not simulated)
    assert caught.value.field == "simulated"


def test_trust_is_bounded() -> None:
    with pytest.raises(Refusal, match="is none of"):
        ChainTrust("mainnet", simulated=False)
    for min_work in (0, -1):
        with pytest.raises(Refusal, match="above zero"):
            ChainTrust("bitcoin", simulated=False, min_work=min_work)
    for known in ({-1: bytes(32)}, {0: bytes(31)}):
        with pytest.raises(Refusal, match="known_blocks"):
            ChainTrust("bitcoin", simulated=False, known_blocks=known)


def test_beacons_are_in_internal_order() -> None:
    known = {0: from_display(GENESIS_HASH)}
    first8 = bytes.fromhex("6fe28c0ab6f1b372")
    assert check_beacon(0, first8, known).state == "yes"
    assert check_beacon(0, first8[::-1], known).state == "no"
    assert check_beacon(0, bytes(8), known).state == "no"
    assert check_beacon(1, first8, known).state == "unknown"
    for length in (7, 9, 32):
        with pytest.raises(Refusal, match="instead of 8"):
            check_beacon(0, bytes(length), known)
