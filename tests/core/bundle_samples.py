"""The bundles and the trust files of vectors/bundle.json: honest ones, and those of lying operators."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Final

from tests.core.declared_world import AT, DeclaredWorld
from tests.core.forged_worlds import OpenWorld, OtherNames, imported, overpriced, rehearsed_log, resigned, without
from tests.core.vouched_world import PATH, ImportWorld, ReportedWorld, rewritten
from tests.core.world import DEVICE as GATEWAY
from tests.core.world import INTERVAL, METER, SITE, START, World, pruned
from wattseal.core.note_key import CosignatureV1Signer, Ed25519Signer
from wattseal.core.reading import FLAG_CLOCK_UNSYNCED, FLAG_TAMPER, encode_payload

RECORDS: Final = 3


def _unanchored(world: World) -> dict[str, Any]:
    return {**world.bundle(), "anchors": []}


def _overstated() -> World:
    """Log, registry and checkpoint are in order; only the meter never said so."""
    world = World(records=RECORDS)
    rewritten(world, 1, replace(world.record(1), energy_mwh=9_000_000))
    return world


def _twice() -> World:
    """One interval is logged in the place of the next one as well, to be billed twice."""
    world = World(records=RECORDS)
    world.record_indexes[2] = world.add(world.items[world.record_indexes[1]].body, world.slots(1), world.secret)
    return world


def _priced() -> World:
    world = World(records=RECORDS)
    rewritten(world, 1, replace(world.record(1), price_msat_per_kwh=200_000))
    return world


def _key_after_its_end() -> World:
    world = World(records=RECORDS)
    world.register(replace(world.key, valid_until_s=START + 2 * INTERVAL, reason="revoked"))
    return world


def _key_of_another_meter() -> World:
    world = World(records=RECORDS)
    world.register(replace(world.meter, kids=(bytes(16),)))
    return world


def _key_under_another_name() -> World:
    """The body of one key stands in the registry under the id of another."""
    world = World(records=RECORDS)
    stranger = replace(world.key, public_key=type(world.device)(99).public)
    world.names[world.key.registry_name] = world.add(stranger.body(), secret=world.registry_secret)
    return world


def _import_of_another_meter() -> World:
    world = ImportWorld(records=RECORDS)
    world.vouch(replace(world.statement(), meters=(PATH.replace(METER, "MTR-002"),)))
    for place in range(RECORDS):
        rewritten(world, place, world.record(place))
    return world


def _import_signed_by_a_stranger() -> World:
    world = ImportWorld(records=RECORDS)
    world.vouch(world.statement(), Ed25519Signer(world.operator.verifier.name, bytes([9]) * 32))
    for place in range(RECORDS):
        rewritten(world, place, world.record(place))
    return world


def _swap_that_says(**changes: Any) -> World:  # noqa: ANN401 - members of a Discontinuity
    world = DeclaredWorld(records=RECORDS)
    world.declare(replace(world.statement(), **changes))
    rewritten(world, AT, world.record(AT))
    return world


def _swap_signed_by_a_stranger() -> World:
    world = DeclaredWorld(records=RECORDS)
    world.declare(world.statement(), Ed25519Signer(world.operator.verifier.name, bytes([9]) * 32))
    rewritten(world, AT, world.record(AT))
    return world


def _swap_with_more_energy() -> World:
    world = DeclaredWorld(records=RECORDS)
    rewritten(world, AT, replace(world.record(AT), energy_mwh=world.record(AT).energy_mwh + 1))
    return world


def _reported_and_changed() -> World:
    world = ReportedWorld(records=RECORDS)
    rewritten(world, 1, replace(world.record(1), energy_mwh=12_350_000))
    return world


def _hidden() -> dict[str, Any]:
    """A record is in the log and not in the file."""
    bundle = _unanchored(World(records=RECORDS))
    del bundle["records"][1]
    return pruned(bundle)


def _tail() -> dict[str, Any]:
    """The file ends before its period does."""
    bundle = _unanchored(World(records=RECORDS))
    del bundle["records"][-1], bundle["readings"][-1]
    return pruned(bundle)


def _gap_called_ok() -> World:
    """A reading is left out: one record covers two slots, and does not say so."""
    world = World(records=RECORDS)
    del world.readings[1]
    world.records = 2
    for place in range(2):
        item = world.items[world.record_indexes[place]]
        item.slots = world.slots(place)
        rewritten(world, place, world.record(place))
    return world


def _gateway_called_device() -> World:
    """The readings name the source that a gateway read; the records say that the meter's own device signed."""
    world = World(records=RECORDS)
    prev = bytes([9]) * 32
    for place, (reading, _) in enumerate(world.readings):
        read = replace(reading, prev=prev, source_digest=bytes([place]) * 32)
        world.readings[place] = (read, world.device.sign(read))
        prev = hashlib.sha256(encode_payload(read)).digest()
    for place in range(RECORDS):
        world.items[world.record_indexes[place]].slots = world.slots(place)
    return world


def _reported_at_another_price() -> World:
    world = ReportedWorld(records=RECORDS)
    rewritten(world, 1, replace(world.record(1), price_msat_per_kwh=200_000, tariff_version=None))
    return world


def _wedged(energy_mwh: int | None, *, copies_slots: bool = False) -> World:
    """An import between two records of one device."""
    world = OpenWorld(records=RECORDS)
    imported(world, range(1, 2), energy_mwh, copies_slots=copies_slots)
    return world


def _import_after_readings() -> dict[str, Any]:
    world = OpenWorld(records=RECORDS)
    imported(world, range(2, 3))
    bundle = _unanchored(world)
    del bundle["readings"][-1]
    return bundle


