"""Bitcoin's wire format: little-endian integers and CompactSize, read with a bound before every step."""

from __future__ import annotations

from wattseal.core.refusal import Refusal

# Prefix byte, width of what follows, smallest value that needs this width.
_WIDE_SIZES = {0xFD: (2, 0xFD), 0xFE: (4, 0x1_0000), 0xFF: (8, 0x1_0000_0000)}


class Reader:
    """Reads `data` once from front to back.

    `field` names the data in refusals. No step reads past the end, and no count or length is believed that the bytes
    left over could not hold.
    """

    __slots__ = ("_at", "_data", "_field")

    def __init__(self, data: bytes, field: str) -> None:
        self._data = data
        self._field = field
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self._at + count
        if end > len(self._data):
            raise Refusal(self._field, f"ends too early: {count} bytes wanted at offset {self._at}")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def uint(self, width: int) -> int:
        """An unsigned little-endian integer of `width` bytes."""
        return int.from_bytes(self.take(width), "little")

    def compact_size(self) -> int:
        """A CompactSize in its shortest form; Bitcoin Core refuses the longer forms as well."""
        first = self.uint(1)
        if first not in _WIDE_SIZES:
            return first
        width, smallest = _WIDE_SIZES[first]
        value = self.uint(width)
        if value < smallest:
            raise Refusal(self._field, "has a length that is not written in its shortest form")
        return value

    def count(self, item_bytes: int) -> int:
        """How many items follow, where each takes at least `item_bytes`."""
        count = self.compact_size()
        if count * item_bytes > len(self._data) - self._at:
            raise Refusal(self._field, f"announces {count} items, more than the bytes left can hold")
        return count

    def byte_string(self) -> bytes:
        """A length and as many bytes."""
        return self.take(self.count(1))

    def peek(self) -> int | None:
        """The next byte without taking it, or None at the end."""
        return self._data[self._at] if self._at < len(self._data) else None

    def finish(self) -> None:
        """Refuse if anything is left over."""
        left = len(self._data) - self._at
        if left:
            raise Refusal(self._field, f"has {left} bytes too many at its end")


def compact_size(value: int) -> bytes:
    """`value` (0 to 2**64 - 1) in its shortest form."""
    for prefix, (width, smallest) in reversed(_WIDE_SIZES.items()):
        if value >= smallest:
            return bytes([prefix]) + value.to_bytes(width, "little")
    return bytes([value])


def byte_string(data: bytes) -> bytes:
    """`data` with its length in front."""
    return compact_size(len(data)) + data
