"""The subset of deterministic CBOR (RFC 8949 §4.2.1) that signed readings use.

It has integers, byte and text strings, arrays, and maps with integer keys; floats, tags, simple values and indefinite
lengths do not exist here (docs/spec/reading.md §2). Decoding is strict: an encoding that `encode` would not have
written is refused while it is read, so no second pass compares bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from wattseal.core.refusal import Refusal

Value: TypeAlias = "int | bytes | str | list[Value] | dict[int, Value]"
Encodable: TypeAlias = "int | bytes | str | Sequence[Encodable] | Mapping[int, Encodable]"

_MAX_DEPTH = 4
_UINT, _NINT, _BYTES, _TEXT, _ARRAY, _MAP = range(6)
_NAMES = (
    "an unsigned integer",
    "a negative integer",
    "a byte string",
    "a text string",
    "an array",
    "a map",
    "a tag",
    "a float or simple value",
)


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes((major << 5 | argument,))
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << (8 * size):
            return bytes((major << 5 | info,)) + argument.to_bytes(size, "big")
    raise Refusal("cbor", "an integer needs more than 64 bits")


def encode(value: Encodable) -> bytes:
    """Deterministic encoding of value; map keys are integers and are written in ascending order of their encoding."""
    if isinstance(value, bool):
        raise Refusal("cbor", "booleans are not part of this subset")
    if isinstance(value, int):
        return _head(_UINT, value) if value >= 0 else _head(_NINT, -1 - value)
    if isinstance(value, bytes):
        return _head(_BYTES, len(value)) + value
    if isinstance(value, str):
        text = _utf8(value)
        return _head(_TEXT, len(text)) + text
    if isinstance(value, Mapping):
        items = sorted((encode(key), encode(item)) for key, item in value.items())
        return _head(_MAP, len(items)) + b"".join(key + item for key, item in items)
    return _head(_ARRAY, len(value)) + b"".join(encode(item) for item in value)


def decode(data: bytes) -> Value:
    """The value that data encodes; Refusal("cbor", why) unless data is exactly one value in deterministic encoding."""
    try:
        value, end = _decode(data, 0, 0)
    except IndexError:
        raise Refusal("cbor", "is cut short") from None
    if end != len(data):
        raise Refusal("cbor", f"has {len(data) - end} bytes after its end")
    return value


def _decode(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    initial = data[at]
    at += 1
    major, argument = initial >> 5, initial & 31
    if major > _MAP:
        raise Refusal("cbor", f"{_NAMES[major]} is not part of this subset")
    if argument >= 24:
        if argument > 27:
            raise Refusal("cbor", f"{_NAMES[major]} of indefinite or reserved length is not deterministic")
        size = 1 << (argument - 24)
        smallest = 24 if size == 1 else 1 << (4 * size)
        argument = int.from_bytes(data[at : at + size], "big")
        at += size
        if at > len(data):
            raise Refusal("cbor", "is cut short")
        if argument < smallest:
            raise Refusal("cbor", f"{_NAMES[major]} is not in its shortest form")
    if major == _UINT:
        return argument, at
    if major == _NINT:
        return -1 - argument, at
    if major in (_BYTES, _TEXT):
        end = at + argument
        if end > len(data):
            raise Refusal("cbor", "is cut short")
        return (data[at:end] if major == _BYTES else _text(data[at:end])), end
    if depth == _MAX_DEPTH:
        raise Refusal("cbor", "is nested too deeply")
    # Every item takes at least one byte, so a count beyond the rest is refused before anything is allocated for it.
    if argument > len(data) - at:
        raise Refusal("cbor", "is cut short")
    if major == _ARRAY:
        array: list[Value] = []
        for _ in range(argument):
            item, at = _decode(data, at, depth + 1)
            array.append(item)
        return array, at
    return _map(data, at, argument, depth)


def _map(data: bytes, at: int, count: int, depth: int) -> tuple[Value, int]:
    result: dict[int, Value] = {}
    last = b""
    for _ in range(count):
        start = at
        key, at = _decode(data, at, depth + 1)
        if not isinstance(key, int):
            raise Refusal("cbor", "a map key is no integer")
        encoded = data[start:at]
        if encoded <= last:
            raise Refusal("cbor", f"map key {key} is repeated or out of order")
        last = encoded
        result[key], at = _decode(data, at, depth + 1)
    return result, at


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Refusal("cbor", "a text holds half of a surrogate pair") from None


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refusal("cbor", "a text string is not UTF-8") from None
