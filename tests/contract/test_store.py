"""The promises of wattseal.log.port, over every store: all or nothing, one writer, one state for each reader.

That a killed process leaves all or nothing, too, is shown in test_store_crash.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.stores import (
    Child,
    batch,
    calls_stored,
    child,
    counts_after,
    digest,
    entry,
    open_store,
    reading,
    record,
    token,
    write_everywhere,
)
from wattseal.log.port import InboxRow, Read, Store, StoreBusy, StoreConflict, Write

# --- 1. All of it is durable, or none of it is there ------------------------------------------------------------------


def test_what_was_written_is_there_when_the_store_is_opened_again(kind: str, folder: Path) -> None:
    for number in range(3):
        store = open_store(kind, folder)
        with store.write() as tx:
            write_everywhere(tx, number)
        store.close()
    assert calls_stored(kind, folder) == 3


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
def test_nothing_is_there_of_a_block_that_ends_with_an_error(
    kind: str, folder: Path, store: Store, error: type[BaseException]
) -> None:
    with store.write() as tx:
        write_everywhere(tx, 0)
    with pytest.raises(error), store.write() as tx:
        _write_and_fail(tx, error)
    assert calls_stored(kind, folder) == 1
    with store.write() as tx:  # and the numbers go on where they were
        write_everywhere(tx, 1)
    assert calls_stored(kind, folder) == 2


def _write_and_fail(tx: Write, error: type[BaseException]) -> None:
    write_everywhere(tx, 1)
    raise error


CONFLICTS: dict[str, Callable[[Write], object]] = {
    "entry_id": lambda tx: tx.add_entries([entry(11), entry(12, entry_id=entry(0).entry_id)]),
    "raw": lambda tx: tx.add_raw([(5, b"", ""), (1, b"", "")]),
    "meter": lambda tx: tx.add_meter("PLANT-01", "gw-01", "MTR-0"),
    "chain": lambda tx: tx.add_chain(b"kid", 1),
    "chain of no meter": lambda tx: tx.add_chain(b"kid", 99),
    "secret of no meter": lambda tx: tx.add_secret(99, 0, None, bytes(32)),
    "batch": lambda tx: tx.add_batch(batch(0, 11, 20)),
    "batch that ends where another does": lambda tx: tx.add_batch(batch(1, 0, 10)),
    "token": lambda tx: tx.add_token(token("token 0")),
}


@pytest.mark.parametrize("conflict", CONFLICTS.values(), ids=CONFLICTS.keys())
@pytest.mark.parametrize("is_caught", [False, True])
def test_a_conflict_undoes_the_block_even_if_it_is_caught(
    kind: str, folder: Path, store: Store, conflict: Callable[[Write], object], is_caught: bool
) -> None:
    with store.write() as tx:
        write_everywhere(tx, 0)
    with pytest.raises(StoreConflict), store.write() as tx:
        _conflict(tx, conflict, is_caught)
    assert calls_stored(kind, folder) == 1
    with store.write() as tx:
        write_everywhere(tx, 1)


def _conflict(tx: Write, conflict: Callable[[Write], object], is_caught: bool) -> None:
    tx.put_meta("number", b"changed")
    if not is_caught:
        conflict(tx)
    with pytest.raises(StoreConflict):
        conflict(tx)


MISTAKES: dict[str, tuple[type[Exception], Callable[[Write], object]]] = {
    "a gap between entries": (ValueError, lambda tx: tx.add_entries([entry(12)])),
    "an index twice": (ValueError, lambda tx: tx.add_entries([entry(11), entry(11, entry_id=bytes(16))])),
    "an old index": (ValueError, lambda tx: tx.add_entries([entry(3)])),
    "a gap between blocks": (ValueError, lambda tx: tx.put_blocks(2, [b"block"])),
    "an old block": (ValueError, lambda tx: tx.put_blocks(0, [b"block"])),
    "no such batch": (LookupError, lambda tx: tx.set_checkpoint(9, "checkpoint")),
    "no such attestation": (
        LookupError,
        lambda tx: tx.set_attestation(tx.attestations()[0]._replace(attestation_no=9)),
    ),
    "another batch's": (LookupError, lambda tx: tx.set_attestation(tx.attestations()[0]._replace(batch=9))),
    "no such token": (LookupError, lambda tx: tx.revoke_token(bytes(32), 5)),
    "no such reading": (LookupError, lambda tx: tx.set_reading_state(digest("?"), 1, 1, 5, "held", bridged=False)),
}


@pytest.mark.parametrize(("error", "mistake"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_writes_nothing_and_the_block_may_go_on(
    kind: str, folder: Path, store: Store, error: type[Exception], mistake: Callable[[Write], object]
) -> None:
    with store.write() as tx:
        write_everywhere(tx, 0)
    with store.write() as tx:
        with pytest.raises(error):
            mistake(tx)
        write_everywhere(tx, 1)
    assert calls_stored(kind, folder) == 2


# --- 2. One writer ----------------------------------------------------------------------------------------------------


def test_a_second_thread_waits_with_its_write(store: Store) -> None:
    order: list[str] = []

    def second() -> None:
        with store.write() as tx:
            order.append(f"second sees {tx.meta('a')!r}")

    with store.write() as tx:
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.05)
        tx.put_meta("a", b"1")
        order.append("first")
    thread.join()
    assert order == ["first", "second sees b'1'"]


def test_writes_of_many_threads_are_all_there(kind: str, folder: Path, store: Store) -> None:
    def write() -> None:
        for _ in range(5):
            with store.write() as tx:
                write_everywhere(tx, len(tx.batches(limit=10**9)))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls_stored(kind, folder) == 20


OPEN = """
store = open_store(kind, folder)
for number in range(2):
    with store.write() as tx:
        write_everywhere(tx, number)