def _one_import_after_another() -> World:
    world = ImportWorld(records=RECORDS)
    imported(world, range(2, 3), 1_000_000)
    return world


def _flagged() -> World:
    world = World(records=RECORDS)
    resigned(world, FLAG_TAMPER | FLAG_CLOCK_UNSYNCED)
    return world


DEVICE: Final = World(records=RECORDS)
IMPORTED: Final = ImportWorld(records=RECORDS)
REPORTED: Final = ReportedWorld(records=RECORDS)
REHEARSED: Final = World(records=RECORDS, simulated_key=True)
SEEN: Final = World(records=2)
SEEN_CHECKPOINT: Final = SEEN.close()
FORK: Final = World(records=2)
FORK.items[3].body = FORK.items[3].body.replace(b"consumption", b"production")
FORK_CHECKPOINT: Final = FORK.close()
GROWN: Final = World(records=2)
GROWN.close()

BUNDLES: Final[dict[str, dict[str, Any]]] = {
    "device": DEVICE.bundle(),
    "import": IMPORTED.bundle(),
    "reported": REPORTED.bundle(),
    "simulated key": _unanchored(REHEARSED),
    "grown": {**GROWN.bundle(since=len(SEEN.items)), "anchors": []},
    "overstated energy": _unanchored(_overstated()),
    "one interval twice": _unanchored(_twice()),
    "another price": _unanchored(_priced()),
    "key after its end": _unanchored(_key_after_its_end()),
    "key of another meter": _unanchored(_key_of_another_meter()),
    "key under another name": _unanchored(_key_under_another_name()),
    "import of another meter": _unanchored(_import_of_another_meter()),
    "import signed by a stranger": _unanchored(_import_signed_by_a_stranger()),
    "declared swap": _unanchored(DeclaredWorld(records=RECORDS)),
    "swap of another meter": _unanchored(_swap_that_says(meter_id="MTR-002")),
    "swap at another place": _unanchored(
        _swap_that_says(after=hashlib.sha256(encode_payload(DeclaredWorld(records=RECORDS).readings[0][0])).digest())
    ),
    "swap below the last reading": _unanchored(
        _swap_that_says(import_before_mwh=DeclaredWorld(records=RECORDS).readings[AT][0].import_mwh - 1)
    ),
    "swap above the next reading": _unanchored(_swap_that_says(import_after_mwh=520_000)),
    "swap with more energy": _unanchored(_swap_with_more_energy()),
    "swap signed by a stranger": _unanchored(_swap_signed_by_a_stranger()),
    "reported and changed": _unanchored(_reported_and_changed()),
    "reported at another price": _unanchored(_reported_at_another_price()),
    "hidden record": _hidden(),
    "missing tail": _tail(),
    "gap called ok": _unanchored(_gap_called_ok()),
    "gateway called device": _unanchored(_gateway_called_device()),
    "import with the slots of readings": _unanchored(_wedged(5_000_000_000, copies_slots=True)),
    "import above the registers": _unanchored(_wedged(5_000_000_000)),
    "import below the registers": _unanchored(_wedged(1)),
    "import as the registers say": _unanchored(_wedged(None)),
    "import after readings": _import_after_readings(),
    "one import after another": _unanchored(_one_import_after_another()),
    "tampering": _unanchored(_flagged()),
    "reported of another meter": _unanchored(OtherNames(records=RECORDS)),
    "another price for all": _unanchored(overpriced()),
    "tariff left out": without(_unanchored(overpriced()), "tariff/"),
    "rehearsal log": _unanchored(rehearsed_log()),
}
_VKEY: Final = DEVICE.log_signer.verifier.vkey
_STRANGER: Final = Ed25519Signer(DEVICE.log_signer.verifier.name, bytes([77]) * 32).verifier.vkey
_OTHER: Final = Ed25519Signer("op.example", bytes(32)).verifier.vkey
_WITNESS: Final = CosignatureV1Signer("witness.example/vectors", bytes([8]) * 32).verifier.vkey
_LOG: Final = DEVICE.trust_text()[: DEVICE.trust_text().index("[[chain]]")]
_BARE_KEY: Final = f'version = 1\n[[device_key]]\npublic_key = "{DEVICE.device.public.hex()}"\n'
_KEY: Final = f'{_BARE_KEY}site_id = "{SITE}"\niot_device_id = "{GATEWAY}"\n'


def _policy(rest: str) -> str:
    return f'{_LOG}[policy]\ntext = """\nlog {_VKEY}\n{rest}\n"""\n'


TRUST: Final = {
    "device": DEVICE.trust_text(),
    "import": IMPORTED.trust_text(),
    "reported": REPORTED.trust_text(),
    "log alone": _LOG,
    "nobody": "version = 1\n",
    "another key for the log": _LOG.replace(_VKEY, _STRANGER),
    "another log": f'version = 1\n[[log]]\norigin = "op.example"\nvkey = "{_OTHER}"\n',
    "device key alone": _KEY,
    "device key of no site": _BARE_KEY,
    "device key of another meter": f'{_KEY}meter_id = "MTR-002"\n',
    "device key that was not valid yet": f"{_KEY}valid_from = 2025-12-01T00:10:00Z\n",
    "device key, simulated": f"{_KEY}simulated = true\n",
    "simulated log": f"{_LOG}simulated = true\n",
    "policy without witnesses": _policy("quorum none"),
    "policy with a witness": _policy(f"witness w {_WITNESS}\nquorum w"),
    "saw less": SEEN.trust_text(last_seen=SEEN_CHECKPOINT),
    "saw a fork": FORK.trust_text(last_seen=FORK_CHECKPOINT),
}
