"""Whatever the network does to readings: order, loss, repetition, late backfill, restarts of the server meanwhile."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ingest.room import NOW, Room, fields, meter, signed
from wattseal.core.emlog import Record
from wattseal.core.reading import Reading, parse_envelope
from wattseal.ingest.settings import Settings
from wattseal.log.amendments import SUPERSESSION, fault_of, parse_supersession
from wattseal.log.port import BOUNDARY, DETAIL
from wattseal.log.salts import SaltSource
from wattseal.simulate.fleet import SimulatedMeter


@contextmanager
def a_room(*meters: SimulatedMeter) -> Iterator[Room]:
    with tempfile.TemporaryDirectory() as folder:
        room = Room(Path(folder))
        try:
            room.enrol(*meters)
            yield room
            room.check()
        finally:
            room.close()


def readings_of(source: SimulatedMeter, count: int, data: st.DataObject) -> list[bytes]:
    items = []
    for place in range(count):
        if place and data.draw(st.integers(0, 3)) == 0:
            source.reboot()
        items.append(source.read(NOW + 60 * place))
    return items


def send(room: Room, items: Sequence[bytes], data: st.DataObject) -> dict[bytes, str]:
    """Send these in requests of any size, with restarts and jumps of the clock between; the first answers by item."""
    answered: dict[bytes, str] = {}
    at = 0
    while at < len(items):
        part = items[at : at + data.draw(st.integers(1, 6))]
        for item, receipt in zip(part, room.submit(*part), strict=True):
            answered.setdefault(item, receipt.outcome)
        at += len(part)
        match data.draw(st.integers(0, 5)):
            case 0:
                room.restart()
            case 1:
                # Also backwards: an operator's correction, or NTP.
                room.tick(data.draw(st.sampled_from([-30, 1, 500, 900])))
    return answered


@settings(max_examples=25)
@given(st.data())
def test_whatever_the_network_does_the_registers_bridge_it(data: st.DataObject) -> None:
    """Of several meters, with loss: what stands sums up to the registers, and each record begins where one ended."""
    interval_s = data.draw(st.sampled_from([60, 120, 300]))
    sources = [meter(name, interval_s) for name in ("one", "two")[: data.draw(st.integers(1, 2))]]
    sent = [readings_of(source, data.draw(st.integers(2, 12)), data) for source in sources]
    # The first reading comes first: what came before a chain's first reading is no part of it.
    later = [item for items in sent for item in items[1:]]
    arriving = [item for item in data.draw(st.permutations(later)) if data.draw(st.integers(0, 3))]
    arriving += data.draw(st.lists(st.sampled_from([item for items in sent for item in items]), max_size=4))
    with a_room(*sources) as room:
        room.clock.now_s = NOW + 1_000
        answered = send(room, [items[0] for items in sent] + arriving, data)
        room.tick(2_000)
        for number, items in enumerate(sent, 1):
            _check(room, number, [fields(item) for item in items if item in answered], interval_s)
        _check_supersessions(room)
        assert set(answered.values()) <= {"admitted", "held", "late", "duplicate"}


@settings(max_examples=25)
@given(st.data())
def test_what_comes_in_the_end_stands_as_if_it_had_come_in_order(data: st.DataObject) -> None:
    """A part arrives, its gaps are bridged, then all of it arrives: nothing of the disorder is left in what stands."""
    interval_s = data.draw(st.sampled_from([60, 120, 300]))
    source = meter(interval_s=interval_s)
    items = readings_of(source, data.draw(st.integers(3, 16)), data)
    with a_room(source) as room:
        room.clock.now_s = NOW + 1_000
        room.submit(*items)
        in_order = room.current()
    first = [item for item in data.draw(st.permutations(items[1:-1])) if data.draw(st.integers(0, 2)) == 0]
    rest = data.draw(st.permutations(items))
    with a_room(source) as room:
        room.clock.now_s = NOW + 1_000
        send(room, [items[0], *first, items[-1]], data)
        room.tick(2_000)
        bridged = room.current()
        assert all(outcome != "quarantined" for outcome in send(room, rest, data).values())
        room.tick(2_000)
        stands = room.current()
        assert {record.status for record in stands} <= {"ok"}
        assert _slots(stands, interval_s) == _slots(in_order, interval_s)
        if interval_s == 60:
            assert stands == in_order
        # A boundary stays one: what stood keeps its edges, whatever came between them later.
        assert {record.start_s for record in bridged} <= {record.start_s for record in stands}
        assert _total(stands) - _total(in_order) == _edge(items, stands) - _edge(items, in_order)
        _check(room, 1, [fields(item) for item in items], interval_s)
        _check_supersessions(room)


def _slots(records: Sequence[Record], interval_s: int) -> list[tuple[int, int]]:
    return [(record.start_s // interval_s, record.end_s // interval_s) for record in records]


def _total(records: Sequence[Record]) -> int:
    return sum(record.energy_mwh for record in records)


def _edge(items: Sequence[bytes], records: Sequence[Record]) -> int:
    """The register at the end of the last record."""
    end_s = records[-1].end_s if records else NOW
    return next(reading.import_mwh for reading in map(fields, items) if reading.time_s == end_s)


def _check(room: Room, chain_no: int, sent: list[Reading], interval_s: int) -> None:
    """`sent`: what was acknowledged, in the order of the chain."""
    with room.store.read() as read:
        stored = read.readings_after(chain_no, -1, -1)
    # Nothing was acknowledged that is not stored, and nothing is left waiting.
    assert [(row.epoch, row.seq) for row in stored] == [(reading.epoch, reading.seq) for reading in sent]
    # Every gap had a record, or the open one, so that no late reading is left without a part in it.
    assert {row.state for row in stored} <= {BOUNDARY, DETAIL}
    boundaries = [row for row in stored if row.state == BOUNDARY]
    records = room.current(chain_no)
    assert [(record.start_s, record.end_s) for record in records] == [
        (start.time_s, end.time_s) for start, end in pairwise(boundaries)
    ]
    assert _total(records) == boundaries[-1].import_mwh - boundaries[0].import_mwh
    assert all(start < end for start, end in _slots(records, interval_s))
    # With the record that is still open, all that the meter counted between its first and last reading is covered.
    assert stored[0].import_mwh == sent[0].import_mwh
    assert stored[-1].import_mwh == sent[-1].import_mwh
    # `bridged` says exactly where one is missing.
    for before, after in pairwise(stored):
        follows = after.seq == before.seq + 1 if after.epoch == before.epoch else None
        assert follows is None or after.bridged != follows
    for record in records:
        held = [row for row in stored if record.start_s <= row.time_s <= record.end_s]
        is_whole = not any(row.bridged for row in held[1:])
        slots = record.end_s // interval_s - record.start_s // interval_s
        assert (record.status == "ok") == (is_whole and slots == 1)


def _check_supersessions(room: Room) -> None:
    """Each replaces a record by parts that have its time and energy, and no record is replaced twice."""
    with room.store.read() as read:
        said = {row.idx: parse_supersession(row.body) for row in read.entries_of_schema(SUPERSESSION)}
        salts = SaltSource(read.secrets())
        rows = {salts.entry(row): row for row in room.rows()}
        marked = read.superseded([row.idx for row in rows.values()])
    records = dict(zip(rows, room.records(), strict=True))
    for idx, supersession in said.items():
        assert fault_of(supersession, records) is None
        assert marked[rows[supersession.superseded].idx] == idx
        assert all(rows[part].idx < idx for part in supersession.by)
    assert len(marked) == len(said)
    # What stands is what was logged and not replaced; over the whole log, each mWh counts once.
    meters: dict[int | None, int] = defaultdict(int)
    for row in rows.values():
        if row.idx not in marked:
            meters[row.meter_no] += row.energy_mwh or 0
    for meter_no, total in meters.items():
        assert total == _total(room.current(meter_no or 0))


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    """A room that forgets all after each request logs the same bodies as one that remembers."""
    bodies = []
    for place, restarts in enumerate((False, True)):
        source = meter(interval_s=120)
        folder = tmp_path / str(place)
        folder.mkdir()
        room = Room(folder, Settings(gap_hold_s=300))
        room.enrol(source)
        items = [source.read(NOW + 60 * step) for step in range(20)]
        items[7] = signed(source, items[7], import_mwh=0)
        items[8] = signed(source, items[8], prev=parse_envelope(items[7]).digest)
        room.clock.now_s = NOW + 1_200
        for step in (0, 1, 2, 4, 5, 3, 6, 7, 8, 12, 13, 11, 14, 15, 9, 10, 19, 18):
            room.submit(items[step])
            room.tick(40)
            if restarts:
                room.restart()
        room.tick(400)
        bodies.append([row.body for row in room.rows()])
        room.close()
    assert bodies[0] == bodies[1]
    assert len(bodies[0]) > 5