say('open')
wait()
"""


def test_another_process_cannot_write_until_the_first_has_ended(kind: str, folder: Path) -> None:
    with child(kind, folder, OPEN) as process:
        assert process.hears() == "open"
        assert calls_stored(kind, folder) == 2
        with pytest.raises(StoreBusy):
            _open_and_write(kind, folder)
        process.kill()
    _open_and_write(kind, folder)
    assert calls_stored(kind, folder) == 3


def _open_and_write(kind: str, folder: Path) -> None:
    """It may be refused at once or when it writes."""
    with closing(open_store(kind, folder)) as store, store.write() as tx:
        write_everywhere(tx, 2)


def test_a_write_within_a_write_is_refused(store: Store) -> None:
    with store.write() as tx:
        with pytest.raises(RuntimeError, match="already"), store.write():
            pytest.fail("a second transaction began")
        tx.put_meta("a", b"1")
    with store.read() as read:
        assert read.meta("a") == b"1"


# --- 3. One committed state for each reader ---------------------------------------------------------------------------


def test_a_reader_sees_what_was_committed_before_it_began(store: Store) -> None:
    with store.write() as tx:
        write_everywhere(tx, 0)
    with store.read() as before:
        with store.write() as tx:
            write_everywhere(tx, 1)
            assert tx.size() == 22
            assert tx.records_of_meter(2, 0, 2**40)
            with store.read() as during:
                assert during.counts() == before.counts() == counts_after(1)
        with store.read() as after:
            assert after.counts() == counts_after(2)
        assert before.counts() == counts_after(1)
        assert before.records_of_meter(2, 0, 2**40) == []


def test_a_read_does_not_wait_for_the_writer(store: Store) -> None:
    took: list[int] = []

    def read() -> None:
        for _ in range(20):
            begin = time.monotonic_ns()
            with store.read() as read:
                assert read.size() == 11
            took.append(time.monotonic_ns() - begin)

    with store.write() as tx:
        write_everywhere(tx, 0)
    with store.write() as tx:
        write_everywhere(tx, 1)
        thread = threading.Thread(target=read)
        thread.start()
        thread.join(10)
        assert len(took) == 20


def test_readers_in_threads_and_processes_see_whole_blocks(kind: str, folder: Path, store: Store) -> None:
    stop, seen, faults = threading.Event(), set[int](), list[BaseException]()

    def look() -> None:
        while not stop.is_set():
            try:
                with store.read() as read:
                    calls = len(read.batches(limit=10**9))
                    time.sleep(0.001)
                    assert read.counts() == counts_after(calls)
                seen.add(calls)
            except BaseException as fault:  # noqa: BLE001 - told by the thread that can
                faults.append(fault)
                return

    program = """
while True:
    store = open_store(kind, folder, read_only=True)
    with store.read() as read:
        calls = len(read.batches(limit=10**9))
        wait() if calls > 20 else None
        assert read.counts() == counts_after(calls)
    store.close()
    say(calls)
