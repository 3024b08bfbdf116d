"""Readings through the gate, the grid and a real store: what is answered, what is stored, what the log says."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import pytest

from tests.ingest.room import NOW, SIGNERS, Room, fields, interval, meter, readings_job, signed
from wattseal.core.reading import assemble, parse_envelope
from wattseal.core.registry import Tariff
from wattseal.core.statement import Quarantine
from wattseal.ingest.receipt import Receipt
from wattseal.log.port import BOUNDARY, DETAIL, HELD, Write


def outcomes(receipts: list[Receipt]) -> list[str]:
    return [receipt.reason or receipt.outcome for receipt in receipts]


def states(room: Room, chain_no: int = 1) -> list[tuple[int, str, bool]]:
    with room.store.read() as read:
        return [(row.seq, row.state, row.bridged) for row in read.readings_after(chain_no, -1, -1)]


def test_readings_become_records_on_the_grid(room: Room) -> None:
    source = meter(interval_s=300)
    room.enrol(source)
    items = list(source.readings(NOW, NOW + 901, 60))
    room.clock.now_s = NOW + 901
    receipts = room.submit(*items)
    assert outcomes(receipts) == ["admitted"] * 16
    assert [place for place, receipt in enumerate(receipts) if receipt.index is not None] == [5, 10, 15]
    records = room.records()
    assert [(record.start_s, record.end_s, record.status) for record in records] == [
        (NOW, NOW + 300, "ok"),
        (NOW + 300, NOW + 600, "ok"),
        (NOW + 600, NOW + 900, "ok"),
    ]
    for record, row, receipt in zip(records, room.rows(), (receipts[5], receipts[10], receipts[15]), strict=True):
        assert (row.idx, row.entry_id) == (receipt.index, receipt.log_id)
        assert record.evidence.kind == "device"
        assert record.evidence.kid == source.element.kid.hex()
        assert (row.energy_mwh, row.start_s, row.status) == (record.energy_mwh, record.start_s, record.status)
    digests = [parse_envelope(item).digest for item in items]
    assert [(row.start_slot, row.end_slot) for row in room.rows()] == [
        (digests[0], digests[5]),
        (digests[5], digests[10]),
        (digests[10], digests[15]),
    ]
    assert sum(record.energy_mwh for record in records) == fields(items[15]).import_mwh - fields(items[0]).import_mwh
    assert [state for _, state, _ in states(room)] == ([BOUNDARY] + [DETAIL] * 4) * 3 + [BOUNDARY]
    with room.store.read() as read:
        assert [row.cose for row in read.readings_after(1, -1, -1)] == items


def test_a_boundary_is_the_first_reading_in_its_slot(room: Room) -> None:
    source = meter(interval_s=300)
    room.enrol(source)
    room.clock.now_s = NOW + 2_000
    room.submit(*(source.read(NOW + at) for at in (10, 299, 300, 450, 601, 1_500)))
    assert [(record.start_s - NOW, record.end_s - NOW, record.status) for record in room.records()] == [
        (10, 300, "ok"),
        (300, 601, "ok"),
        (601, 1_500, "gap"),  # slots 3 and 4 saw nothing
    ]


def test_a_repeated_reading_gets_the_first_answer(room: Room) -> None:
    source = meter()
    room.enrol(source)
    items = [source.read(NOW + at) for at in (0, 60, 120)]
    room.clock.now_s = NOW + 120
    first = room.submit(*items)
    size = len(room.schemas())
    again = room.submit(*items)
    assert [receipt.outcome for receipt in again] == ["duplicate"] * 3
    assert [receipt[1:4] for receipt in again] == [receipt[1:4] for receipt in first]
    within = room.submit(*(new := [source.read(NOW + 180)]), *new)
    assert outcomes(within) == ["admitted", "duplicate"]
    assert within[0].index == within[1].index == SIGNERS + size


def test_a_new_signature_under_the_same_payload_is_the_same_reading(room: Room) -> None:
    source = meter()
    room.enrol(source)
    item = source.read(NOW)
    room.submit(item)
    assert outcomes(room.submit(signed(source, item))) == ["duplicate"]


def test_an_unknown_meter_is_set_aside_once(room: Room) -> None:
    source = meter()
    room.enrol(source)
    item = signed(source, source.read(NOW), meter_id="other")
    receipt = room.submit(item)[0]
    assert (receipt.outcome, receipt.reason) == ("quarantined", "unknown-meter")
    assert outcomes(room.submit(item)) == ["duplicate"]
    assert room.schemas().count("quarantine-1") == 1


def test_quarantine_is_an_entry_with_the_bytes_kept(room: Room) -> None:
    source = meter()
    room.enrol(source)
    room.submit(source.read(NOW))
    room.clock.now_s = NOW + 60
    bad = signed(source, source.read(NOW + 60), import_mwh=0)
    receipt = room.submit(bad)[0]
    with room.store.read() as read:
        row = read.entry_by_id(receipt.log_id or b"")
        stored = read.set_aside_by_digest(receipt.digest or b"")
    assert row is not None
    assert stored is not None
    assert (row.idx, row.start_slot, row.end_slot) == (receipt.index, receipt.digest, bytes(32))
    expected = Quarantine(NOW + 60, "register-fell", receipt.detail or "", source.element.kid, "m1", 0, 1).body()
    assert row.body == expected
    assert stored.cose == bad
    assert outcomes(room.submit(bad)) == ["duplicate"]


def test_energy_stays_between_admitted_readings(room: Room) -> None:
    source = meter()
    room.enrol(source)
    items = [source.read(NOW + at) for at in (0, 60, 120, 180)]
    bad = signed(source, items[2], import_mwh=0)
    after = signed(source, items[3], prev=parse_envelope(bad).digest)
    room.clock.now_s = NOW + 180
    assert outcomes(room.submit(*items[:2], bad, after)) == ["admitted", "admitted", "register-fell", "admitted"]
    records = room.records()
    assert [record.status for record in records] == ["ok", "gap"]
    assert sum(record.energy_mwh for record in records) == fields(after).import_mwh - fields(items[0]).import_mwh


def test_an_equivocation_is_evidence(room: Room) -> None:
    source = meter()
    room.enrol(source)
    items = [source.read(NOW), source.read(NOW + 60)]
    room.clock.now_s = NOW + 60
    room.submit(*items)
    other = signed(source, items[1], power_mw=1)
    assert outcomes(room.submit(other)) == ["equivocation"]
    with room.store.read() as read:
        assert {row.cose for row in read.reading(1, 0, 1)} == {items[1], other}
    assert outcomes(room.submit(other, signed(source, items[1], power_mw=2))) == ["duplicate", "equivocation"]


def test_a_gap_is_bridged_in_time_and_filled_by_what_comes_later(room: Room) -> None:
    source = meter()
    room.enrol(source)
    items = [source.read(NOW + 60 * place) for place in range(6)]
    room.clock.now_s = NOW + 300
    assert outcomes(room.submit(items[0], items[3], items[5], items[4])) == ["admitted", "held", "held", "held"]
    assert states(room) == [(0, BOUNDARY, False), *((place, HELD, False) for place in (3, 4, 5))]
    assert outcomes(room.submit(items[3])) == ["duplicate"]
    room.tick(899)
    assert room.records() == []
    room.tick(1)
    assert states(room) == [(0, BOUNDARY, False), (3, BOUNDARY, True), (4, BOUNDARY, False), (5, BOUNDARY, False)]
    assert [(record.start_s - NOW, record.end_s - NOW, record.status) for record in room.records()] == [
        (0, 180, "gap"),
        (180, 240, "ok"),
        (240, 300, "ok"),
    ]
    late = room.submit(items[1], items[2])
    assert outcomes(late) == ["late", "late"]
    assert states(room) == [(place, BOUNDARY, False) for place in range(6)]
    assert [record.status for record in room.current()] == ["ok"] * 5
    assert outcomes(room.submit(items[1])) == ["duplicate"]
    assert len(room.records()) == 6


def test_the_missing_reading_lets_the_held_ones_go(room: Room) -> None:
    source = meter()
    room.enrol(source)
    items = [source.read(NOW + 60 * place) for place in range(4)]
    room.clock.now_s = NOW + 180
    room.submit(items[0], items[2], items[3])
    assert outcomes(room.submit(items[1])) == ["admitted"]
    assert [record.status for record in room.records()] == ["ok"] * 3


def test_held_readings_are_released_after_a_restart(room: Room) -> None:
    source, quiet = meter(), meter("quiet")
    room.enrol(source, quiet)
    items = [source.read(NOW + 60 * place) for place in range(3)]
    room.clock.now_s = NOW + 120
    room.submit(quiet.read(NOW), items[0], items[2])
    room.restart()
    room.tick(900)
    assert [(record.start_s, record.end_s) for record in room.records()] == [(NOW, NOW + 120)]


def test_readings_of_a_request_are_sorted(room: Room) -> None:
    one, two = meter("one"), meter("two")
    room.enrol(one, two)
    items = [source.read(NOW + 60 * place) for place in range(4) for source in (one, two)]
    room.clock.now_s = NOW + 180
    mixed = items[:]
    random.Random(7).shuffle(mixed)
    receipts = room.submit(*mixed)
    assert outcomes(receipts) == ["admitted"] * 8
    assert [receipt.digest for receipt in receipts] == [parse_envelope(item).digest for item in mixed]
    assert {(receipt.index is None) for item, receipt in zip(mixed, receipts, strict=True) if fields(item).seq} == {
        False
    }


def test_bad_bytes_stand_beside_good_ones(room: Room) -> None:
    source, stranger = meter(), meter("stranger")
    room.enrol(source)
    good = source.read(NOW)
    envelope = parse_envelope(good)
    forged = assemble(envelope.kid, envelope.payload, bytes(64))
    receipts = room.submit(b"", stranger.read(NOW), forged, good, good[:-1])
    assert outcomes(receipts) == ["malformed", "unknown-key", "bad-signature", "admitted", "malformed"]
    assert [receipt.field for receipt in receipts] == ["reading", "kid", "signature", None, "reading"]


def test_the_price_is_that_of_the_tariff_at_the_start(room: Room) -> None:
    source = meter()
    room.enrol(source)
    for version, from_s in ((1, NOW), (2, NOW + 120)):
        tariff = Tariff("flat", version, "site", 1_000_000 * version, from_s)
        room.call(partial(_add, room, tariff))
    room.clock.now_s = NOW + 240
    room.submit(*(source.read(NOW + at) for at in (-60, 0, 60, 120, 180)))
    assert [record.tariff_version for record in room.records()] == [None, "flat/1", "flat/1", "flat/2"]
    for record in room.records():
        assert (record.amount_msat is None) is (record.tariff_version is None)


def _add(room: Room, tariff: Tariff, tx: Write, now_s: int) -> None:
    room.writer.enrolment.add_tariff(tx, now_s, tariff)


def test_a_gateways_reading_says_so(room: Room) -> None:
    source = meter()
    room.enrol(source)
    first = signed(source, source.read(NOW), source_digest=bytes(32))
    room.clock.now_s = NOW + 120
    second = signed(source, source.read(NOW + 60), prev=parse_envelope(first).digest)
    third = signed(source, source.read(NOW + 120), prev=parse_envelope(second).digest)
    room.submit(first, second, third)
    assert [record.evidence.kind for record in room.records()] == ["gateway", "device"]


def test_impossible_energy_never_stops_the_log(room: Room) -> None:
    source = meter(rated_power_mw=None)
    room.enrol(source)
    items = [source.read(NOW + 60 * place) for place in range(3)]
    huge = signed(source, items[1], import_mwh=10**14)  # within the limit of a register's step, not of a minute's power
    after = signed(source, items[2], prev=parse_envelope(huge).digest)
    room.clock.now_s = NOW + 120
    assert outcomes(room.submit(items[0], huge, after)) == ["admitted", "rate-impossible", "admitted"]


def report(room: Room, start_s: int, end_s: int) -> Receipt:
    return room.report(interval(start_s, end_s), site_id="site", iot_device_id="device-m1", meter_id="m1")[0]


def test_no_time_is_covered_twice(room: Room) -> None:
    """What was reported before a meter had a key stands; what its device signs for the same time is set aside."""
    source = meter()
    room.clock.now_s = NOW + 3_600
    assert report(room, NOW - 300, NOW + 30).outcome == "admitted"
    assert report(room, NOW + 120, NOW + 180).outcome == "admitted"
    room.enrol(source)
    receipts = room.submit(*(source.read(NOW + at) for at in (0, 60, 120, 180, 240)))
    assert outcomes(receipts) == ["admitted", "overlap", "admitted", "overlap", "admitted"]
    assert receipts[1].outcome == "quarantined"
    assert report(room, NOW + 230, NOW + 260).reason == "signed-meter"
    room.restart()
    receipts = room.submit(*(source.read(NOW + at) for at in (305, 400)))
    assert outcomes(receipts) == ["admitted", "admitted"]
    assert [(record.start_s - NOW, record.end_s - NOW, record.evidence.kind) for record in room.records()] == [
        (-300, 30, "reported"),
        (120, 180, "reported"),
        (60, 120, "device"),
        (180, 240, "device"),
        (240, 305, "device"),
        (305, 400, "device"),
    ]


def test_two_keys_of_a_meter_do_not_count_twice(room: Room) -> None:
    one, two = meter(), meter("two")
    room.enrol(one)
    enrolment = room.writer.enrolment

    def share(tx: Write, now_s: int) -> None:
        enrolment.register_key(tx, now_s, two.element.device_key("site", "device-m1", NOW - 86_400))
        known = enrolment.staged.meters["site/device-m1/m1"]
        enrolment.register_meter(tx, now_s, replace(known, kids=(*known.kids, two.element.kid)))

    room.call(share)
    room.clock.now_s = NOW + 300
    room.submit(*(one.read(NOW + at) for at in (0, 60, 120)))
    others = [signed(two, two.read(NOW + at), meter_id="m1") for at in (30, 90)]
    others[1] = signed(two, others[1], prev=parse_envelope(others[0]).digest)
    assert outcomes(room.submit(*others)) == ["admitted", "overlap"]
    assert len(room.records()) == 2


@pytest.mark.parametrize("count", [1, 3])
def test_requests_share_a_transaction(room: Room, count: int) -> None:
    sources = [meter(f"m{place}") for place in range(count)]
    room.enrol(*sources)
    jobs = [readings_job(room.writer, [source.read(NOW)]) for source in sources]
    room.writer.run(jobs)
    assert [job.result[0].outcome for job in jobs] == ["admitted"] * count
