"""The chains that anchors may lie in, and what of each one's rules can be checked from headers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from wattseal.core.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain: its name, and `title`, what to call it in a sentence.

    `pow_limit` is the easiest target that its rules allow, `simulated` whether anybody can make it up at no cost.
    """

    name: str
    title: str
    pow_limit: int
    simulated: bool


_REGTEST_LIMIT: Final = (1 << 255) - 1

# The limits are `consensus.powLimit` of Bitcoin Core's chainparams. Without them a forger could write headers with
# regtest's target and call them Bitcoin's.
CHAINS: Final[Mapping[str, Chain]] = MappingProxyType(
    {
        chain.name: chain
        for chain in (
            Chain("bitcoin", "Bitcoin", (1 << 224) - 1, simulated=False),
            Chain("testnet4", "testnet4", (1 << 224) - 1, simulated=False),
            Chain("signet", "signet", 0x377AE << 216, simulated=False),
            # A regtest block costs two hashes on average: it proves a program's behaviour, never a time.
            Chain("regtest", "regtest (simulated)", _REGTEST_LIMIT, simulated=True),
            Chain("simulated", "the simulated chain", _REGTEST_LIMIT, simulated=True),
        )
    }
)


def chain_named(name: str) -> Chain:
    """The chain of this name; Refusal if there is none."""
    chain = CHAINS.get(name)
    if chain is None:
        raise Refusal("chain", f"is none of {', '.join(CHAINS)}")
    return chain
