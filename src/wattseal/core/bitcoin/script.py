"""OP_RETURN outputs: scripts that can never be spent and carry data instead."""

from __future__ import annotations

from wattseal.core.bitcoin.tx import Transaction
from wattseal.core.refusal import Refusal

OP_RETURN = 0x6A
OP_PUSHDATA1 = 0x4C
# A direct push: the opcode is the number of bytes.
MAX_DIRECT_PUSH = 0x4B


def op_return_payloads(tx: Transaction) -> tuple[bytes, ...]:
    """Every payload that an OP_RETURN output of `tx` pushes, in order."""
    return tuple(payload for paid in tx.outputs for payload in op_return_pushes(paid.script))


def op_return_script(payload: bytes) -> bytes:
    """The script OP_RETURN <payload>, in the shortest form; 1 to 255 bytes."""
    if not 1 <= len(payload) <= 0xFF:
        raise Refusal("payload", "does not fit in one push: 1 to 255 bytes")
    push = bytes([len(payload)]) if len(payload) <= MAX_DIRECT_PUSH else bytes([OP_PUSHDATA1, len(payload)])
    return bytes([OP_RETURN]) + push + payload


def op_return_pushes(script: bytes) -> tuple[bytes, ...]:
    """What a script of OP_RETURN and pushes pushes; nothing for any other script.

    Understood are direct pushes (1 to 75 bytes) and OP_PUSHDATA1 (up to 255). OP_RETURN with anything else after it is
    allowed in Bitcoin and is other people's business.
    """
    if script[:1] != bytes([OP_RETURN]):
        return ()
    found: list[bytes] = []
    at = 1
    while at < len(script):
        length = script[at]
        at += 1
        if length == OP_PUSHDATA1 and at < len(script):
            length = script[at]
            at += 1
        elif not 1 <= length <= MAX_DIRECT_PUSH:
            return ()
        if at + length > len(script):
            return ()
        found.append(script[at : at + length])
        at += length
    return tuple(found)
