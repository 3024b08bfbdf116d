"""Reading the members of a JSON document that must have exactly the members its schema names (docs/spec/log.md §2)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from wattseal.core import jcs
from wattseal.core.refusal import Refusal
from wattseal.core.units import identifier, parse_rfc3339, quantity, rfc3339

MAX_BODY_BYTES = 65_536
_HEX = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)


class Members:
    """The members of one JSON object, each taken once by name and type; `done` refuses what nobody took."""

    def __init__(self, value: jcs.Json, where: str = "") -> None:
        if not isinstance(value, Mapping):
            raise Refusal(where or "document", "must be a JSON object")
        self._rest = dict(value)
        self._where = where

    def field(self, name: str) -> str:
        """The dotted name by which a refusal calls the member."""
        return f"{self._where}.{name}" if self._where else name

    def any(self, name: str) -> jcs.Json:
        """The member, whatever its type; Refusal when it is missing."""
        if name not in self._rest:
            raise Refusal(self.field(name), "is missing")
        return self._rest.pop(name)

    def text(self, name: str, longest: int = 256) -> str:
        """A text of at most `longest` characters."""
        value = self.any(name)
        if not isinstance(value, str) or len(value) > longest:
            raise Refusal(self.field(name), f"must be a text of at most {longest} characters")
        return value

    def optional_text(self, name: str, longest: int = 256) -> str | None:
        """A text, or null."""
        return self.any(name) if self._rest.get(name, "") is None else self.text(name, longest)  # type: ignore[return-value]  # null

    def one_of(self, name: str, words: tuple[str, ...]) -> str:
        """One of the given words."""
        value = self.any(name)
        if value not in words or not isinstance(value, str):
            raise Refusal(self.field(name), f"must be one of {', '.join(words)}")
        return value

    def identifier(self, name: str) -> str:
        """An identifier (docs/spec/reading.md §2.1)."""
        return identifier(self.any(name), self.field(name))

    def integer(self, name: str, low: int, high: int) -> int:
        """An integer from low to high."""
        value = self.any(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Refusal(self.field(name), f"must be an integer from {low} to {high}")
        return value

    def boolean(self, name: str) -> bool:
        """True or false."""
        value = self.any(name)
        if not isinstance(value, bool):
            raise Refusal(self.field(name), "must be true or false")
        return value

    def decimal(self, name: str, decimals: int) -> int:
        """A non-negative JSON number, as an integer of 10^-decimals units."""
        value = self.any(name)
        units = quantity(value, decimals, self.field(name))
        if units < 0:
            raise Refusal(self.field(name), "must not be negative")
        return units

    def optional_decimal(self, name: str, decimals: int) -> int | None:
        """A non-negative number, or null."""
        return self.any(name) if self._rest.get(name, "") is None else self.decimal(name, decimals)  # type: ignore[return-value]  # null

    def hex(self, name: str, length: int | None = None) -> bytes:
        """Lower-case hex of exactly `length` bytes, or of 1 to 64 where no length is given."""
        value = self.any(name)
        if isinstance(value, str) and len(value) <= 128 and _HEX.fullmatch(value):
            data = bytes.fromhex(value)
            if (length is None and data) or len(data) == length:
                return data
        raise Refusal(self.field(name), f"must be {length or '1 to 64'} bytes in lower-case hex")

    def optional_hex(self, name: str, length: int | None = None) -> bytes | None:
        """Lower-case hex, or null."""
        return self.any(name) if self._rest.get(name, "") is None else self.hex(name, length)  # type: ignore[return-value]  # null

    def time(self, name: str) -> int:
        """An RFC 3339 time, as Unix seconds."""
        return parse_rfc3339(self.any(name), self.field(name))

    def optional_time(self, name: str) -> int | None:
        """A time, or null."""
        return self.any(name) if self._rest.get(name, "") is None else self.time(name)  # type: ignore[return-value]  # null

    def list(self, name: str, longest: int) -> list[jcs.Json]:
        """An array of at most `longest` items."""
        value = self.any(name)
        if not isinstance(value, list) or len(value) > longest:
            raise Refusal(self.field(name), f"must be an array of at most {longest} items")
        return value

    def done(self) -> None:
        """Refuse members that the schema does not name."""
        if self._rest:
            raise Refusal(self.field(min(self._rest)[:64]), "is no member here")


class _Body(Members):
    """The members of a body of the log, where each value has one spelling."""

    def time(self, name: str) -> int:
        text = self._rest.get(name)
        time_s = super().time(name)
        if text != rfc3339(time_s):
            raise Refusal(self.field(name), f"must be written {rfc3339(time_s)}")
        return time_s


def parse_document(data: bytes, schema: str) -> Members:
    """The members of a body of that schema_version; Refusal unless data is byte-equal to its canonical form."""
    value = jcs.loads(data, MAX_BODY_BYTES)
    members = _Body(value)
    if members.any("schema_version") != schema:
        raise Refusal("schema_version", f"must be {schema}")
    if jcs.dumps(value) != data:
        raise Refusal("document", "is not in canonical form (RFC 8785)")
    return members


def schema_of(data: bytes) -> str:
    """The schema_version of a body; Refusal when it has none."""
    value = jcs.loads(data, MAX_BODY_BYTES)
    schema = value.get("schema_version") if isinstance(value, Mapping) else None
    if not isinstance(schema, str):
        raise Refusal("schema_version", "is missing")
    return schema
