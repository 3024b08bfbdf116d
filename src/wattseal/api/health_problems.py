"""What is wrong with a site, in plain words: one sentence for each thing that somebody should look at."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from shutil import disk_usage
from typing import Final

from wattseal.api.services import Services
from wattseal.api.watch import MOST_WAITING
from wattseal.core.units import rfc3339
from wattseal.log.port import BatchRow, Read

_LOW_DISK_BYTES: Final = 500_000_000
_DAY_S: Final = 86_400
_NAMED: Final = 5


def problems(here: Services, read: Read, last: BatchRow | None, now: int) -> Iterator[str]:
    """The sentences, as of one committed state whose newest batch is `last`; nothing where all is well."""
    yield from _of_batches(here, read, last, now)
    yield from _of_anchors(here, read, last, now)
    if disk_usage(here.settings.folder).free < _LOW_DISK_BYTES:
        yield "Less than 500 MB are free on the data directory's disk."
    limits = here.connections
    if limits.open * 10 >= limits.most * 9:
        yield f"{limits.open} connections are open, and {limits.most} may be."
    waiting, oldest = here.watch.quarantine(read)
    if oldest is not None and now - oldest > _DAY_S:
        count = f"{waiting} or more" if waiting == MOST_WAITING else waiting
        yield f"{count} quarantined items wait for an operator's decision, the oldest since {rfc3339(oldest)}."
    yield from _of_meters(here, now)


def _of_batches(here: Services, read: Read, last: BatchRow | None, now: int) -> Iterator[str]:
    size = read.size()
    covered = 0 if last is None or last.checkpoint is None else last.last_idx + 1
    if here.sequencer.is_starved:
        yield "No file descriptor was left to sign a batch with: see docs/operate/recovery.md."
    if last is not None and size > covered and now - last.closed_s > 3 * here.settings.batch_max_s + 10:
        yield f"{size - covered} entries wait for a checkpoint, and the last one is of {rfc3339(last.closed_s)}."
    if here.sequencer.clock_behind_s > 300:
        yield "The last batch was closed at a time that this machine's clock has not reached: look at the clock."


def _of_anchors(here: Services, read: Read, last: BatchRow | None, now: int) -> Iterator[str]:
    if here.attestor is None:
        return
    rows = here.attestor.rows()
    stale = [row for row in rows if row.state == "planned" and now - row.created_s > 600]
    if stale:
        yield f"{len(stale)} anchors could not be given to the {stale[0].chain} chain for ten minutes or more."
    interval_s = here.settings.anchor_interval_s
    newest = max((row.batch for row in rows if row.state in {"in_block", "final"}), default=-1)
    waiting = read.batch(newest + 1)
    if interval_s and last is not None and waiting is not None and now - waiting.closed_s > 3 * interval_s + 3_600:
        yield f"No block holds a batch that was closed after {rfc3339(waiting.closed_s)}."


def _of_meters(here: Services, now: int) -> Iterator[str]:
    silent = here.watch.silent(here.ingest.registry, now)
    named = [meter.path for meter in islice(silent, _NAMED)]
    if named:
        more = sum(1 for _ in silent)
        others = f" and {more} more" if more else ""
        yield f"Nothing was heard for three record intervals and ten minutes of {', '.join(named)}{others}."