"""
    with child(kind, folder, program) as process:
        process.hears()
        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(20):
            with store.write() as tx:
                write_everywhere(tx, number)
        assert hear_until(process, "20")
        stop.set()
        for thread in threads:
            thread.join()
    assert not faults
    assert len(seen) > 1


def hear_until(process: Child, wanted: str) -> bool:
    return any(process.hears() == wanted for _ in range(100_000))


def test_a_block_that_has_ended_is_not_used_any_more(store: Store) -> None:
    with store.read() as read:
        read.size()
    ended: list[Read] = [read]
    with store.write() as tx:
        tx.put_meta("a", b"1")
    ended.append(tx)
    for block in ended:
        with pytest.raises(RuntimeError, match="ended"):
            block.size()
    with pytest.raises(RuntimeError, match="ended"):
        tx.put_meta("a", b"2")


def test_a_closed_store_is_not_used_any_more(kind: str, folder: Path) -> None:
    store = open_store(kind, folder)
    store.close()
    store.close()
    with pytest.raises(RuntimeError, match="closed"), store.read():
        pytest.fail("a closed store was read")
    with pytest.raises(RuntimeError, match="closed"), store.write():
        pytest.fail("a closed store was written")


def test_a_store_that_was_opened_to_read_does_not_write(kind: str, folder: Path) -> None:
    store = open_store(kind, folder, read_only=True)
    with pytest.raises(RuntimeError, match="only to be read"), store.write():
        pytest.fail("it was written")
    store.close()


# --- 4. Nothing is changed but what its method names ------------------------------------------------------------------


def test_what_may_change_changes_and_the_rest_stays(store: Store) -> None:
    with store.write() as tx:
        write_everywhere(tx, 0)
        write_everywhere(tx, 1)
    with store.write() as tx:
        entries, readings = tx.entries(0, 100), tx.readings_after(1, 0, 0)
        tx.put_meta("number", b"new")
        tx.put_tiles([(0, 0, b"longer than before" * 1000)])
        tx.set_reading_state(readings[3].digest, 1, 1, 3, "detail", bridged=True)
        tx.set_checkpoint(0, "cosigned")
        tx.revoke_token(token("token 0").token_hash, 7)
        tx.add_inbox(InboxRow(9, "bad-signature", "198.51.100.7", b"newest"), keep=2)
    with store.read() as read:
        assert read.meta("number") == b"new"
        assert read.tile(0, 0) == b"longer than before" * 1000
        assert read.tile(-1, 0) == b"entries" * 2
        assert read.entries(0, 100) == entries
        changed = readings[3]._replace(state="detail", bridged=True)
        assert read.readings_after(1, 0, 0) == [*readings[:3], changed, *readings[4:]]
        assert [row.checkpoint for row in read.batches()] == ["cosigned", "checkpoint 1"]
        assert [row.revoked_s for row in read.tokens() if row.label == "token 0"] == [7]
        assert [row.revoked_s for row in read.tokens() if row.label == "token 1"] == [None]
        assert [row.data for row in read.inbox()] == [b"newest", b"bytes"]


def test_many_rows_at_once(store: Store) -> None:
    """More than a database takes in one statement, with gaps between records, and what is not of any chain."""
    count = 2_345
    entries = [record(idx, idx % 7 + 1) if idx % 5 else entry(idx, "quarantine-1") for idx in range(count)]
    readings = [reading(number // 3, number % 3 or None) for number in range(count)]
    with store.write() as tx:
        tx.add_entries(entries)
        tx.add_readings(readings)
        tx.add_raw([(idx, b"raw %d" % idx, f"note {idx}") for idx in range(0, count, 2)])
        tx.add_entries([])
        tx.add_readings([])
        tx.put_blocks(0, [b"%d" % height for height in range(count)])
    with store.read() as read:
        assert read.entries(0, count + 5) == entries
        assert read.entries(1_000, 3) == entries[1_000:1_003]
        assert read.entries_of_schema("quarantine-1") == entries[::5]
        assert read.entries_of_schema("quarantine-1", 10, 2) == entries[15:25:5]
        assert [row for n in range(1, 8) for row in read.records_of_meter(n, 0, 2**40)] == sorted(
            (row for row in entries if row.meter_no), key=lambda row: (row.meter_no, row.idx)
        )
        assert read.readings_after(1, 0, 0) == [row for row in readings if row.chain_no == 1]
        assert read.raw(1_000) == (b"raw 1000", "note 1000")
        assert read.raw(1_001) is None
        assert len(read.blocks()) == count
        assert read.counts()["reading"] == count
