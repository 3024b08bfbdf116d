"""The demonstration's meters go on while the server runs: a reading of each every few seconds, by the real clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import structlog

from wattseal.demo.meter import DemoMeter
from wattseal.ingest.receipt import Busy
from wattseal.log.port import SET_ASIDE, Read
from wattseal.log.sequencer import Halted
from wattseal.serve import Site

EVERY_S: Final = 5
_log = structlog.get_logger()


def resume(read: Read, site: Site, fleet: Sequence[DemoMeter]) -> None:
    """Let each meter go on after its last reading in the log."""
    registry = site.ingest.registry
    for meter in fleet:
        place = meter.place
        meter_no = registry.meter_nos[f"{place.site_id}/{place.iot_device_id}/{place.meter_id}"]
        rows = [
            row for row in read.chain_tail(registry.chain_nos[meter.element.kid, meter_no]) if row.state != SET_ASIDE
        ]
        if rows:
            last = max(rows, key=lambda row: (row.epoch, row.seq))
            meter.resume(last.epoch, last.digest)


async def run(site: Site, fleet: Sequence[DemoMeter]) -> None:
    """Read and submit until the task is cancelled or the log halts."""
    with site.store.read() as read:
        resume(read, site, fleet)
    readings: list[bytes] = []
    has_begun = False
    while True:
        now_s = int(time.time())
        readings += [meter.read(now_s) for meter in fleet]
        try:
            receipts = await site.ingest.submit_readings(readings, trusted=True)
        except Busy as error:
            # As a device does: what was not acknowledged is kept and sent again.
            await asyncio.sleep(error.retry_after_s)
            continue
        except Halted as error:
            _log.error("demonstration", error=str(error))
            return
        if not has_begun:
            # What was made before the start, and this: under a checkpoint now, not at the batch's end.
            has_begun = True
            await site.ingest.flush()
        readings.clear()
        for receipt in receipts:
            if receipt.outcome != "admitted":
                _log.warning("demonstration", outcome=receipt.outcome, reason=receipt.reason, detail=receipt.detail)
        await asyncio.sleep(EVERY_S - time.time() % EVERY_S)
