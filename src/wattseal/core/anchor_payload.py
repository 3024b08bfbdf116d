"""What an anchor writes into a Bitcoin transaction: the tag WSEAL1 and the anchored digest (docs/spec/anchor.md §2)."""

from __future__ import annotations

import hashlib

from wattseal.core.bitcoin.script import op_return_script
from wattseal.core.refusal import Refusal

ANCHOR_TAG = b"WSEAL1"
DIGEST_BYTES = 32


def checkpoint_digest(body: bytes) -> bytes:
    """SHA-256 of a checkpoint's body as served, its last newline included and its signatures not."""
    return hashlib.sha256(body).digest()


def anchor_payload(digest: bytes) -> bytes:
    """The 38 bytes that the OP_RETURN output pushes for an anchored digest of 32 bytes."""
    if len(digest) != DIGEST_BYTES:
        raise Refusal("digest", f"has {len(digest)} bytes instead of {DIGEST_BYTES}")
    return ANCHOR_TAG + digest


def anchor_script(digest: bytes) -> bytes:
    """The whole output script: OP_RETURN and one direct push of the payload, 40 bytes."""
    return op_return_script(anchor_payload(digest))


def anchored_digest(payload: bytes) -> bytes | None:
    """The digest in an OP_RETURN payload, or None if this is not an anchor of ours."""
    if len(payload) != len(ANCHOR_TAG) + DIGEST_BYTES or not payload.startswith(ANCHOR_TAG):
        return None
    return payload[len(ANCHOR_TAG) :]
