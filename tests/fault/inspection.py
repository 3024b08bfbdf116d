"""What must be true of a site after any fault: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import httpx

from tests.fault.devices import EVERY_S, RECORD_S, Device
from tests.fault.watcher import Watcher
from wattseal.config import Settings
from wattseal.core.reading import Reading
from wattseal.log.fsck import check_store
from wattseal.log.guard import read_guard
from wattseal.log.key_file import read_key_file
from wattseal.log.port import Read, Store
from wattseal.serve import read_store

FOR_EVER = 2**40


def inspect(settings: Settings, client: httpx.Client, watcher: Watcher, devices: Sequence[Device]) -> None:
    """Check a site whose server runs and has nothing more to do; the devices have delivered all that they made."""
    client.post("/api/v1/batches/flush").raise_for_status()
    log = read_key_file(settings.log_key_path).verifier
    last = watcher.check(client, log)
    held = read_guard(settings.guard_path)
    assert held == watcher.notes[-1]
    with read_store(settings) as store:
        check_devices(store, devices)
        report = check_store(store, held, log)
        assert report.ok, report.findings
        assert report.checked["entries"] == last.size


def check_devices(store: Store, devices: Sequence[Device]) -> None:
    """Each acknowledged reading is stored once, each record is there once, and the energies add up."""
    with store.read() as read:
        for device in devices:
            _check_device(read, device, device.readings())


def _check_device(read: Read, device: Device, made: list[tuple[str, Reading]]) -> None:
    kid, place = device.meter.element.kid, device.meter.place
    chain = next((row for row in read.chains() if row.kid == kid), None)
    assert chain is not None, place
    stored = [row.digest.hex() for row in read.readings_after(chain.chain_no, -1, -1, FOR_EVER)]
    # What was stored and not acknowledged yet may be there as well: the device would be told `duplicate`.
    assert stored == [digest for digest, _ in made][: len(stored)], place
    assert len(stored) >= device.acknowledged, place
    edges = made[: len(stored)][:: RECORD_S // EVERY_S]
    records = read.records_of_meter(chain.meter_no, 0, FOR_EVER)
    assert [(row.start_slot.hex(), row.end_slot.hex()) for row in records] == [
        (start, end) for (start, _), (end, _) in pairwise(edges)
    ]
    assert {row.status for row in records} <= {"ok"}
    if records:
        first, last = edges[0][1], edges[-1][1]
        assert sum(row.energy_mwh or 0 for row in records) == last.import_mwh - first.import_mwh
        assert sum(row.export_mwh or 0 for row in records) == last.export_mwh - first.export_mwh
    by_index = {row.idx: row for row in records}
    for digest, receipt in device.receipts.items():
        if "index" in receipt:
            row = by_index[receipt["index"]]
            assert (row.end_slot.hex(), row.entry_id.hex()) == (digest, receipt["log_id"])
