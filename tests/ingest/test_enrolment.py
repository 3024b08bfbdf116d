from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.ingest.room import NOW, SIGNERS, Room, meter
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.reading import parse_envelope
from wattseal.core.refusal import Refusal
from wattseal.core.registry import DeviceKey, Meter, Signer, Tariff, map_key
from wattseal.core.sorted_map import map_root
from wattseal.ingest.enrolment import Enrolment
from wattseal.ingest.registry import Registry
from wattseal.log.port import Write
from wattseal.log.registrations import registry_name
from wattseal.log.salts import SaltSource

SOURCE, OTHER = meter("m1"), meter("m2")
KEY, METER = SOURCE.device_key(NOW - 86_400), SOURCE.meter(NOW - 86_400)
WITNESS = Ed25519Signer("witness.example", bytes([9] * 32)).verifier
SIGNER = Signer(WITNESS.name, "witness", WITNESS.vkey, NOW)
TARIFF = Tariff("flat", 1, "site", 100_000, NOW)


def change(room: Room, work: Callable[[Enrolment, Write, int], object]) -> object:
    return room.call(lambda tx, now: work(room.writer.enrolment, tx, now))


def refuses(room: Room, field: str, work: Callable[[Enrolment, Write, int], object]) -> None:
    before = room.writer.enrolment.registry
    size = len(room.schemas())
    with pytest.raises(Refusal) as refused:
        change(room, work)
    assert refused.value.field == field
    assert room.writer.enrolment.registry is before
    assert len(room.schemas()) == size
    assert room.sequencer.halted is None


def test_everything_becomes_an_entry_and_survives(room: Room) -> None:
    def work(enrolment: Enrolment, tx: Write, now: int) -> None:
        enrolment.register_signer(tx, now, SIGNER)
        enrolment.register_key(tx, now, KEY)
        enrolment.register_meter(tx, now, METER)
        enrolment.add_tariff(tx, now, TARIFF)

    change(room, work)
    assert room.schemas() == ["signer-1", "key-1", "meter-1", "tariff-1"]
    before = room.writer.enrolment.registry
    room.restart()
    after = room.writer.enrolment.registry
    for name in ("signers", "keys", "meters", "tariffs", "entries", "meter_nos", "chain_nos", "secrets"):
        assert getattr(before, name) == getattr(after, name)
        assert getattr(after, name)
    assert before.commitment() == after.commitment()


def test_the_commitment_is_the_map_of_the_latest_entries(room: Room) -> None:
    room.enrol(SOURCE, OTHER)
    change(room, lambda enrolment, tx, now: enrolment.register_meter(tx, now, replace(METER, role="production")))
    with room.store.read() as read:
        salts = SaltSource(read.secrets())
        named: dict[str, bytes] = {}
        for row in read.entries(0, read.size()):
            named[registry_name(row)] = salts.entry(row)
    expected = map_root(sorted((map_key(name), entry) for name, entry in named.items()))
    commitment = room.writer.enrolment.registry.commitment()
    assert (commitment.size, commitment.root) == (expected.size, expected.root)
    assert commitment.disclosed == {1, 2}
    assert commitment.producers == {1}
    batch = room.flush()
    assert batch.last_idx == SIGNERS + 5


def test_a_registry_of_the_past(room: Room) -> None:
    room.enrol(SOURCE)
    size = room.sequencer.next_idx
    earlier = room.writer.enrolment.registry.commitment()
    room.enrol(OTHER)
    change(room, lambda enrolment, tx, now: enrolment.revoke_key(tx, now, KEY.kid, NOW + 5))
    with room.store.read() as read:
        past = Registry.load(read, size)
    assert past.commitment()[:2] == earlier[:2]
    assert set(past.meters) == {METER.path}
    assert past.keys[KEY.kid].valid_until_s is None


def test_a_committed_registry_does_not_change(room: Room) -> None:
    before = room.writer.enrolment.registry
    room.enrol(SOURCE)
    assert before.keys == {}
    assert KEY.kid in room.writer.enrolment.registry.keys


def test_a_failed_change_leaves_nothing(room: Room) -> None:
    def work(enrolment: Enrolment, tx: Write, now: int) -> None:
        enrolment.register_key(tx, now, KEY)
        enrolment.register_meter(tx, now, METER)
        enrolment.register_meter(tx, now, replace(METER, meter_id="x", kids=(bytes(16),)))

    refuses(room, "kid", work)
    room.enrol(SOURCE)
    assert room.submit(SOURCE.read(NOW))[0].outcome == "admitted"


