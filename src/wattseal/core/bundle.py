"""The proof bundle as a file: parsed once, strictly, into frozen values (docs/spec/proof.md §1).

What it is worth, `verify` says.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from wattseal.core import jcs
from wattseal.core.anchor_evidence import BitcoinEvidence
from wattseal.core.document import MAX_BODY_BYTES, Members
from wattseal.core.entry import Salts, Slots, entry_hash
from wattseal.core.merkle import leaf_hash
from wattseal.core.reading import MAX_READING_BYTES
from wattseal.core.refusal import Refusal
from wattseal.core.registry import meter_path
from wattseal.core.reported import MAX_REPORTED_BYTES

FORMAT = "wattseal-bundle-1"
MAX_BUNDLE_BYTES = 64 * 2**20
MAX_RECORDS = 100_000
_MAX_HASHES = 40 * MAX_RECORDS
_MAX_PATH = 63
_MAX_INDEX = 2**53 - 1
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Leaf:
    """An entry with all that its hash is made of, its place in the log, and its inclusion path."""

    index: int
    salts: Salts
    slots: Slots
    body: bytes
    path: tuple[bytes, ...]

    @property
    def entry(self) -> bytes:
        """The 32-byte entry, recomputed (docs/spec/log.md §1)."""
        return entry_hash(self.salts, self.body, self.slots)

    @property
    def leaf_hash(self) -> bytes:
        """The leaf, recomputed."""
        return leaf_hash(self.entry)


@dataclass(frozen=True, slots=True)
class Registration:
    """A registry entry with its place in the batch's sorted map."""

    name: str
    map_index: int
    map_path: tuple[bytes, ...]
    leaf: Leaf


@dataclass(frozen=True, slots=True)
class Statement:
    """An operator's statement and the note that signs it."""

    note: bytes
    leaf: Leaf


@dataclass(frozen=True, slots=True)
class Reported:
    """Bytes that were reported, and the gateway's note over them."""

    raw: bytes
    note: bytes


@dataclass(frozen=True, slots=True)
class Consistency:
    """A consistency proof between the checkpoint and another size of the log."""

    size: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A parsed bundle. Nothing in it has been checked but its form."""

    site_id: str
    iot_device_id: str
    meter_id: str
    from_s: int
    to_s: int
    checkpoint: bytes
    consistency: Consistency | None
    batch: Leaf
    registry: tuple[Registration, ...]
    statements: tuple[Statement, ...]
    records: tuple[Leaf, ...]
    readings: tuple[bytes, ...]
    reported: tuple[Reported, ...]
    anchors: tuple[BitcoinEvidence, ...]

    @property
    def path(self) -> str:
        """Which meter: site/device/meter."""
        return meter_path(self.site_id, self.iot_device_id, self.meter_id)


class _Hashes:
    """The bundle's table of hashes; remembers which were referred to."""

    def __init__(self, values: list[jcs.Json]) -> None:
        self._hashes = []
        for place, value in enumerate(values):
            if not isinstance(value, str) or not _HASH.fullmatch(value):
                raise Refusal(f"hashes.{place}", "must be 64 lower-case hex digits")
            self._hashes.append(bytes.fromhex(value))
        if len(set(self._hashes)) != len(self._hashes):
            raise Refusal("hashes", "holds a hash twice")
        self._used = bytearray(len(self._hashes))

    def path(self, members: Members, name: str) -> tuple[bytes, ...]:
        path = []
        for place in members.list(name, _MAX_PATH):
            if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(self._hashes):
                raise Refusal(members.field(name), "must hold places in the table of hashes")
            self._used[place] = 1
            path.append(self._hashes[place])
        return tuple(path)

    def done(self) -> None:
        if not all(self._used):
            raise Refusal(f"hashes.{self._used.index(0)}", "belongs to no path")


