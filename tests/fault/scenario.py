"""What the crash tests do to a log, such that it can be taken up again wherever it was cut off.

As a program: `python -m tests.fault.scenario FOLDER STEP MODE` runs it and kills itself at that step.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.log.faulty import FaultyGuard, FaultyStore, Plan
from tests.log.sample import Desk, opened, records
from wattseal.log.port import Read

GROUPS = [records(0, 5), records(5, 80), records(85, 1), records(86, 2)]
"""What is appended before the batches 0, 1, 2, 3. The second crosses the end of the first tile."""


def resume(desk: Desk) -> None:
    """Do what is still to do: a client that got no answer sends again, and the log knows its entries by their ids."""
    desk.set_up()
    for number, drafts in enumerate(GROUPS):
        with desk.store.read() as read:
            is_there = read.entry_by_id(drafts[0].entry_id) is not None
        if not is_there:
            desk.append(*drafts)
        if _batches(desk) == number:
            desk.close_batch()


def _batches(desk: Desk) -> int:
    with desk.store.read() as read:
        return len(closed(read))


def closed(read: Read) -> list[int]:
    return [row.number for row in read.batches()]


def run(folder: Path, plan: Plan) -> None:
    """Open the log in a folder and do it all, with a disk and a guard that follow the plan."""
    guard = FaultyGuard(folder / "apart" / "guard", plan)
    with opened(folder, guard=guard, wrap=lambda store: FaultyStore(store, plan)) as desk:
        resume(desk)


def kill() -> None:
    """End this process as a loss of power would: no handler runs, no buffer is written."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Plan(int(sys.argv[2]), sys.argv[3], kill))
