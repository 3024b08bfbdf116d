from __future__ import annotations

from wattseal.api.source_rate import MAX_SOURCES, SourceRate


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_fills_again() -> None:
    clock = Clock()
    rate = SourceRate(2, 10, clock)
    assert rate.wait_s("192.0.2.1", 10) == 0
    assert rate.wait_s("192.0.2.1", 4) == 2
    assert rate.wait_s("192.0.2.2", 10) == 0
    clock.now += 2
    assert rate.wait_s("192.0.2.1", 4) == 0
    assert rate.wait_s("192.0.2.1", 1) == 1
    clock.now += 1_000
    assert rate.wait_s("192.0.2.1", 11) > 0  # never more than the bucket holds
    assert rate.wait_s("192.0.2.1", 10) == 0


def test_waiting_as_long_as_told_is_enough() -> None:
    for per_s in (1, 3, 7, 50):
        clock = Clock()
        rate = SourceRate(per_s, 100, clock)
        waits = [rate.wait_s("192.0.2.1", 100)]
        for count in (1, 2, 30, 100):
            while wait_s := rate.wait_s("192.0.2.1", count):
                clock.now += wait_s
                waits.append(wait_s)
        assert len(waits) <= 5  # one wait for each, if any


def test_a_subscriber_has_one_bucket() -> None:
    rate = SourceRate(1, 5, Clock())
    assert rate.wait_s("2001:db8::1", 5) == 0
    assert rate.wait_s("2001:db8::ffff:1", 1) > 0
    assert rate.wait_s("2001:db8:0:1::1", 5) == 0
    assert rate.wait_s("::ffff:192.0.2.1", 5) == 0
    assert rate.wait_s("192.0.2.1", 1) > 0
    assert rate.wait_s("no address", 5) == 0
    assert rate.wait_s("", 1) > 0


def test_memory_is_bounded_and_the_busy_stay() -> None:
    clock = Clock()
    rate = SourceRate(1, 5, clock)
    rate.wait_s("192.0.2.1", 5)
    for number in range(MAX_SOURCES + 100):
        clock.now += 0.0001
        rate.wait_s(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1)
        if number % 1_000 == 0:
            assert rate.wait_s("192.0.2.1", 5) > 0
    assert len(rate._buckets) == MAX_SOURCES
