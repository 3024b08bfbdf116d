"""Listeners are bounded: the newest value of each meter is kept for them, and nothing else."""

from __future__ import annotations

import asyncio

from wattseal.ingest.live import MAX_LISTENERS, MAX_OF_ADDRESS, Live, LiveInterval, LiveReading


def value(path: str, time_s: int) -> LiveReading:
    return LiveReading(path, time_s, 1, 2, 3)


def test_the_newest_value_of_each_meter_waits() -> None:
    async def run() -> None:
        listener = Live().listen(lambda _: True)
        assert await listener.take(0) == []
        for time_s in range(1_000):
            listener.put(value("a/b/c", time_s))
            listener.put(value("a/b/d", 1_000 - time_s))
        assert await listener.take(1) == [value("a/b/c", 999), value("a/b/d", 1_000)]
        assert await listener.take(0) == []
        interval = LiveInterval("a/b/c", 3_600, 0, 1_000_000, 0)
        listener.put(interval)
        assert await listener.take(1) == [interval]
        assert interval.power_mw == 1_000_000

    asyncio.run(run())


def test_no_more_than_so_many_listen_and_all_end_with_the_server() -> None:
    async def run() -> None:
        live = Live()
        assert not live
        listeners = [live.listen(lambda _: False) for _ in range(MAX_LISTENERS)]
        assert live.is_full(None)
        # No stranger keeps them out, nor they a stranger; and one address does not take all of the strangers' places.
        assert not live.is_full("192.0.2.1")
        for place in range(MAX_OF_ADDRESS):
            live.leave(listeners[place])
            listeners[place] = live.listen(lambda _: False, "192.0.2.1")
        assert live.is_full("192.0.2.1")
        assert not live.is_full("192.0.2.2")
        assert not live.is_full(None)
        live.leave(listeners[0])
        assert len(live) == MAX_LISTENERS - 1
        live.close()
        assert live.is_full(None)
        assert await listeners[1].take(30) == await listeners[1].take(30) == []
        assert listeners[1].is_closed

    asyncio.run(run())
