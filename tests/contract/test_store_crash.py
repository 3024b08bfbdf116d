"""A process that is killed at any moment leaves whole blocks: promise 1 of wattseal.log.port, over every store.

The page cache outlives the process, so this says nothing of a loss of power.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.contract.stores import calls_stored, child, open_store

INSIDE = """
store = open_store(kind, folder)
with store.write() as tx:
    write_everywhere(tx, 0)
with store.write() as tx:
    write_everywhere(tx, 1)
    {inside}
{after}
"""


def test_nothing_is_there_of_a_block_in_which_the_process_was_killed(kind: str, folder: Path) -> None:
    with child(kind, folder, INSIDE.format(inside="say('inside'); wait()", after="")) as process:
        assert process.hears() == "inside"
        process.kill()
    assert calls_stored(kind, folder) == 1


def test_all_is_there_of_a_block_after_which_the_process_was_killed(kind: str, folder: Path) -> None:
    with child(kind, folder, INSIDE.format(inside="pass", after="say('after'); wait()")) as process:
        assert process.hears() == "after"
        process.kill()
    assert calls_stored(kind, folder) == 2
    open_store(kind, folder).close()


HAMMER = """
store = open_store(kind, folder)
with store.read() as read:
    number = len(read.batches(limit=10**9))
while True:
    with store.write() as tx:
        write_everywhere(tx, number)
    number += 1
    say(number)
"""


def test_a_process_killed_at_any_moment_leaves_whole_blocks(kind: str, folder: Path, long: bool) -> None:
    for _ in range(30 if long else 4):
        with child(kind, folder, HAMMER) as process:
            said = [process.hears()]
            time.sleep(random.uniform(0, 0.1))
            said += process.kill()
        # The commit that it was in may be there, but what it had told of must be.
        assert calls_stored(kind, folder) - int(said[-1]) in {0, 1}
