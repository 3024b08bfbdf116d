from __future__ import annotations

from wattseal.ingest.mqtt_share import MAX_DEVICES, PER_MINUTE, InboxShare


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def test_a_device_has_its_share_of_each_minute() -> None:
    clock = Clock()
    share = InboxShare(clock)
    assert [share.takes(b"energy/s/d/m%d" % place) for place in range(PER_MINUTE + 2)] == [True] * PER_MINUTE + [
        False
    ] * 2
    assert share.takes(b"energy/s/other/m")
    clock.now = 59_900_000_000
    assert not share.takes(b"energy/s/d/m")
    clock.now = 60_000_000_000
    assert share.takes(b"energy/s/d/m")


def test_it_remembers_no_more_devices_than_fit() -> None:
    share = InboxShare(Clock())
    for place in range(MAX_DEVICES * 2):
        share.takes(b"energy/s/%d/m" % place)
    assert len(share._kept) == MAX_DEVICES
