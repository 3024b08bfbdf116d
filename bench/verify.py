"""How long the verifier takes, once started: a bundle of one record, of a day by the hour, of a day by five minutes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from bench.p256 import _pyca_worker
from tests.core.world import World, to_file
from wattseal.core.bundle import parse_bundle
from wattseal.core.trust import parse_trust
from wattseal.core.verify import verify

ROUNDS = 9
SIZES = (1, 24, 288)


def run() -> Iterator[str]:
    """Medians of nine rounds of parsing and verifying; the target is 50 ms."""
    for records in SIZES:
        yield _measured(records)
    signatures_ms = (SIZES[-1] + 1) / _pyca_worker(1) * 1e3
    yield f"{SIZES[-1] + 1} signatures alone {signatures_ms:.1f} ms"


def _measured(records: int) -> str:
    world = World(records=records)
    data = to_file(world.bundle())
    trust = parse_trust(world.trust_text(), lambda _: b"")
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        verdicts = verify(parse_bundle(data), trust)
        rounds.append((time.perf_counter() - start) * 1e3)
        if verdicts.authentic.word != "yes":
            raise RuntimeError(verdicts.authentic.reason)
    times = f"{statistics.median(rounds):6.1f} ms ({min(rounds):.1f} to {max(rounds):.1f})"
    return f"bundle of {records:3} records, {len(data) / 1e3:4,.0f} kB: {times}; target < 50 ms"
