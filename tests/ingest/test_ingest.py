from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.ingest.room import GATEWAY, NOW, OPERATOR, Room, interval, meter
from wattseal.core.reading import parse_envelope
from wattseal.core.refusal import Refusal
from wattseal.core.registry import Tariff
from wattseal.ingest.ingest import Ingest
from wattseal.ingest.receipt import Busy
from wattseal.ingest.reported import ReportedInterval
from wattseal.ingest.settings import Settings
from wattseal.ingest.writer import Writer
from wattseal.log.sequencer import Halted

T = TypeVar("T")


@asynccontextmanager
async def started(room: Room, workers: int = 0, settings: Settings | None = None) -> AsyncIterator[Ingest]:
    ingest = Ingest.start(
        room.store,
        room.sequencer,
        workers=workers,
        gateway=GATEWAY,
        clock_ns=room.clock.ns,
        settings=settings or room.settings,
    )
    try:
        yield ingest
    finally:
        await ingest.close()


def run(room: Room, work: Callable[[Ingest], Coroutine[None, None, T]], workers: int = 0, capacity: int = 50_000) -> T:
    async def whole() -> T:
        async with started(room, workers, Settings(capacity=capacity)) as ingest:
            return await work(ingest)

    return asyncio.run(whole())


@pytest.mark.parametrize("workers", [0, 2])
def test_many_requests_at_once(room: Room, workers: int) -> None:
    sources = [meter(f"m{place}") for place in range(20)]
    room.enrol(*sources)
    room.clock.now_s = NOW + 600
    items = {source: [source.read(NOW + 60 * place) for place in range(10)] for source in sources}

    async def work(ingest: Ingest) -> None:
        first = await asyncio.gather(*(ingest.submit_readings([part[0]], trusted=False) for part in items.values()))
        assert {receipt.outcome for receipts in first for receipt in receipts} == {"admitted"}
        many = await asyncio.gather(*(ingest.submit_readings(part, trusted=False) for part in items.values()))
        for part, receipts in zip(items.values(), many, strict=True):
            assert [receipt.digest for receipt in receipts] == [parse_envelope(item).digest for item in part]
            assert [receipt.outcome for receipt in receipts] == ["duplicate"] + ["admitted"] * 9
        assert ingest.waiting == 0
        row = await ingest.flush()
        assert row.checkpoint is not None

    run(room, work, workers)
    assert len(room.records()) == 20 * 9


def test_an_answer_does_not_wait_for_the_clock(room: Room) -> None:
    source = meter()
    room.enrol(source)

    async def work(ingest: Ingest) -> None:
        start = time.monotonic()
        for _ in range(20):
            await ingest.submit_readings([source.read(NOW)], trusted=True)
        assert time.monotonic() - start < 2  # the writer's thread looks at the clock once a second

    run(room, work)


def test_beyond_the_capacity_it_is_busy(room: Room) -> None:
    source = meter()
    room.enrol(source)
    items = [source.read(NOW + 60 * place) for place in range(12)]
    room.clock.now_s = NOW + 900

    async def work(ingest: Ingest) -> None:
        results = await asyncio.gather(
            *(ingest.submit_readings(items[at : at + 4], trusted=True) for at in (0, 4, 8)), return_exceptions=True
        )
        assert isinstance(results[2], Busy)
        assert results[2].retry_after_s >= 1
        assert isinstance(results[0], list)
        assert ingest.waiting == 0
        # What is larger than all of the room comes in alone.
        assert len(await ingest.submit_readings(items, trusted=True)) == 12

    run(room, work, capacity=10)


def test_strangers_fill_the_inbox_and_not_the_log(room: Room) -> None:
    source, stranger = meter(), meter("stranger")
    room.enrol(source)
    size = room.sequencer.next_idx
    bad = stranger.read(NOW)

    async def work(ingest: Ingest) -> None:
        receipts = await ingest.submit_readings([bad, b"x" * 100_000], trusted=False, source="192.0.2.1")
        assert [receipt.reason for receipt in receipts] == ["unknown-key", "malformed"]
        await ingest.submit_readings([bad], trusted=True)
        await ingest.submit_readings([source.read(NOW)], trusted=True)

    run(room, work)
    assert room.sequencer.next_idx == size
    with room.store.read() as read:
        kept = read.inbox()
    assert {(row.source, row.reason, len(row.data)) for row in kept} == {
        ("192.0.2.1", "unknown-key: kid", len(bad)),
        ("192.0.2.1", "malformed: reading", 4_096),
    }