@pytest.mark.parametrize(
    ("field", "signer"),
    [
        ("name", replace(SIGNER, name="another")),
        ("vkey", replace(SIGNER, vkey="nonsense")),
        ("role", replace(SIGNER, role="king")),
        ("valid_until", replace(SIGNER, valid_until_s=NOW)),
    ],
)
def test_signers_are_checked(room: Room, field: str, signer: Signer) -> None:
    refuses(room, field, lambda enrolment, tx, now: enrolment.register_signer(tx, now, signer))


def test_a_signer_may_end(room: Room) -> None:
    change(room, lambda enrolment, tx, now: enrolment.register_signer(tx, now, SIGNER))
    refuses(room, "vkey", lambda enrolment, tx, now: enrolment.register_signer(tx, now, SIGNER))
    change(room, lambda enrolment, tx, now: enrolment.register_signer(tx, now, replace(SIGNER, valid_until_s=NOW + 1)))
    assert len(room.writer.enrolment.registry.signers) == SIGNERS + 1


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("public_key", replace(KEY, public_key=bytes(64))),
        ("public_key", replace(KEY, public_key=KEY.public_key[:63])),
        ("serial", replace(KEY, serial=b"")),
        ("serial", replace(KEY, serial=bytes(33))),
        ("site_id", replace(KEY, site_id="a b")),
        ("iot_device_id", replace(KEY, iot_device_id="")),
        ("valid_until", replace(KEY, valid_until_s=NOW - 86_400)),
        ("provenance", replace(KEY, provenance="found")),
        ("reason", replace(KEY, reason="rotated")),
        ("reason", replace(KEY, previous_kid=bytes(16))),
    ],
)
def test_keys_are_checked(room: Room, field: str, key: DeviceKey) -> None:
    refuses(room, field, lambda enrolment, tx, now: enrolment.register_key(tx, now, key))


def test_a_key_is_registered_once(room: Room) -> None:
    room.enrol(SOURCE)
    refuses(room, "public_key", lambda enrolment, tx, now: enrolment.register_key(tx, now, KEY))


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("kid", replace(METER, kids=(bytes(16),))),
        ("kid", replace(METER, kids=(KEY.kid, KEY.kid))),
        ("kid", replace(METER, site_id="elsewhere")),
        ("kid", replace(METER, iot_device_id="another")),
        ("meter_id", replace(METER, meter_id="a/b")),
        ("meter_id", METER),
        ("role", replace(METER, role="oven")),
        ("zone", replace(METER, zone="Mars/Olympus")),
        ("zone", replace(METER, zone="../etc/passwd")),
        ("record_interval_s", replace(METER, record_interval_s=0)),
        ("record_interval_s", replace(METER, record_interval_s=86_401)),
        ("rated_power_kw", replace(METER, rated_power_mw=0)),
    ],
)
def test_meters_are_checked(room: Room, field: str, wrong: Meter) -> None:
    room.enrol(SOURCE)
    refuses(room, field, lambda enrolment, tx, now: enrolment.register_meter(tx, now, wrong))


def test_a_meters_new_values_hold_for_what_comes(room: Room) -> None:
    room.enrol(SOURCE)
    source = meter("m1")
    room.clock.now_s = NOW + 600
    room.submit(source.read(NOW), source.read(NOW + 60))
    change(room, lambda enrolment, tx, now: enrolment.register_meter(tx, now, replace(METER, record_interval_s=300)))
    room.submit(*(source.read(NOW + at) for at in (120, 180, 300)))
    assert [(record.start_s - NOW, record.end_s - NOW) for record in room.records()] == [(0, 60), (60, 300)]
    assert len(room.writer.enrolment.registry.meter_nos) == 1


@pytest.mark.parametrize(
    ("field", "tariff"),
    [
        ("version", TARIFF),
        ("version", replace(TARIFF, price_msat_per_kwh=5)),
        ("version", replace(TARIFF, version=0)),
        ("tariff_id", replace(TARIFF, tariff_id="a b")),
        ("meters", replace(TARIFF, version=2, meters=("device-m1/other",))),
        ("meters", replace(TARIFF, version=2, meters=("device-m1/m1", "device-m1/m1"))),
        ("meters", replace(TARIFF, version=2, meters=("m1",))),
        ("price_sats_per_kwh", replace(TARIFF, version=2, price_msat_per_kwh=10**12 + 1)),
    ],
)
def test_tariffs_are_checked(room: Room, field: str, tariff: Tariff) -> None:
    room.enrol(SOURCE)
    change(room, lambda enrolment, tx, now: enrolment.add_tariff(tx, now, TARIFF))
    refuses(room, field, lambda enrolment, tx, now: enrolment.add_tariff(tx, now, tariff))


