"""A server that is about to be killed: it prints the digest and index of each reading that it has acknowledged."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
from pathlib import Path

from tests.ingest.room import GATEWAY, NOW, Room, meter
from wattseal.ingest.ingest import Ingest
from wattseal.ingest.settings import Settings

METERS = 8


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def serve(folder: Path, workers: int) -> None:
    room = Room(folder)
    sources = [meter(f"m{place}") for place in range(METERS)]
    if not room.writer.enrolment.registry.keys:
        room.enrol(*sources)
    ingest = Ingest.start(
        room.store,
        room.sequencer,
        workers=workers,
        gateway=GATEWAY,
        clock_ns=lambda: (NOW + 1_000_000) * 1_000_000_000,
        settings=Settings(batch_max_entries=50),
    )

    async def client(place: int) -> None:
        source = sources[place]
        for step in range(100_000):
            receipts = await ingest.submit_readings([source.read(NOW + step)], trusted=True)
            for receipt in receipts:
                digest = (receipt.digest or b"").hex()
                say(receipt.outcome, digest, -1 if receipt.index is None else receipt.index)

    if workers:
        await ingest.submit_readings([sources[0].read(NOW - 1)], trusted=True)
        say("workers", *(child.pid for child in multiprocessing.active_children()))
    await asyncio.gather(*map(client, range(METERS)))


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
