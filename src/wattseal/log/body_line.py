"""One line of `bodies.jsonl`: an entry with all that goes into its hash (docs/spec/log.md §6)."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from wattseal.core import jcs
from wattseal.core.document import MAX_BODY_BYTES, Members
from wattseal.core.entry import Salts, Slots, entry_hash
from wattseal.core.refusal import Refusal

MAX_LINE_BYTES: Final = 8 * MAX_BODY_BYTES
"""A body of control characters, which JSON writes with six, and room for the rest."""

_MAX_INDEX: Final = 2**53 - 1


class BodyLine(NamedTuple):
    """An entry as it is disclosed. An erased one has no salts, slots and body."""

    idx: int
    entry_id: bytes
    salts: Salts | None
    slots: Slots | None
    body: bytes | None

    def entry(self) -> bytes | None:
        """The 32 bytes that the log commits to; None for an erased one."""
        if self.salts is None or self.slots is None or self.body is None:
            return None
        return entry_hash(self.salts, self.body, self.slots)

    def dump(self) -> bytes:
        """The line, with its end."""
        salts, slots, body = self.salts, self.slots, self.body
        members = {
            "index": self.idx,
            "id": self.entry_id.hex(),
            "salts": None if salts is None else [salts.entry.hex(), salts.body.hex(), salts.reading.hex()],
            "slots": None if slots is None else [slots.start.hex(), slots.end.hex()],
            "body": None if body is None else body.decode(),
        }
        return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def parse_line(data: bytes) -> BodyLine:
    """Read a line. Refuses all but the members of an entry, with hashes of 32 bytes."""
    members = Members(jcs.loads(data, MAX_LINE_BYTES), "line")
    index, entry_id = members.integer("index", 0, _MAX_INDEX), members.hex("id", 16)
    salts, slots = members.any("salts"), members.any("slots")
    body = members.optional_text("body", MAX_BODY_BYTES)
    members.done()
    if body is None and salts is None and slots is None:
        return BodyLine(index, entry_id, None, None, None)
    if body is None:
        raise Refusal("line.body", "is missing")
    return BodyLine(
        index, entry_id, Salts(*_hashes("line.salts", salts, 3)), Slots(*_hashes("line.slots", slots, 2)), body.encode()
    )


def _hashes(field: str, value: jcs.Json, count: int) -> list[bytes]:
    if not isinstance(value, list) or len(value) != count:
        raise Refusal(field, f"must be {count} hashes")
    members = Members({str(place): item for place, item in enumerate(value)}, field)
    return [members.hex(str(place), 32) for place in range(count)]
