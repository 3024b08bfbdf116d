"""The registry as the log holds it: the latest entry for each name, and its sorted map (docs/spec/log.md §3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from wattseal.core.registry import map_key, parse_device_key, parse_meter, parse_signer, parse_tariff
from wattseal.core.sorted_map import SortedMap
from wattseal.log.port import EntryRow, Read
from wattseal.log.salts import SaltSource

_NAMES: Final[Mapping[str, Callable[[bytes], str]]] = {
    "signer-1": lambda body: parse_signer(body).registry_name,
    "key-1": lambda body: parse_device_key(body).registry_name,
    "meter-1": lambda body: parse_meter(body).registry_name,
    "tariff-1": lambda body: parse_tariff(body).registry_name,
}

REGISTRY_SCHEMAS: Final = tuple(_NAMES)


def registry_name(row: EntryRow) -> str:
    """The name under which the registry holds that entry; KeyError for an entry of another schema."""
    return _NAMES[row.schema](row.body)


def registrations(read: Read, last_idx: int) -> dict[str, EntryRow]:
    """The latest entry by name among the entries up to and with last_idx."""
    rows = [row for schema in REGISTRY_SCHEMAS for row in read.entries_of_schema(schema) if row.idx <= last_idx]
    return {registry_name(row): row for row in sorted(rows)}


class RegistryMap:
    """The sorted map over registrations, with the place of each name in it."""

    def __init__(self, rows: Mapping[str, EntryRow], salts: SaltSource) -> None:
        keyed = sorted((map_key(name), name) for name in rows)
        self._places = {name: place for place, (_, name) in enumerate(keyed)}
        self._map = SortedMap((key, salts.entry(rows[name])) for key, name in keyed)
        self.commitment = self._map.commitment

    def place(self, name: str) -> tuple[int, tuple[bytes, ...]]:
        """Index and path of a name; KeyError where the map does not hold it."""
        return self._places[name], self._map.prove_member(map_key(name)).path
