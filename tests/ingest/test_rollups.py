"""The writer keeps the rollups close behind the entries, in transactions of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ingest.room import NOW, Room, interval, meter
from wattseal.ingest import writer as writer_module
from wattseal.log.rollup import deltas_of, rolled_up
from wattseal.log.rollup_port import RollupRow
from wattseal.log.zones import Zones


def state(room: Room) -> tuple[int, int, list[RollupRow]]:
    """How many entries are in the rollups, how many there are, and the rollups with the others added."""
    with room.store.read() as read:
        done, size = rolled_up(read), read.size()
        return done, size, [*read.rollups(("", 0, 0, ""), 10_000), *deltas_of(read, Zones(), done, size)]


def energy(rows: list[RollupRow], level: str) -> int:
    return sum(row.energy_mwh for row in rows if row.level == level)


def test_each_second_and_before_a_batch_closes(tmp_path: Path) -> None:
    room = Room(tmp_path)
    one = meter()
    room.enrol(one)
    room.submit(*(one.read(NOW - 3_600 + 60 * step) for step in range(30)))
    done, size, before = state(room)
    assert done < size
    room.tick()
    assert state(room)[:2] == (size, size)
    assert (
        energy(state(room)[2], "hour") == energy(before, "day") == sum(row.energy_mwh or 0 for row in room.rows()) > 0
    )
    room.report(interval(NOW - 600, NOW - 300, site_id="a", iot_device_id="b", meter_id="c"))
    row = room.flush()
    assert state(room)[0] == row.last_idx  # all but the batch entry itself
    room.restart()
    room.tick(1)
    assert state(room)[0] == state(room)[1]
    assert energy(state(room)[2], "day") == sum(row.energy_mwh or 0 for row in room.rows())
    room.check()
    room.close()


def test_when_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "WAITING", 20)
    room = Room(tmp_path)
    one = meter()
    room.enrol(one)
    room.submit(*(one.read(NOW - 3_600 + 60 * step) for step in range(5)))
    assert state(room)[0] == 0
    room.submit(*(one.read(NOW - 3_300 + 60 * step) for step in range(20)))
    done, size, _ = state(room)
    assert done == size
    room.close()
