"""How many readings an address may send without a token: a bucket for each, and for no more addresses than fit."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

MAX_SOURCES: Final = 10_000
_V6_NETWORK_BITS: Final = 64


class SourceRate:
    """`per_s` readings a second in the long run, `burst` at once. Used by one thread."""

    def __init__(self, per_s: int, burst: int, clock: Callable[[], float] = monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        # Source -> readings that it may still send, and when that was so. The one that was quiet longest goes first; it
        # comes back with a full bucket, which it would have by then unless more sources than these send at once.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    @property
    def burst(self) -> int:
        """The most readings in one request."""
        return self._burst

    def wait_s(self, address: str, count: int) -> int:
        """Take `count` readings out of an address's bucket: 0, or in how many seconds to try again, nothing taken."""
        source, now = source_of(address), self._clock()
        left, since = self._buckets.pop(source, (float(self._burst), now))
        left = min(self._burst, left + (now - since) * self._per_s)
        is_allowed = count <= left
        self._buckets[source] = (left - count if is_allowed else left, now)
        if len(self._buckets) > MAX_SOURCES:
            self._buckets.popitem(last=False)
        return 0 if is_allowed else max(1, round((min(count, self._burst) - left) / self._per_s + 0.5))


def source_of(address: str) -> str:
    """An IPv4 address, or the /64 network of an IPv6 one, which is what one subscriber gets."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _V6_NETWORK_BITS), strict=False))
    return address
