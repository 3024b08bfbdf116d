"""Entry ids: UUIDv7 (RFC 9562 §5.7; docs/spec/log.md §1.1)."""

from __future__ import annotations

import os
from typing import Final

ID_BYTES: Final = 16
MAX_TIME_MS: Final = 2**48 - 1

_VERSION_7: Final = 7 << 76
_VARIANT: Final = 2 << 62
_RANDOM: Final = (1 << 80) - 1 & ~(0xF << 76) & ~(3 << 62)
"""Where chance fills the lower 80 bits: all but the 4 bits of the version and the 2 of the variant, so 74 of them."""


def new_ids(now_ms: int, count: int) -> list[bytes]:
    """`count` new ids of 16 bytes for a Unix time in ms, each with 74 bits from the system's source of chance.

    Ids of one millisecond have no order among each other. Raises ValueError for a time that 48 bits cannot hold.
    """
    if not 0 <= now_ms <= MAX_TIME_MS:
        raise ValueError("an id's time is from 0 to 2**48 - 1 ms")
    fixed = now_ms << 80 | _VERSION_7 | _VARIANT
    noise = os.urandom(10 * count)
    return [
        (int.from_bytes(noise[start : start + 10], "big") & _RANDOM | fixed).to_bytes(ID_BYTES, "big")
        for start in range(0, 10 * count, 10)
    ]
