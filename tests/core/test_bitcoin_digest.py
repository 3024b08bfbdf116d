from __future__ import annotations

import pytest
from hypothesis import given

from tests.core.bitcoin_strategies import hashes
from tests.core.real_bitcoin import GENESIS_HASH, GENESIS_HEADER
from wattseal.core.bitcoin.digest import double_sha256, from_display, to_display
from wattseal.core.refusal import Refusal


def test_the_genesis_block() -> None:
    internal = double_sha256(GENESIS_HEADER)
    assert to_display(internal) == GENESIS_HASH
    assert internal.endswith(bytes(5))


@given(hashes)
def test_display_order_comes_back(internal: bytes) -> None:
    assert from_display(to_display(internal)) == internal


@pytest.mark.parametrize("text", ["", GENESIS_HASH[:-1], GENESIS_HASH + "0", GENESIS_HASH.upper(), GENESIS_HASH + "\n"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        from_display(text)
