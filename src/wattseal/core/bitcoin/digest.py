"""Double SHA-256 and the two orders in which Bitcoin's hashes are written.

Every `bytes` hash in Wattseal is in *internal* order: the bytes as SHA-256 gives them and as they stand in a header.
Explorers and node interfaces show the same bytes reversed, as hex (*display* order). Only the two functions below
cross from one to the other.
"""

from __future__ import annotations

import hashlib
import re

from wattseal.core.refusal import Refusal

HASH_BYTES = 32

_DISPLAYED = re.compile(r"[0-9a-f]{64}")


def double_sha256(data: bytes) -> bytes:
    """SHA-256 of the SHA-256 of `data`: 32 bytes in internal order."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def to_display(internal: bytes) -> str:
    """The hex that explorers show for a hash in internal order."""
    return internal[::-1].hex()


def from_display(text: str) -> bytes:
    """The internal order of a hash as explorers show it: 64 lower-case hex digits, else Refusal."""
    if not _DISPLAYED.fullmatch(text):
        raise Refusal("hash", "is not 64 lower-case hex digits")
    return bytes.fromhex(text)[::-1]
