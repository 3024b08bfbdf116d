"""Cuts a CBOR sequence (RFC 8742) of signed readings into items, by their fixed offsets (docs/spec/reading.md §1)."""

from __future__ import annotations

from typing import Final

from wattseal.core.refusal import Refusal

_HEAD: Final = bytes.fromhex("d28455a201260450")
_LENGTH_AT: Final = len(_HEAD) + 16 + 1
"""Where the head of the payload stands: after the kid and the empty unprotected header."""
_AFTER_PAYLOAD: Final = 2 + 64
_SHORT: Final = _LENGTH_AT + 2 + _AFTER_PAYLOAD
_LONG: Final = _LENGTH_AT + 3 + _AFTER_PAYLOAD


def split_readings(data: bytes, most: int) -> list[bytes]:
    """The readings one after the other, not looked into: each is parsed strictly by itself.

    Refusal where the next one does not begin as a reading or is cut short, since nothing behind that place can be told
    apart, and for more than `most` readings.
    """
    items: list[bytes] = []
    append, starts = items.append, data.startswith
    at, end = 0, len(data)
    try:
        while at < end:
            if not starts(_HEAD, at):
                raise Refusal(_place(items, at), "does not begin as a signed reading (docs/spec/reading.md)")
            kind = data[at + _LENGTH_AT]
            if kind == 0x58:
                after = at + _SHORT + data[at + _LENGTH_AT + 1]
            elif kind == 0x59:
                after = at + _LONG + (data[at + _LENGTH_AT + 1] << 8 | data[at + _LENGTH_AT + 2])
            else:
                raise Refusal(_place(items, at), "has a payload that is no byte string of 24 bytes or more")
            append(data[at:after])
            at = after
    except IndexError:
        raise Refusal(_place(items, at), "is cut short") from None
    if at > end:
        raise Refusal(_place(items[:-1], end - len(items[-1])), "is cut short")
    if len(items) > most:
        raise Refusal("readings", f"are {len(items)}; send at most {most} in one request")
    if not items:
        raise Refusal("readings", "are missing: the body is empty")
    return items


def _place(items: list[bytes], at: int) -> str:
    return f"readings.{len(items)} (at byte {at})"
