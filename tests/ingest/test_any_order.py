"""Whatever the network does to a chain's readings: order, loss, repetition, and restarts of the server in between."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ingest.room import NOW, Room, fields, meter, signed
from wattseal.core.reading import Reading, parse_envelope
from wattseal.ingest.settings import Settings
from wattseal.log.port import BOUNDARY, DETAIL, LATE


@settings(max_examples=25)
@given(st.data())
def test_whatever_the_network_does_the_registers_bridge_it(data: st.DataObject) -> None:
    """The records sum up to the difference of the outermost admitted registers, and each begins where one ended."""
    source = meter(interval_s=data.draw(st.sampled_from([60, 120, 300])))
    count = data.draw(st.integers(2, 12))
    items = []
    for place in range(count):
        if place and data.draw(st.booleans()) and data.draw(st.booleans()):
            source.reboot()
        items.append(source.read(NOW + 60 * place))
    # The first reading comes first: what came before a chain's first reading is no part of it.
    arriving = [place for place in data.draw(st.permutations(range(1, count))) if data.draw(st.integers(0, 3))]
    arriving += data.draw(st.lists(st.sampled_from(range(count)), max_size=4))
    with tempfile.TemporaryDirectory() as folder:
        room = Room(Path(folder))
        try:
            room.enrol(source)
            room.clock.now_s = NOW + 60 * count
            answered = {0: room.submit(items[0])[0].outcome}
            at = 0
            while at < len(arriving):
                size = data.draw(st.integers(1, 4))
                part = arriving[at : at + size]
                for place, receipt in zip(part, room.submit(*(items[place] for place in part)), strict=True):
                    answered.setdefault(place, receipt.outcome)
                at += size
                match data.draw(st.integers(0, 5)):
                    case 0:
                        room.restart()
                    case 1:
                        room.tick(data.draw(st.sampled_from([1, 500, 900])))
            room.tick(2_000)
            _check(room, [fields(item) for item in items], answered)
            room.check()
        finally:
            room.close()


def _check(room: Room, sent: list[Reading], answered: dict[int, str]) -> None:
    assert set(answered.values()) <= {"admitted", "held", "late"}
    with room.store.read() as read:
        stored = read.readings_after(1, -1, -1)
    # Nothing was acknowledged that is not stored, and nothing is left waiting.
    assert {(row.epoch, row.seq) for row in stored} == {(sent[place].epoch, sent[place].seq) for place in answered}
    in_chain = [row for row in stored if row.state in (BOUNDARY, DETAIL)]
    assert {row.state for row in stored} <= {BOUNDARY, DETAIL, LATE}
    # A reading is late only where its gap was bridged before it came; the last of all is never late.
    assert in_chain[-1].seq == stored[-1].seq
    boundaries = [row for row in in_chain if row.state == BOUNDARY]
    records = room.records()
    assert [(record.start_s, record.end_s) for record in records] == [
        (start.time_s, end.time_s) for start, end in pairwise(boundaries)
    ]
    assert sum(record.energy_mwh for record in records) == boundaries[-1].import_mwh - boundaries[0].import_mwh
    # With the record that is still open, all that the meter counted between its first and last reading is covered.
    assert in_chain[0].import_mwh == sent[0].import_mwh
    assert in_chain[-1].import_mwh == max(sent[place].import_mwh for place in answered)
    if len(answered) == len(sent) and LATE not in {row.state for row in stored}:
        assert {record.status for record in records} <= {"ok"}


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
