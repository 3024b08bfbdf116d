from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.ingest.room import GATEWAY, NOW, SIGNERS, Room, interval, meter
from wattseal.core.note import open_note
from wattseal.core.registry import Tariff
from wattseal.core.statement import reported_text
from wattseal.ingest.settings import Settings

NAMES = {"site_id": "s", "iot_device_id": "d", "meter_id": "m"}


def test_an_interval_becomes_a_record_with_the_gateways_word(room: Room) -> None:
    raw = interval(power_kw_avg=12.5, price_sats_per_kwh=3, status="estimated", tags=["a"])
    receipt = room.report(raw, **NAMES)[0]
    assert receipt.outcome == "admitted"
    assert receipt.digest == hashlib.sha256(raw).digest()
    record = room.records()[0]
    assert (record.site_id, record.iot_device_id, record.meter_id) == ("s", "d", "m")
    assert (record.energy_mwh, record.price_msat_per_kwh, record.tariff_version) == (10**6, 3_000, None)
    assert (record.status, record.tags, record.evidence.kind) == ("estimated", ("a",), "reported")
    assert record.evidence.claimed_power_mw == 12_500_000
    with room.store.read() as read:
        row = read.entries(receipt.index or 0, 1)[0]
        stored = read.raw(row.idx)
    assert stored is not None
    assert stored[0] == raw
    assert row.start_slot == receipt.digest
    assert row.end_slot == hashlib.sha256(stored[1].encode()).digest()
    opened = open_note(stored[1].encode(), (GATEWAY.verifier,))
    assert opened.text == reported_text(raw, "s/d/m", NOW).encode()


def test_a_meter_that_reports_is_registered(room: Room) -> None:
    room.report(interval(), **NAMES)
    assert room.schemas() == ["meter-1", "emlog-1.1"]
    registered = room.writer.enrolment.registry.meters["s/d/m"]
    assert (registered.kids, registered.valid_from_s, registered.disclosed) == ((), NOW, False)
    room.restart()
    room.clock.now_s = NOW + 600
    room.report(interval(NOW + 300, NOW + 600), **NAMES)
    assert room.schemas() == ["meter-1", "emlog-1.1", "emlog-1.1"]


def test_or_it_is_quarantined(tmp_path: Path) -> None:
    room = Room(tmp_path, Settings(register_reported=False))
    receipts = room.report(interval(), interval(), **NAMES)
    assert [receipt.reason for receipt in receipts] == ["unknown-meter", "unknown-meter"]
    assert [receipt.outcome for receipt in receipts] == ["quarantined", "duplicate"]
    assert room.schemas() == ["quarantine-1"]
    room.close()


def test_the_topic_beats_the_payload(room: Room) -> None:
    room.report(interval(site_id="x", iot_device_id="y", meter_id="z"), site_id="s", meter_id="m")
    record = room.records()[0]
    assert (record.site_id, record.iot_device_id, record.meter_id) == ("s", "y", "m")


def test_somebody_must_name_the_meter(room: Room) -> None:
    receipt = room.report(interval(), site_id="s", iot_device_id="d")[0]
    assert (receipt.outcome, receipt.reason, receipt.field) == ("refused", "malformed", "meter_id")
    receipt = room.report(interval(), site_id="s", iot_device_id="d", meter_id="no name")[0]
    assert (receipt.outcome, receipt.field) == ("refused", "meter_id")


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"", "json"),
        (b"[]", "interval"),
        (interval(interval_s=299), "interval_s"),
        (interval(energy_kwh=-1), "energy_kwh"),
        (interval(surprise=1), "surprise"),
    ],
)
def test_malformed_intervals_are_refused(room: Room, raw: bytes, field: str) -> None:
    receipts = room.report(raw, interval(), **NAMES)
    assert [receipt.outcome for receipt in receipts] == ["refused", "admitted"]
    assert receipts[0].field == field


