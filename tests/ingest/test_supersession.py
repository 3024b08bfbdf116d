"""What becomes of a gap's record when its readings come after all (docs/spec/emlog.md §5.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from tests.ingest.room import NOW, Room, fields, meter, signed
from wattseal.core.batch import parse_batch
from wattseal.core.emlog import Record
from wattseal.core.reading import Sample, parse_envelope
from wattseal.ingest import supersession
from wattseal.ingest.receipt import Receipt
from wattseal.log.port import BOUNDARY, DETAIL, LATE
from wattseal.simulate.fleet import SimulatedMeter


def with_a_gap(
    room: Room, count: int, arrived: Sequence[int], interval_s: int = 60
) -> tuple[SimulatedMeter, list[bytes]]:
    """Readings each minute, of which only some arrived before the gaps between them were bridged."""
    source = meter(interval_s=interval_s)
    room.enrol(source)
    items = [source.read(NOW + 60 * place) for place in range(count)]
    room.clock.now_s = NOW + 60 * count
    room.submit(*(items[place] for place in arrived))
    room.tick(900)
    return source, items


def times(records: Sequence[Record]) -> list[tuple[int, int, str]]:
    return [((record.start_s - NOW) // 60, (record.end_s - NOW) // 60, record.status) for record in records]


def outcomes(receipts: Sequence[Receipt]) -> list[str]:
    return [receipt.reason or receipt.outcome for receipt in receipts]


def states(room: Room) -> list[tuple[str, bool]]:
    with room.store.read() as read:
        return [(row.state, row.bridged) for row in read.readings_after(1, -1, -1)]


def count_of(room: Room, schema: str) -> int:
    return room.schemas().count(schema)


@pytest.mark.parametrize("restarts", [False, True])
def test_the_parts_take_the_place_of_the_gap(room: Room, *, restarts: bool) -> None:
    _, items = with_a_gap(room, 6, [0, 5])
    assert times(room.current()) == [(0, 5, "gap")]
    if restarts:
        room.restart()
    assert outcomes(room.submit(items[2], items[3])) == ["late", "late"]
    assert times(room.current()) == [(0, 2, "gap"), (2, 3, "ok"), (3, 5, "gap")]
    assert count_of(room, "supersession-1") == 1
    assert states(room) == [(BOUNDARY, False), (BOUNDARY, True), (BOUNDARY, False), (BOUNDARY, True)]
    if restarts:
        room.restart()
    assert outcomes(room.submit(items[4])) == ["late"]
    assert outcomes(room.submit(items[1])) == ["late"]
    assert times(room.current()) == [(place, place + 1, "ok") for place in range(5)]
    assert count_of(room, "supersession-1") == 3
    energies = [fields(item).import_mwh for item in items]
    assert [record.energy_mwh for record in room.current()] == [after - before for before, after in pairwise(energies)]
    assert {record.evidence.kind for record in room.current()} == {"device"}
    # What was missing is there: whoever sends something else for it is behind the chain, and no longer late.
    other = signed(meter(), items[1], epoch=0, seq=9)
    assert outcomes(room.submit(items[1], other)) == ["duplicate", "held"]


def test_a_gap_within_one_slot_is_replaced_when_it_is_complete(room: Room) -> None:
    _, items = with_a_gap(room, 11, [0, 1, 4, 5, 10], interval_s=300)
    assert times(room.current()) == [(0, 5, "gap"), (5, 10, "gap")]
    assert outcomes(room.submit(items[2])) == ["late"]
    assert (times(room.current())[0], count_of(room, "supersession-1")) == ((0, 5, "gap"), 0)
    assert states(room)[2:4] == [(DETAIL, False), (DETAIL, True)]
    room.submit(items[3])
    assert (times(room.current())[0], count_of(room, "supersession-1")) == ((0, 5, "ok"), 1)
    assert states(room)[2:5] == [(DETAIL, False), (DETAIL, False), (DETAIL, False)]


def test_a_boundary_stays_one(room: Room) -> None:
    """The record after the gap begins with it, though an earlier reading of its slot has come."""
    _, items = with_a_gap(room, 16, [0, 7, 15], interval_s=300)
    assert times(room.current()) == [(0, 7, "gap"), (7, 15, "gap")]
    room.submit(*items[1:7])
    assert times(room.current()) == [(0, 7, "ok"), (7, 15, "gap")]
    assert states(room)[5:8] == [(DETAIL, False), (DETAIL, False), (BOUNDARY, False)]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_record_that_is_still_open_only_forgets_its_gap(room: Room, *, restarts: bool) -> None:
    source, items = with_a_gap(room, 5, [0, 1, 4], interval_s=300)
    assert room.records() == []
    for item, outcome in ((items[3], "late"), (items[2], "late")):
        assert outcomes(room.submit(item)) == [outcome]
        if restarts:
            room.restart()
    room.clock.now_s += 60
    room.submit(source.read(NOW + 300))
    assert times(room.records()) == [(0, 5, "ok")]
    assert count_of(room, "supersession-1") == 0


def test_an_open_record_keeps_the_gap_that_is_left(room: Room) -> None:
    source, items = with_a_gap(room, 5, [0, 1, 4], interval_s=300)
    room.submit(items[3])
    room.submit(source.read(NOW + 300))
    assert times(room.records()) == [(0, 5, "gap")]


Change = Callable[[SimulatedMeter, list[bytes]], bytes]
LIES: dict[str, tuple[Change, str]] = {
    "another reading before it": (lambda by, items: signed(by, items[1], prev=bytes(32)), "broken-chain"),
    "another reading after it": (
        lambda by, items: signed(by, items[4], prev=parse_envelope(items[3]).digest, power_mw=1),
        "broken-chain",
    ),
    "a time before its neighbours": (lambda by, items: signed(by, items[2], time_s=NOW), "clock-backwards"),
    "a time after them": (lambda by, items: signed(by, items[2], time_s=NOW + 300), "clock-backwards"),
    "a register below": (lambda by, items: signed(by, items[2], import_mwh=1), "register-fell"),
    "a register above": (
        lambda by, items: signed(by, items[2], import_mwh=fields(items[5]).import_mwh + 1),
        "register-fell",
    ),
    "all at once": (
        lambda by, items: signed(by, items[2], import_mwh=fields(items[5]).import_mwh, time_s=NOW + 1),
        "rate-impossible",
    ),
    "a profile that does not add up": (
        lambda by, items: signed(by, items[1], profile=(Sample(60, 1, 0, 0),)),
        "profile-mismatch",
    ),
    "another device": (lambda by, items: signed(by, items[2], serial=b"other"), "wrong-serial"),
}


@pytest.mark.parametrize("name", LIES)
def test_what_its_neighbours_deny_is_set_aside(room: Room, name: str) -> None:
    source = meter(rated_power_mw=6_000_000)
    room.enrol(source)
    items = [source.read(NOW + 60 * place) for place in range(6)]
    items[5] = signed(source, items[5], import_mwh=fields(items[0]).import_mwh + 400_000)
    room.clock.now_s = NOW + 360
    room.submit(items[0], items[5])
    room.tick(900)
    change, reason = LIES[name]
    before = room.current()
    assert outcomes(room.submit(change(source, items))) == [reason]
    assert room.current() == before
    assert count_of(room, "supersession-1") == 0


def test_nothing_is_missing_between_two_that_follow_each_other(room: Room) -> None:
    source = meter()
    room.enrol(source)
    first = source.read(NOW)
    source.reboot()
    second = source.read(NOW + 120)
    room.clock.now_s = NOW + 600
    room.submit(first, second)
    assert outcomes(room.submit(signed(source, first, seq=1, time_s=NOW + 60))) == ["replay"]


def test_many_parts_are_named_in_steps(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supersession, "MAX_PARTS", 3)
    _, items = with_a_gap(room, 9, [0, 8])
    room.submit(*items[1:8])
    assert times(room.current()) == [(place, place + 1, "ok") for place in range(8)]
    assert count_of(room, "supersession-1") == 4


def test_totals_count_each_milliwatt_hour_once(room: Room) -> None:
    _, items = with_a_gap(room, 6, [0, 5])
    room.flush()
    room.submit(items[2])
    room.flush()
    room.submit(items[3])
    room.submit(items[1], items[4])
    room.flush()
    with room.store.read() as read:
        rows = [read.entries(batch.last_idx, 1)[0] for batch in read.batches()]
    totals = [parse_batch(row.body).consumption_mwh for row in rows]
    assert totals == [fields(items[5]).import_mwh - fields(items[0]).import_mwh, 0, 0]


def test_a_transaction_that_fails_leaves_the_gap(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    _, items = with_a_gap(room, 6, [0, 5])
    with monkeypatch.context() as patch:
        patch.setattr(supersession, "divide", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            room.submit(items[2])
    assert times(room.current()) == [(0, 5, "gap")]
    assert outcomes(room.submit(items[2])) == ["late"]
    assert times(room.current()) == [(0, 2, "gap"), (2, 5, "gap")]


def test_a_late_reading_of_a_gap_without_a_record_stays_detail(room: Room) -> None:
    """After a release nothing spans the fall, so nothing is there to be replaced."""
    source = meter()
    room.enrol(source)
    items = [source.read(NOW + 60 * place) for place in range(4)]
    items[3] = signed(source, items[3], import_mwh=5, prev=bytes(32))
    room.clock.now_s = NOW + 600
    room.submit(items[0])
    subject = room.submit(items[3])[0]
    assert subject.outcome == "held"
    room.tick(900)
    with room.store.read() as read:
        quarantined = read.entries_of_schema("quarantine-1")[0]
    room.decide(quarantined.entry_id, "release")
    assert outcomes(room.submit(items[1])) == ["late"]
    assert room.current() == []
    assert states(room)[1] == (LATE, False)