def test_a_key_counts_as_soon_as_it_is_registered(room: Room) -> None:
    source = meter()

    async def work(ingest: Ingest) -> None:
        item = source.read(NOW)
        assert (await ingest.submit_readings([item], trusted=True))[0].reason == "unknown-key"
        await ingest.call(
            lambda tx, now: (
                ingest.enrolment.register_key(tx, now, source.device_key(NOW - 60)),
                ingest.enrolment.register_meter(tx, now, source.meter(NOW - 60)),
            )
        )
        assert set(ingest.registry.meters) == {"site/device-m1/m1"}
        assert (await ingest.submit_readings([item], trusted=True))[0].outcome == "admitted"

    run(room, work, workers=1)


def test_calls_give_their_result_or_their_refusal(room: Room) -> None:
    tariff = Tariff("flat", 1, "site", 1, NOW)

    async def work(ingest: Ingest) -> None:
        logged = await ingest.call(lambda tx, now: ingest.enrolment.add_tariff(tx, now, tariff))
        with pytest.raises(Refusal):
            await ingest.call(lambda tx, now: ingest.enrolment.add_tariff(tx, now, tariff))
        assert await ingest.call(lambda tx, now: (tx.size(), now)) == (logged.index + 1, NOW)
        assert ingest.halted is None

    run(room, work)


def test_intervals_and_decisions(room: Room) -> None:
    async def work(ingest: Ingest) -> None:
        names = {"site_id": "s", "iot_device_id": "d", "meter_id": "m"}
        receipts = await ingest.submit_reported(
            [
                ReportedInterval(interval(), **names),
                ReportedInterval(b"?"),
                ReportedInterval(interval(energy_kwh=2), **names),
            ]
        )
        assert [receipt.reason or receipt.outcome for receipt in receipts] == ["admitted", "malformed", "equivocation"]
        assert (await ingest.submit_reported([ReportedInterval(b"?")]))[0].outcome == "refused"
        await ingest.decide(receipts[2].log_id or b"", "reject", "a typing error", OPERATOR)
        with pytest.raises(Refusal):
            await ingest.decide(receipts[2].log_id or b"", "release", "again", OPERATOR)

    run(room, work)


def test_what_waits_is_done_before_it_ends(room: Room) -> None:
    source = meter()
    room.enrol(source)

    async def whole() -> None:
        async with started(room) as ingest:
            waiting = asyncio.ensure_future(ingest.submit_readings([source.read(NOW)], trusted=True))
            await asyncio.sleep(0)
        assert (await waiting)[0].outcome == "admitted"
        with pytest.raises(Busy):
            await ingest.submit_readings([source.read(NOW + 60)], trusted=True)

    asyncio.run(whole())


def test_a_halted_log_says_so(room: Room) -> None:
    source = meter()
    room.enrol(source)

    def broken(_tx: object, _now: int) -> None:
        raise OSError(5, "Input/output error")

    async def work(ingest: Ingest) -> None:
        with pytest.raises(Halted):
            await ingest.call(broken)
        assert ingest.halted is not None
        with pytest.raises(Halted):
            await ingest.submit_readings([source.read(NOW)], trusted=True)
        with pytest.raises(Halted):
            await ingest.flush()

    run(room, work)


def test_time_brings_the_batch(tmp_path: Path) -> None:
    room = Room(tmp_path)

    async def work(_: Ingest) -> None:
        room.clock.now_s += 1
        for _second in range(60):
            await asyncio.sleep(0.1)
            room.clock.now_s += 60
            with room.store.read() as read:
                if read.batches():
                    return
        pytest.fail("no batch was closed")

    run(room, work)
    room.close()


def test_a_fault_of_the_writer_is_told_to_everybody(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    source = meter()
    room.enrol(source)

    def fails(_: Writer) -> None:
        raise RuntimeError("out of order")

    async def work(ingest: Ingest) -> None:
        monkeypatch.setattr(Writer, "tick", fails)
        await ingest.flush()  # it was durable before the fault
        await asyncio.sleep(0.1)
        for _ in range(2):
            with pytest.raises(Halted, match="out of order"):
                await ingest.flush()
        assert ingest.halted is not None

    run(room, work)


def test_a_sender_that_goes_away_does_not_make_room(room: Room) -> None:
    source = meter()
    room.enrol(source)
    room.clock.now_s = NOW + 600

    async def work(ingest: Ingest) -> None:
        sending = asyncio.ensure_future(ingest.submit_readings([source.read(NOW)], trusted=True))
        await asyncio.sleep(0)
        assert ingest.waiting == 1
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert ingest.waiting == 1  # it is in the writer's hands
        await ingest.flush()
        assert ingest.waiting == 0

    run(room, work)