def test_the_same_again_is_a_duplicate(room: Room) -> None:
    raw = interval()
    again = interval(tags=[])
    receipts = room.report(raw, raw, again, **NAMES)
    assert [receipt.outcome for receipt in receipts] == ["admitted", "duplicate", "duplicate"]
    room.restart()
    receipts += room.report(again, **NAMES)
    assert receipts[3].outcome == "duplicate"
    assert {receipt.index for receipt in receipts} == {SIGNERS + 1}
    assert len(room.records()) == 1


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (interval(energy_kwh=2), "equivocation"),
        (interval(export_kwh=2), "equivocation"),
        (interval(status="error"), "equivocation"),
        (interval(tags=["other"]), "equivocation"),
        (interval(NOW + 299, NOW + 600), "overlap"),
        (interval(NOW - 300, NOW + 1), "overlap"),
        (interval(NOW + 60, NOW + 120), "overlap"),
        (interval(NOW - 300, NOW + 600), "overlap"),
        (interval(NOW, NOW + 60), "overlap"),
    ],
)
def test_what_contradicts_is_quarantined(room: Room, second: bytes, reason: str) -> None:
    room.clock.now_s = NOW + 600
    first, other = room.report(interval(), second, **NAMES)
    assert first.outcome == "admitted"
    assert (other.outcome, other.reason) == ("quarantined", reason)
    again = room.report(second, **NAMES)[0]
    assert (again.outcome, again.index, again.log_id) == ("duplicate", other.index, other.log_id)
    assert len(room.records()) == 1
    with room.store.read() as read:
        row = read.entries(other.index or 0, 1)[0]
        stored = read.raw(row.idx)
    assert (row.schema, row.start_slot) == ("quarantine-1", hashlib.sha256(second).digest())
    assert stored == (second, "")


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(NOW, NOW + 301), (NOW + 300, NOW + 31_536_000), (1_577_836_799, NOW), (0, 60)]
)
def test_a_time_that_cannot_be_is_quarantined(room: Room, start_s: int, end_s: int) -> None:
    """A report about the future would take the place of what is measured there."""
    room.clock.now_s = NOW
    receipt = room.report(interval(start_s, end_s), **NAMES)[0]
    if end_s - start_s <= 366 * 86_400:
        assert (receipt.outcome, receipt.reason) == ("quarantined", "clock-impossible")
    else:
        assert (receipt.outcome, receipt.field) == ("refused", "ts_end")
    assert room.records() == []


def test_neighbours_do_not_overlap(room: Room) -> None:
    room.clock.now_s = NOW + 600
    receipts = room.report(
        interval(),
        interval(NOW + 300, NOW + 600),
        interval(NOW - 300, NOW),
        interval(meter_id="x"),
        **NAMES,
    )
    assert [receipt.outcome for receipt in receipts] == ["admitted", "admitted", "admitted", "duplicate"]


def test_a_tariff_beats_the_payloads_price(room: Room) -> None:
    tariff = Tariff("flat", 1, "s", 7_000, NOW)
    room.call(lambda tx, now: room.writer.enrolment.add_tariff(tx, now, tariff))
    room.report(interval(price_sats_per_kwh=3), interval(NOW - 300, NOW, price_sats_per_kwh=3), **NAMES)
    assert [(record.price_msat_per_kwh, record.tariff_version) for record in room.records()] == [
        (7_000, "flat/1"),
        (3_000, None),
    ]


@pytest.mark.parametrize(("start_s", "end_s"), [(NOW, NOW + 60), (NOW - 600, NOW - 300), (NOW + 60, NOW + 120)])
def test_it_never_takes_the_place_of_a_device(room: Room, start_s: int, end_s: int) -> None:
    source = meter()
    room.enrol(source)
    room.clock.now_s = NOW + 60
    room.submit(source.read(NOW))
    receipt = room.report(interval(start_s, end_s), site_id="site", iot_device_id="device-m1", meter_id="m1")[0]
    assert (receipt.outcome, receipt.reason) == ("quarantined", "signed-meter")
    room.submit(source.read(NOW + 60))
    assert [record.evidence.kind for record in room.records()] == ["device"]