def parse_bundle(data: bytes) -> Bundle:
    """A bundle from its file; Refusal("<member>", why) names the first thing that §1 does not allow."""
    members = Members(jcs.loads(data, MAX_BUNDLE_BYTES))
    members.one_of("format", (FORMAT,))
    meter, period = Members(members.any("meter"), "meter"), Members(members.any("period"), "period")
    hashes = _Hashes(members.list("hashes", _MAX_HASHES))
    if members.any("bill") is not None:
        raise Refusal("bill", "must be null in this version")
    bundle = Bundle(
        meter.identifier("site_id"),
        meter.identifier("iot_device_id"),
        meter.identifier("meter_id"),
        period.time("from"),
        period.time("to"),
        members.text("checkpoint", 2**16).encode(),
        _consistency(members.any("consistency"), hashes),
        _leaf(members.any("batch"), "batch", hashes),
        tuple(_registration(item, place, hashes) for place, item in enumerate(members.list("registry", 10_000))),
        tuple(_statement(item, place, hashes) for place, item in enumerate(members.list("statements", 1_000))),
        tuple(
            _leaf(item, f"records.{place}", hashes) for place, item in enumerate(members.list("records", MAX_RECORDS))
        ),
        tuple(
            _base64(item, f"readings.{place}", MAX_READING_BYTES)
            for place, item in enumerate(members.list("readings", 2 * MAX_RECORDS))
        ),
        tuple(_reported(item, place) for place, item in enumerate(members.list("reported", MAX_RECORDS))),
        tuple(_anchor(item, place) for place, item in enumerate(members.list("anchors", 16))),
    )
    if not bundle.records:
        raise Refusal("records", "is empty: a bundle proves at least one record")
    for part in (meter, period, members, hashes):
        part.done()
    return bundle


def _leaf(value: jcs.Json, where: str, hashes: _Hashes) -> Leaf:
    members = Members(value, where)
    salts, slots = _three(members, "salts", 3), _three(members, "slots", 2)
    leaf = Leaf(
        members.integer("index", 0, _MAX_INDEX),
        Salts(salts[0], salts[1], salts[2]),
        Slots(slots[0], slots[1]),
        members.text("body", MAX_BODY_BYTES).encode(),
        hashes.path(members, "path"),
    )
    members.done()
    return leaf


def _three(members: Members, name: str, count: int) -> list[bytes]:
    values = members.list(name, count)
    found = [bytes.fromhex(value) for value in values if isinstance(value, str) and _HASH.fullmatch(value)]
    if len(found) != count or len(values) != count:
        raise Refusal(members.field(name), f"must be {count} times 64 lower-case hex digits")
    return found


def _consistency(value: jcs.Json, hashes: _Hashes) -> Consistency | None:
    if value is None:
        return None
    members = Members(value, "consistency")
    proof = Consistency(members.integer("size", 0, _MAX_INDEX), hashes.path(members, "path"))
    members.done()
    return proof


def _registration(value: jcs.Json, place: int, hashes: _Hashes) -> Registration:
    where = f"registry.{place}"
    members = Members(value, where)
    registration = Registration(
        members.text("name", 2_048),
        members.integer("map_index", 0, _MAX_INDEX),
        hashes.path(members, "map_path"),
        _leaf(members.any("entry"), f"{where}.entry", hashes),
    )
    members.done()
    return registration


def _statement(value: jcs.Json, place: int, hashes: _Hashes) -> Statement:
    where = f"statements.{place}"
    members = Members(value, where)
    statement = Statement(members.text("note", 2**16).encode(), _leaf(members.any("entry"), f"{where}.entry", hashes))
    members.done()
    return statement


def _reported(value: jcs.Json, place: int) -> Reported:
    where = f"reported.{place}"
    members = Members(value, where)
    reported = Reported(
        _base64(members.any("raw"), f"{where}.raw", MAX_REPORTED_BYTES), members.text("note", 2**16).encode()
    )
    members.done()
    return reported


def _anchor(value: jcs.Json, place: int) -> BitcoinEvidence:
    try:
        return BitcoinEvidence.from_json(value)
    except Refusal as refusal:
        raise Refusal(f"anchors.{place}.{refusal.field}", refusal.reason) from None


def _base64(value: jcs.Json, where: str, longest: int) -> bytes:
    if not isinstance(value, str) or len(value) > 4 * (longest // 3 + 1):
        raise Refusal(where, f"must be base64 of at most {longest} bytes")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(where, "must be base64") from None
    # Other pad bits would be a second spelling of the same bytes.
    if base64.b64encode(data).decode() != value:
        raise Refusal(where, "must be canonical base64")
    return data