def test_which_tariff_holds(room: Room) -> None:
    room.enrol(SOURCE, OTHER)
    tariffs = [
        Tariff("site", 1, "site", 1, 100),
        Tariff("site", 2, "site", 2, 300),
        Tariff("site", 3, "site", 3, 300),
        Tariff("own", 1, "site", 10, 400, ("device-m1/m1",)),
        Tariff("own", 2, "site", 11, 500, ("device-m1/m1",)),
        Tariff("else", 1, "elsewhere", 99, 0),
    ]
    for tariff in tariffs:
        change(room, lambda enrolment, tx, now, tariff=tariff: enrolment.add_tariff(tx, now, tariff))  # type: ignore[misc]
    registry = room.writer.enrolment.registry
    for time_s, own, other in (
        (0, None, None),
        (99, None, None),
        (100, 1, 1),
        (299, 1, 1),
        (300, 3, 3),
        (399, 3, 3),
        (400, 10, 3),
        (499, 10, 3),
        (500, 11, 3),
        (10**10, 11, 3),
    ):
        for path, price in (("site/device-m1/m1", own), ("site/device-m2/m2", other)):
            quote = registry.quote(registry.meters[path], time_s)
            assert quote.price_msat == price
            assert quote.from_s <= time_s < quote.to_s
            for edge in (quote.from_s, quote.to_s - 1):
                assert registry.quote(registry.meters[path], edge) == quote


def test_a_rotated_key_goes_on_where_the_old_one_ends(room: Room) -> None:
    room.enrol(SOURCE)
    source, after = meter("m1"), meter("after")
    items = [source.read(NOW), source.read(NOW + 60)]
    room.clock.now_s = NOW + 60
    room.submit(*items)
    new = after.element.device_key("site", "device-m1", NOW + 100)
    change(room, lambda enrolment, tx, now: enrolment.rotate_key(tx, now, KEY.kid, new))
    registry = room.writer.enrolment.registry
    assert registry.keys[new.kid].previous_kid == KEY.kid
    assert registry.keys[new.kid].previous_digest == parse_envelope(items[1]).digest
    assert registry.keys[new.kid].reason == registry.keys[KEY.kid].reason == "rotated"
    assert registry.keys[KEY.kid].valid_until_s == NOW + 100
    assert registry.meters[METER.path].kids == (KEY.kid, new.kid)
    assert room.schemas()[-3:] == ["key-1", "key-1", "meter-1"]
    room.clock.now_s = NOW + 200
    assert room.submit(source.read(NOW + 120))[0].reason == "key-not-valid-then"
    refuses(room, "previous_kid", lambda enrolment, tx, now: enrolment.rotate_key(tx, now, KEY.kid, _another()))
    refuses(room, "public_key", lambda enrolment, tx, now: enrolment.rotate_key(tx, now, new.kid, KEY))


def _another() -> DeviceKey:
    return meter("another").element.device_key("site", "device-m1", NOW + 1_000)


@pytest.mark.parametrize(
    ("field", "new"),
    [
        ("iot_device_id", replace(_another(), iot_device_id="x")),
        ("valid_from", replace(_another(), valid_from_s=NOW - 86_400)),
        ("valid_from", replace(_another(), valid_from_s=NOW)),
        ("valid_until", replace(_another(), valid_until_s=NOW)),
    ],
)
def test_rotations_are_checked(room: Room, field: str, new: DeviceKey) -> None:
    room.enrol(SOURCE)
    room.submit(meter("m1").read(NOW))
    refuses(room, field, lambda enrolment, tx, now: enrolment.rotate_key(tx, now, KEY.kid, new))


def test_a_revoked_key_signs_no_more(room: Room) -> None:
    room.enrol(SOURCE)
    source = meter("m1")
    refuses(room, "kid", lambda enrolment, tx, now: enrolment.revoke_key(tx, now, bytes(16), NOW))
    change(room, lambda enrolment, tx, now: enrolment.revoke_key(tx, now, KEY.kid, NOW + 60))
    refuses(room, "valid_until", lambda enrolment, tx, now: enrolment.revoke_key(tx, now, KEY.kid, NOW + 60))
    room.clock.now_s = NOW + 60
    outcomes = [receipt.reason or receipt.outcome for receipt in room.submit(source.read(NOW), source.read(NOW + 60))]
    assert outcomes == ["admitted", "key-not-valid-then"]
    change(room, lambda enrolment, tx, now: enrolment.revoke_key(tx, now, KEY.kid, NOW + 30))
    assert room.writer.enrolment.registry.keys[KEY.kid].valid_until_s == NOW + 30
