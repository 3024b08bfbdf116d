"""How long the verifier takes, once started, for a bundle of one day: 288 records, 289 signed readings, one anchor."""

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
RECORDS = 288


def run() -> Iterator[str]:
    """Median of nine rounds of parsing and verifying; the target is 50 ms."""
    world = World(records=RECORDS)
    data = to_file(world.bundle())
    trust = parse_trust(world.trust_text(), lambda _: b"")
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        verdicts = verify(parse_bundle(data), trust)
        rounds.append((time.perf_counter() - start) * 1e3)
        if verdicts.authentic.word != "yes":
            raise RuntimeError(verdicts.authentic.reason)
    signatures_ms = (RECORDS + 1) / _pyca_worker(1) * 1e3
    median = statistics.median(rounds)
    yield f"bundle of {RECORDS} records, {len(data) / 1e3:,.0f} kB"
    yield f"parse and verify {median:.1f} ms (min {min(rounds):.1f}, max {max(rounds):.1f}); target < 50 ms"
    yield f"of which {RECORDS + 1} signatures alone {signatures_ms:.1f} ms: {median / signatures_ms:.1f} times that"
