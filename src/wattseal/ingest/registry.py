"""The registry in memory: the keys, meters, tariff versions and signers in force, and what a batch commits to of them.

A Registry is a value: changes are made on a copy (`enrolment.py`) that takes its place when they are durable. So any
thread may read the one it holds, and it never shows what is not in the log.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Self, TypeAlias

from wattseal.core.registry import (
    DeviceKey,
    Meter,
    Signer,
    Tariff,
    map_key,
    meter_path,
    parse_device_key,
    parse_meter,
    parse_signer,
    parse_tariff,
)
from wattseal.core.sorted_map import Item, MapRoot, map_root
from wattseal.core.units import MAX_TIME_S
from wattseal.ingest.chain import Terms
from wattseal.log.port import EntryRow, Read, SecretRow
from wattseal.log.salts import SaltSource
from wattseal.log.sequencer import RegistryCommitment

Document: TypeAlias = Signer | DeviceKey | Meter | Tariff

PARSERS: Final[dict[str, Callable[[bytes], Document]]] = {
    "signer-1": parse_signer,
    "key-1": parse_device_key,
    "meter-1": parse_meter,
    "tariff-1": parse_tariff,
}
"""The schemas of registry entries (docs/spec/log.md §2)."""
SCHEMAS: Final[dict[type[Document], str]] = {
    Signer: "signer-1",
    DeviceKey: "key-1",
    Meter: "meter-1",
    Tariff: "tariff-1",
}
_PAGE: Final = 10_000


class Source(NamedTuple):
    """One (kid, meter) that readings may come from, with the numbers that the store gave it."""

    key: DeviceKey
    meter: Meter
    meter_no: int
    chain_no: int
    secret: SecretRow
    terms: Terms


class Quote(NamedTuple):
    """The tariff that holds at a time, and the half-open time over which that answer holds; price in msat per kWh."""

    price_msat: int | None
    label: str | None
    from_s: int
    to_s: int


@dataclass(slots=True)
class Registry:
    """What is in force. Read it; to change it, see `Enrolment`."""

    signers: dict[str, Signer] = field(default_factory=dict)
    keys: dict[bytes, DeviceKey] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)
    """By path, site/device/meter."""
    tariffs: dict[str, Tariff] = field(default_factory=dict)
    """By label, id/version, in the order of their entries."""
    entries: dict[str, bytes] = field(default_factory=dict)
    """By registry name: the latest entry (32 bytes) for it."""
    meter_nos: dict[str, int] = field(default_factory=dict)
    chain_nos: dict[tuple[bytes, int], int] = field(default_factory=dict)
    secrets: dict[int | None, SecretRow] = field(default_factory=dict)
    """By meter number: the running tenancy's secret; None: the log's own."""
    _paths: dict[tuple[bytes, str], str] = field(default_factory=dict)
    """Which meter a (kid, meter id) means."""
    _sources: dict[tuple[bytes, str], Source] = field(default_factory=dict)
    _schedules: dict[str, tuple[list[Tariff], list[Tariff]]] = field(default_factory=dict)
    _map: MapRoot | None = None

    @classmethod
    def load(cls, read: Read, size: int | None = None) -> Self:
        """The registry as the entries in the store give it; with `size`, as the first `size` entries do.

        Numbers and secrets are those of today. Raises SecretErased where an entry can no longer be computed.
        """
        self = cls()
        secrets = read.secrets()
        self.secrets = {row.meter_no: row for row in secrets if row.to_s is None}
        self.meter_nos = {
            meter_path(row.site_id, row.iot_device_id, row.meter_id): row.meter_no for row in read.meters()
        }
        self.chain_nos = {(row.kid, row.meter_no): row.chain_no for row in read.chains()}
        salts = SaltSource(secrets)
        rows = [row for schema in PARSERS for row in pages(read, schema) if size is None or row.idx < size]
        for row in sorted(rows, key=lambda row: row.idx):
            self.put(PARSERS[row.schema](row.body), salts.entry(row))
        return self

    def copy(self) -> Self:
        """Another registry with the same contents, without what was computed from them."""
        return replace(
            self,
            signers=dict(self.signers),
            keys=dict(self.keys),
            meters=dict(self.meters),
            tariffs=dict(self.tariffs),
            entries=dict(self.entries),
            meter_nos=dict(self.meter_nos),
            chain_nos=dict(self.chain_nos),
            secrets=dict(self.secrets),
            _paths=dict(self._paths),
            _sources={},
            _schedules={},
        )

    def put(self, document: Document, entry: bytes) -> None:
        """Take in a document whose entry is in the log. For `load`, and for a copy that nobody else has yet."""
        match document:
            case Signer():
                self.signers[document.registry_name] = document
            case DeviceKey():
                self.keys[document.kid] = document
            case Meter(path=path, meter_id=meter_id):
                before = self.meters.get(path)
                for kid in before.kids if before else ():
                    del self._paths[kid, meter_id]
                self._paths.update(((kid, meter_id), path) for kid in document.kids)
                self.meters[path] = document
            case Tariff():
                self.tariffs[document.label] = document
        self.entries[document.registry_name] = entry
        self._map, self._sources, self._schedules = None, {}, {}

    def public_key(self, kid: bytes) -> bytes | None:
        """The public key X ‖ Y with that id, whether or not it is still valid; None where it is not registered."""
        key = self.keys.get(kid)
        return None if key is None else key.public_key

    def meter_of(self, kid: bytes, meter_id: str) -> Meter | None:
        """The meter that a key means when it signs that meter id."""
        path = self._paths.get((kid, meter_id))
        return None if path is None else self.meters[path]

    def source(self, kid: bytes, meter_id: str) -> Source | None:
        """All that admission needs to know of a (kid, meter); None where it is not registered."""
        found = self._sources.get((kid, meter_id))
        if found is not None:
            return found
        meter, key = self.meter_of(kid, meter_id), self.keys.get(kid)
        if meter is None or key is None:
            return None
        meter_no = self.meter_nos[meter.path]
        terms = Terms(key.serial, key.valid_from_s, key.valid_until_s, meter.rated_power_mw)
        source = Source(key, meter, meter_no, self.chain_nos[kid, meter_no], self.secrets[meter_no], terms)
        self._sources[kid, meter_id] = source
        return source

    def quote(self, meter: Meter, time_s: int) -> Quote:
        """The flat tariff version for a meter at a time: of those valid by then the latest.

        One that names the meter goes before one for all of the site; of two with one valid_from the later entry counts.
        """
        own, site = self._schedule(meter)
        at_own, at_site = (bisect_right(tariffs, time_s, key=_valid_from) for tariffs in (own, site))
        next_own_s = own[at_own].valid_from_s if at_own < len(own) else MAX_TIME_S + 1
        next_site_s = site[at_site].valid_from_s if at_site < len(site) else MAX_TIME_S + 1
        if at_own:
            tariff = own[at_own - 1]
            return Quote(tariff.price_msat_per_kwh, tariff.label, tariff.valid_from_s, next_own_s)
        until_s = min(next_own_s, next_site_s)
        if at_site:
            tariff = site[at_site - 1]
            return Quote(tariff.price_msat_per_kwh, tariff.label, tariff.valid_from_s, until_s)
        return Quote(None, None, 0, until_s)

    def _schedule(self, meter: Meter) -> tuple[list[Tariff], list[Tariff]]:
        found = self._schedules.get(meter.path)
        if found is None:
            name = f"{meter.iot_device_id}/{meter.meter_id}"
            # Sorting is stable: of equal times the later entry stays behind.
            here = sorted(
                (tariff for tariff in self.tariffs.values() if tariff.site_id == meter.site_id), key=_valid_from
            )
            found = (
                [tariff for tariff in here if name in tariff.meters],
                [tariff for tariff in here if not tariff.meters],
            )
            self._schedules[meter.path] = found
        return found

    def items(self) -> list[Item]:
        """The registry map: (key, latest entry) in ascending order (docs/spec/log.md §3)."""
        return sorted((map_key(name), entry) for name, entry in self.entries.items())

    def commitment(self) -> RegistryCommitment:
        """What the next batch entry says of the registry; the root is kept until something changes."""
        if self._map is None:
            self._map = map_root(self.items())
        numbered = [(self.meter_nos[path], meter) for path, meter in self.meters.items()]
        return RegistryCommitment(
            self._map.size,
            self._map.root,
            frozenset(number for number, meter in numbered if meter.disclosed),
            frozenset(number for number, meter in numbered if meter.role == "production"),
        )


def _valid_from(tariff: Tariff) -> int:
    return tariff.valid_from_s


def pages(read: Read, schema: str) -> Iterable[EntryRow]:
    """All entries of a schema other than records, in index order."""
    after = -1
    while page := read.entries_of_schema(schema, after, _PAGE):
        yield from page
        after = page[-1].idx
