from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeVar

import pytest

from tests.ingest import deadly
from tests.ingest.room import NOW, meter
from wattseal.core.reading import MAX_READING_BYTES
from wattseal.ingest import workers
from wattseal.ingest.arrival import Arrival, stored_arrival
from wattseal.ingest.receipt import Busy, Receipt
from wattseal.ingest.workers import Examined, Examiner

T = TypeVar("T")

SOURCE, STRANGER = meter(), meter("stranger")
GOOD = [SOURCE.read(NOW + 60 * place) for place in range(40)]
FORGED = GOOD[0][:-1] + bytes([GOOD[0][-1] ^ 1])
UNKNOWN = STRANGER.read(NOW)


def keys(kid: bytes) -> bytes | None:
    return SOURCE.element.public_key if kid == SOURCE.element.kid else None


def run(count: int, work: Callable[[Examiner], Coroutine[None, None, T]]) -> T:
    async def whole() -> T:
        examiner = Examiner(count, keys)
        try:
            return await work(examiner)
        finally:
            examiner.close()

    return asyncio.run(whole())


def expected(item: bytes) -> str | Arrival:
    match item:
        case _ if item in GOOD:
            return stored_arrival(item)
        case _ if item == FORGED:
            return "bad-signature"
        case _ if item == UNKNOWN:
            return "unknown-key"
    return "malformed"


def said(results: list[Examined]) -> list[str | Arrival | None]:
    return [result.reason if isinstance(result, Receipt) else result for result in results]


MIXED = [*GOOD, FORGED, UNKNOWN, b"", b"\0" * 100, GOOD[1] + b"\0", bytes(MAX_READING_BYTES + 1), bytes(100_000)]


@pytest.mark.parametrize("count", [0, 2])
def test_results_come_in_the_order_of_the_request(count: int) -> None:
    async def work(examiner: Examiner) -> None:
        mixed = MIXED * 20
        random.Random(5).shuffle(mixed)
        parts = [mixed[:700], [], mixed[700:701], *([item] for item in mixed[701:])]
        found = await asyncio.gather(*(examiner.examine(part) for part in parts))
        for part, results in zip(parts, found, strict=True):
            assert said(results) == [expected(item) for item in part]
        assert examiner.restarts == 0

    run(count, work)


def test_what_is_refused_names_its_field() -> None:
    async def work(examiner: Examiner) -> list[Examined]:
        return await examiner.examine([b"", UNKNOWN, FORGED])

    refused = run(0, work)
    assert [(result.outcome, result.field) for result in refused if isinstance(result, Receipt)] == [
        ("refused", "reading"),
        ("refused", "kid"),
        ("refused", "signature"),
    ]


def test_a_dead_worker_is_survived(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEADLY_MARK", str(tmp_path / "mark"))
    monkeypatch.setattr(workers, "examine_chunk", deadly.die_once)

    async def work(examiner: Examiner) -> None:
        results = await asyncio.gather(*(examiner.examine(GOOD) for _ in range(3)))
        assert [said(result) for result in results] == [[expected(item) for item in GOOD]] * 3
        assert examiner.restarts == 1

    run(2, work)


def test_readings_that_kill_twice_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(examiner: Examiner) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(workers, "examine_chunk", deadly.die)
            with pytest.raises(Busy):
                await examiner.examine(GOOD)
        assert examiner.restarts == 2
        assert said(await examiner.examine(GOOD)) == [expected(item) for item in GOOD]

    run(1, work)


def test_a_closed_examiner_is_busy() -> None:
    async def work(examiner: Examiner) -> None:
        waiting = asyncio.gather(*(examiner.examine(MIXED * 40) for _ in range(20)), return_exceptions=True)
        await asyncio.sleep(0)
        await asyncio.to_thread(examiner.close)
        results = await waiting
        assert any(isinstance(result, Busy) for result in results)
        assert all(isinstance(result, Busy | list) for result in results)

    run(1, work)
