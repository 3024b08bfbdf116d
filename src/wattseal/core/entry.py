"""The 32-byte entry that the log commits to (docs/spec/log.md §1)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from wattseal.core.refusal import Refusal

ENTRY_TAG = b"wattseal/entry/1\n"
SALT_TAG = b"wattseal/salt/1\n"
NOTHING = bytes(32)
"""Stands in a slot in which nothing stands, and for the salts of a public entry."""

_HASH_BYTES = 32
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Salts:
    """The three salts of an entry, 32 bytes each: over the whole, the body, the slots."""

    entry: bytes
    body: bytes
    reading: bytes


PUBLIC = Salts(NOTHING, NOTHING, NOTHING)


@dataclass(frozen=True, slots=True)
class Slots:
    """What stands in the two evidence slots, 32 bytes each (docs/spec/log.md §1.2)."""

    start: bytes = NOTHING
    end: bytes = NOTHING


EMPTY_SLOTS = Slots()


def derive_salts(secret: bytes, entry_id: bytes) -> Salts:
    """The salts of the entry with that id under a secret of 32 bytes (§1.1)."""
    if len(secret) != _HASH_BYTES or len(entry_id) != _ID_BYTES:
        raise Refusal("salts", "need a secret of 32 bytes and an entry id of 16")
    message = SALT_TAG + entry_id
    digest = hmac.digest
    return Salts(
        digest(secret, message + b"e", "sha256"),
        digest(secret, message + b"b", "sha256"),
        digest(secret, message + b"r", "sha256"),
    )


def commit_body(salt: bytes, body: bytes) -> bytes:
    """SHA-256(salt ‖ body)."""
    return hashlib.sha256(salt + body).digest()


def commit_reading(salt: bytes, slots: Slots) -> bytes:
    """SHA-256(salt ‖ start ‖ end)."""
    return hashlib.sha256(salt + slots.start + slots.end).digest()


def entry_hash(salts: Salts, body: bytes, slots: Slots) -> bytes:
    """The entry of a body and its slots. All salts and slots MUST be 32 bytes; parse them at the edge."""
    inner = salts.entry + commit_body(salts.body, body) + commit_reading(salts.reading, slots)
    return hashlib.sha256(ENTRY_TAG + inner).digest()
