"""How many refused messages of one device are kept to look at: a flood of one must not push out the others'."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic_ns
from typing import Final

PER_MINUTE: Final = 10
MAX_DEVICES: Final = 10_000
_MINUTE_NS: Final = 60_000_000_000


class InboxShare:
    """Counts per device, which is a topic without its last level. Forgets the device that was quiet longest."""

    def __init__(self, clock_ns: Callable[[], int] = monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._kept: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        """Device -> when its minute began, and how many were kept in it."""

    def takes(self, topic: bytes) -> bool:
        """Whether one more refused message of that topic is to be kept."""
        device, now = topic.rpartition(b"/")[0], self._clock_ns()
        since, count = self._kept.pop(device, (now, 0))
        if now - since >= _MINUTE_NS:
            since, count = now, 0
        self._kept[device] = (since, count + 1)
        if len(self._kept) > MAX_DEVICES:
            self._kept.popitem(last=False)
        return count < PER_MINUTE
