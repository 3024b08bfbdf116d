from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ingest.room import GATEWAY, NOW, SIGNERS, Room, meter, readings_job
from wattseal.core.refusal import Refusal
from wattseal.ingest.admission import Round
from wattseal.ingest.job import FlushJob, ReadingsJob
from wattseal.ingest.receipt import Receipt
from wattseal.ingest.settings import Settings
from wattseal.ingest.writer import Writer
from wattseal.log.port import InboxRow, Read, Store, Write
from wattseal.log.sequencer import Halted, Sequencer


class FailingStore:
    """A real store whose next commit can be made to fail, as a full disk does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.fails = False
        self.read = store.read
        self.close = store.close

    @contextmanager
    def write(self) -> Iterator[Write]:
        with self._store.write() as tx:
            yield tx
            if self.fails:
                raise OSError(28, "No space left on device")


class Poison(ReadingsJob):
    """A request over which the server's own code stumbles."""

    def work(self, work: Round) -> list[Receipt]:
        super().work(work)
        raise KeyError("poison")


def batches(room: Room) -> list[tuple[int, int]]:
    with room.store.read() as read:
        return [(row.first_idx, row.last_idx) for row in read.batches()]


def test_a_batch_closes_in_time(room: Room) -> None:
    room.tick()
    room.tick(59)
    assert batches(room) == []
    room.tick(1)
    assert batches(room) == [(0, SIGNERS)]
    room.tick(600)
    assert len(batches(room)) == 1  # nothing new
    source = meter()
    room.enrol(source)
    room.tick()
    room.tick(60)
    assert len(batches(room)) == 2
    assert room.sequencer.checkpoint() is not None


def test_a_batch_closes_when_it_is_full(tmp_path: Path) -> None:
    room = Room(tmp_path, Settings(batch_max_entries=10))
    source = meter()
    room.enrol(source)
    room.clock.now_s = NOW + 600
    room.submit(*(source.read(NOW + 60 * place) for place in range(5)))
    assert batches(room) == []
    room.submit(source.read(NOW + 300))
    assert batches(room) == [(0, 10)]
    room.check()
    room.close()


def test_time_goes_on_over_a_restart(room: Room) -> None:
    room.tick(30)
    room.restart()
    room.tick()
    room.tick(60)
    assert batches(room) == [(0, SIGNERS)]


def test_a_flush_with_nothing_new_gives_the_last_batch(room: Room) -> None:
    assert room.flush() == room.flush()
    assert batches(room) == [(0, SIGNERS)]


def test_one_requests_trouble_is_not_anothers(room: Room) -> None:
    sources = [meter("a"), meter("b"), meter("c")]
    room.enrol(*sources)
    good = [readings_job(room.writer, [source.read(NOW)]) for source in sources]
    bad = Poison(good[1].items, good[1].examined)
    room.writer.run([good[0], bad, good[2]])
    assert [job.result[0].outcome for job in (good[0], good[2])] == ["admitted", "admitted"]
    assert isinstance(bad.error, KeyError)
    assert room.sequencer.halted is None
    # Nothing of the bad one stayed, neither in the store nor in memory.
    room.writer.run([good[1]])
    assert good[1].result[0].outcome == "admitted"


def test_groups_are_bounded(tmp_path: Path) -> None:
    room = Room(tmp_path, Settings(group=3))
    sources = [meter(f"m{place}") for place in range(5)]
    room.enrol(*sources)
    jobs = [readings_job(room.writer, [source.read(NOW), source.read(NOW + 60)]) for source in sources]
    flush = FlushJob()
    room.clock.now_s = NOW + 60
    room.writer.run([*jobs[:3], flush, *jobs[3:]])
    assert [receipt.outcome for job in jobs for receipt in job.result] == ["admitted"] * 10
    assert [
        receipt.index is not None and receipt.index < flush.result.last_idx
        for job in jobs
        for receipt in job.result[1:]
    ] == [
        True,
        True,
        True,
        False,
        False,
    ]
    room.check()
    room.close()


def failing(room: Room) -> tuple[FailingStore, Sequencer, Writer]:
    """Another writer on the room's store, whose commits can fail."""
    store = FailingStore(room.store)
    sequencer = Sequencer.open(store, origin=room.sequencer.origin, signer=room.signer, guard=room.guard, now=NOW)
    return store, sequencer, Writer(store, sequencer, GATEWAY, room.settings, room.clock.ns)


def test_an_error_of_the_disk_halts_and_nothing_was_acknowledged(room: Room) -> None:
    source = meter()
    room.enrol(source)
    items = [source.read(NOW + 60 * place) for place in range(3)]
    room.clock.now_s = NOW + 120
    store, sequencer, writer = failing(room)
    first = readings_job(writer, items[:1])
    writer.run([first])
    assert first.result[0].outcome == "admitted"
    store.fails = True
    jobs = [readings_job(writer, items[1:2]), readings_job(writer, items[2:])]
    writer.run(jobs)
    assert all(isinstance(job.error, Halted) for job in jobs)
    assert sequencer.halted is not None
    store.fails = False
    later = readings_job(writer, items[1:2])
    flush = FlushJob()
    writer.run([later, flush])
    assert isinstance(later.error, Halted)
    assert isinstance(flush.error, Halted)
    writer.tick()
    room.restart()
    receipts = room.submit(*items)
    assert [receipt.outcome for receipt in receipts] == ["duplicate", "admitted", "admitted"]


def test_an_empty_log_has_no_batch(tmp_path: Path) -> None:
    room = Room(tmp_path, signers=False)
    room.tick(1_000)
    with pytest.raises(Refusal):
        room.flush()
    assert room.sequencer.halted is None
    room.close()


def inbox(read: Read) -> list[bytes]:
    return [row.data for row in read.inbox(1_000)]


def test_the_inbox_is_written_with_the_next_transaction_and_bounded(tmp_path: Path) -> None:
    room = Room(tmp_path, Settings(inbox_keep=5))
    for number in range(3):
        room.writer.inbox.append(InboxRow(NOW, "bad-signature: signature", "someone", bytes([number])))
    with room.store.read() as read:
        assert inbox(read) == []
    room.tick()
    with room.store.read() as read:
        assert sorted(inbox(read)) == [bytes([number]) for number in range(3)]
    for number in range(3, 3_000):
        room.writer.inbox.append(InboxRow(NOW, "bad-signature: signature", "someone", number.to_bytes(2, "big")))
    assert len(room.writer.inbox) == 256
    room.tick()
    with room.store.read() as read:
        assert sorted(inbox(read)) == [number.to_bytes(2, "big") for number in range(2_995, 3_000)]
    room.close()
