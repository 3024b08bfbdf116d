from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.log.damage import assert_halted
from tests.log.faulty import FaultyStore, Plan
from tests.log.sample import (
    FLAT,
    LOAD,
    ORIGIN,
    SIGNER,
    START,
    SUN,
    Desk,
    decision,
    draft_of,
    entry_of,
    fill,
    history,
    memory_folder,
    opened,
    quarantined,
    record,
    records,
    registry_drafts,
    reported,
)
from wattseal.core.batch import parse_batch
from wattseal.core.checkpoint import open_checkpoint
from wattseal.core.document import MAX_BODY_BYTES
from wattseal.core.merkle import leaf_hashes, tree_root
from wattseal.core.refusal import Refusal
from wattseal.core.tiles import HEIGHT, WIDTH
from wattseal.log.guard import Guard, read_guard
from wattseal.log.port import ENTRY_TILES, MOVED_TO, BatchRow, Store, StoreBusy, StoreConflict, Write
from wattseal.log.sequencer import Draft, Halted, Sequencer

# --- Entries ----------------------------------------------------------------------------------------------------------


def test_entries_get_the_next_indexes_and_stand_in_rows_and_tiles(desk: Desk) -> None:
    desk.set_up()
    drafts = registry_drafts()
    assert desk.append(*records(0, 100)) == len(drafts)
    drafts += records(0, 100)
    assert desk.sequencer.next_idx == len(drafts) == 308
    with desk.store.read() as read:
        rows = read.entries(0, 1_000)
        assert [row.idx for row in rows] == list(range(308))
        assert [(row.entry_id, row.body, row.start_slot, row.energy_mwh) for row in rows] == [
            (draft.entry_id, draft.body, draft.slots.start, draft.energy_mwh) for draft in drafts
        ]
        entries = [entry_of(draft) for draft in drafts]
        assert read.tile(ENTRY_TILES, 0) == b"".join(entries[:256])
        assert read.tile(ENTRY_TILES, 1) == b"".join(entries[256:])
        leaves = leaf_hashes(entries)
        assert read.tile(0, 1) == b"".join(leaves[256:])
        assert read.tile(1, 0) == tree_root(leaves[:256])
        assert read.tile(2, 0) is None


class TileStore:
    """A store that keeps tiles alone."""

    def __init__(self) -> None:
        self.tiles: dict[tuple[int, int], bytes] = {}

    @contextmanager
    def write(self) -> Iterator[TileStore]:
        yield self

    @contextmanager
    def read(self) -> Iterator[TileStore]:
        yield self

    def put_tiles(self, tiles: list[tuple[int, int, bytes]]) -> None:
        assert len({tile[:2] for tile in tiles}) == len(tiles)
        self.tiles.update({(level, n): data for level, n, data in tiles})

    def meta(self, key: str) -> bytes | None:
        return None

    def batches(self, **_: object) -> list[BatchRow]:
        return []

    def size(self) -> int:
        return 0

    def tile(self, level: int, n: int) -> bytes | None:
        return self.tiles.get((level, n))


class NoGuard:
    def read(self) -> None:
        return None


def tiles_of_all(entries: list[bytes]) -> dict[tuple[int, int], bytes]:
    """What tlog-tiles asks for, from the definition: level L holds the roots of 256**L leaves each."""
    tiles: dict[tuple[int, int], bytes] = {}
    hashes, level = leaf_hashes(entries), 0
    while hashes:
        for start in range(0, len(hashes), WIDTH):
            tiles[level, start // WIDTH] = b"".join(hashes[start : start + WIDTH])
        full = len(hashes) >> HEIGHT
        hashes, level = [tree_root(hashes[n * WIDTH : (n + 1) * WIDTH]) for n in range(full)], level + 1
    for start in range(0, len(entries), WIDTH):
        tiles[ENTRY_TILES, start // WIDTH] = b"".join(entries[start : start + WIDTH])
    return tiles


@given(st.lists(st.lists(st.integers(0, 600), max_size=3), max_size=6))
def test_tiles_are_the_same_however_entries_come(transactions: list[list[int]]) -> None:
    grows(transactions)


@pytest.mark.parametrize("sizes", [[65_536], [65_535, 1, 1], [66_000, 300, 70_000]])
def test_tiles_of_three_levels(sizes: list[int]) -> None:
    grows([[size] for size in sizes])


def grows(transactions: list[list[int]]) -> None:
    store = TileStore()
    sequencer = Sequencer.open(
        cast("Store", store), origin=ORIGIN, signer=SIGNER, guard=cast("Guard", NoGuard()), now=START
    )
    entries: list[bytes] = []
    for appends in transactions:
        with sequencer.write() as tx:
            for count in appends:
                new = [hashlib.sha256(b"%d" % number).digest() for number in range(len(entries), len(entries) + count)]
                assert sequencer.append_hashes(tx, new) == len(entries)
                entries += new
        assert sequencer.next_idx == len(entries)
        assert store.tiles == tiles_of_all(entries)


def write_and_fail(desk: Desk, drafts: list[Draft], error: Exception) -> None:
    """A job that fails after it appended."""
    first = desk.sequencer.next_idx
    with desk.sequencer.write() as tx:
        assert desk.sequencer.append(tx, drafts) == first
        assert desk.sequencer.next_idx == first + len(drafts)
        raise error


def test_what_fails_as_the_callers_mistake_is_undone_and_the_log_goes_on(desk: Desk) -> None:
    desk.set_up()
    desk.append(*records(0, 1))
    for error in (Refusal("x", "no"), KeyError("x"), TypeError("x")):
        with pytest.raises(type(error)):
            write_and_fail(desk, records(1, 100), error)
        assert desk.sequencer.next_idx == 11
    desk.append(*records(1, 3))
    assert desk.close_batch().last_idx == 20


@pytest.mark.parametrize("length", [0, MAX_BODY_BYTES + 1])
def test_a_body_of_a_wrong_length_is_refused_and_halts_nothing(desk: Desk, length: int) -> None:
    desk.set_up()
    with pytest.raises(Refusal, match="body"):
        desk.append(*records(0, 1), draft_of("long", "x-1", b"x" * length))
    assert desk.sequencer.next_idx == 8
    desk.append(draft_of("longest", "x-1", b"x" * MAX_BODY_BYTES))


def test_hashes_must_be_hashes(desk: Desk) -> None:
    with pytest.raises(Refusal, match="32 bytes"), desk.sequencer.write() as tx:
        desk.sequencer.append_hashes(tx, [bytes(32), bytes(31)])


def test_only_its_own_transaction_takes_entries(desk: Desk) -> None:
    with desk.store.write() as tx, pytest.raises(RuntimeError, match=r"sequencer\.write"):
        desk.sequencer.append(tx, records(0, 1))
    with desk.sequencer.write() as tx:
        pass
    with pytest.raises(RuntimeError, match=r"sequencer\.write"):
        desk.sequencer.append(tx, records(0, 1))


def test_write_is_not_nested(desk: Desk) -> None:
    with pytest.raises(RuntimeError, match="already running"), desk.sequencer.write(), desk.sequencer.write():
        pass


@pytest.mark.parametrize("error", [OSError(5, "EIO"), sqlite3.OperationalError("disk I/O error"), MemoryError()])
def test_any_other_error_halts(desk: Desk, error: Exception) -> None:
    desk.set_up()
    with pytest.raises(Halted, match=r"docs/operate/recovery\.md") as halted:
        write_and_fail(desk, records(0, 1), error)
    assert halted.value.__cause__ is error
    assert_halted(desk)
    with desk.store.read() as read:
        assert read.size() == 8


@pytest.mark.parametrize("step", ["put_tiles", "commit"])
def test_what_fails_after_the_callers_part_halts_whatever_it_is(memory_path: Path, step: str) -> None:
    def fail() -> None:
        raise ValueError("the store says so, and not the caller")

    plan = Plan(fail=fail)
    with opened(memory_path, wrap=lambda store: FaultyStore(store, plan)) as desk:
        desk.set_up()
        plan.step = len(plan.names) + ["size", "add_entries", "put_tiles", "commit"].index(step)
        with pytest.raises(Halted, match="and not the caller"):
            desk.append(decision().draft)
        assert plan.names[-1] == step
        assert_halted(desk)


def test_an_interruption_halts_too(desk: Desk) -> None:
    with pytest.raises(KeyboardInterrupt), desk.sequencer.write():
        raise KeyboardInterrupt
    assert_halted(desk)


def test_an_id_that_is_there_already_is_a_conflict_and_halts_nothing(desk: Desk) -> None:
    desk.set_up()
    draft = records(0, 1)[0]
    with pytest.raises(StoreConflict):
        desk.append(draft, draft)
    assert desk.append(draft) == 8


def test_an_error_of_the_store_halts_even_if_it_is_passed_over(memory_path: Path) -> None:
    plan = Plan()
    with opened(memory_path, wrap=lambda store: FaultyStore(store, plan)) as desk:
        desk.set_up()
        plan.step = len(plan.names) + 1  # after the size, add_entries
        with pytest.raises(Halted, match="disk fail"), desk.sequencer.write() as tx, suppress(Halted):
            desk.sequencer.append(tx, records(0, 1))
        assert_halted(desk)


def test_a_busy_store_is_said_and_halts_nothing(memory_path: Path) -> None:
    class Busy:
        is_busy = False

        def __init__(self, inner: Store) -> None:
            self.inner, self.read, self.close = inner, inner.read, inner.close

        @contextmanager
        def write(self) -> Iterator[Write]:
            if self.is_busy:
                raise StoreBusy("another")
            with self.inner.write() as tx:
                yield tx

    with opened(memory_path, wrap=lambda store: cast("Store", Busy(store))) as desk:
        desk.set_up()
        Busy.is_busy = True
        with pytest.raises(StoreBusy):
            desk.append(*records(0, 1))
        Busy.is_busy = False
        assert desk.append(*records(0, 1)) == 8


def test_entries_that_somebody_else_wrote_halt(desk: Desk) -> None:
    desk.set_up()
    with desk.store.write() as tx:
        row = tx.entries(7, 1)[0]
        tx.add_entries([row._replace(idx=8, entry_id=bytes(16))])
    with pytest.raises(Halted, match="entry 8: the store holds 9 entries, and the tree has 8"):
        desk.append(*records(0, 1))


# --- Batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_entry_says_what_it_must(desk: Desk) -> None:
    desk.set_up()
    desk.append(*records(0, 2))
    first = desk.close_batch()
    desk.append(
        record(LOAD, 2, energy=7), record(SUN, 2, energy=5), record(FLAT, 2, energy=3), record(LOAD, 3, energy=1)
    )
    second = desk.close_batch()
    commitment = desk.commitment()
    with desk.store.read() as read:
        rows = [read.entries(row.last_idx, 1)[0] for row in (first, second)]
        entry = (read.tile(ENTRY_TILES, 0) or b"")[first.last_idx * 32 :][:32]
        assert list(read.batches()) == [first, second]
    assert [(row.schema, row.secret_no, row.received_s) for row in rows] == [("batch-1", 0, START + 86_400)] * 2
    batches = [parse_batch(row.body) for row in rows]
    assert (batches[0].number, batches[0].first_index, batches[0].last_index, batches[0].previous) == (0, 0, 14, None)
    assert (batches[1].number, batches[1].first_index, batches[1].last_index, batches[1].previous) == (1, 15, 19, entry)
    assert {batch.origin for batch in batches} == {ORIGIN}
    assert {batch.closed_s for batch in batches} == {START + 86_400}
    # The flat is not disclosed, and the producer's import does not count as consumption.
    assert (batches[0].consumption_mwh, batches[0].production_mwh) == (2_000_001, 2_000_001)
    assert (batches[1].consumption_mwh, batches[1].production_mwh) == (8, 5)
    assert (batches[1].registry_size, batches[1].registry_root) == (commitment.size, commitment.root)


def test_the_checkpoint_is_signed_over_all_entries_and_held_by_the_guard(desk: Desk, memory_path: Path) -> None:
    desk.set_up()
    desk.append(*records(0, 90))
    row = desk.close_batch()
    with desk.store.read() as read:
        entries = [(read.tile(ENTRY_TILES, n) or b"")[i * 32 :][:32] for n, i in (divmod(i, 256) for i in range(279))]
        assert read.batch(0) == row
    note = desk.sequencer.checkpoint()
    assert note == row.checkpoint == desk.guard.read() == read_guard(memory_path / "apart" / "guard")
    checkpoint = open_checkpoint((note or "").encode(), SIGNER.verifier).checkpoint
    assert (checkpoint.origin, checkpoint.size, row.last_idx) == (ORIGIN, 279, 278)
    assert checkpoint.root == row.root == tree_root(leaf_hashes(entries))


def test_with_nothing_new_it_is_the_last_batch(desk: Desk) -> None:
    desk.set_up()
    assert desk.sequencer.checkpoint() is None
    row = desk.close_batch()
    assert desk.close_batch() == row
    assert desk.sequencer.next_idx == 9


def test_an_empty_log_has_no_batch_to_close(desk: Desk) -> None:
    with pytest.raises(Refusal, match="empty"):
        desk.close_batch()
    desk.set_up()
    assert desk.close_batch().number == 0


def test_it_goes_on_where_it_stopped(memory_path: Path) -> None:
    with opened(memory_path) as desk:
        fill(desk)
        whole = desk.sequencer.checkpoint()
    with memory_folder() as folder:
        for step in range(4):
            with opened(folder) as desk:
                assert (desk.sequencer.checkpoint() is None) == (step == 0)
                fill_step(desk, step)
                assert desk.sequencer.halted is None
        assert read_guard(folder / "apart" / "guard") == whole


def fill_step(desk: Desk, step: int) -> None:
    """What `fill` does, in four parts."""
    if step == 0:
        desk.set_up()
        desk.append(*records(0, 5))
        desk.close_batch()
    elif step == 1:
        import_, rows = history(20)
        desk.state(import_)
        desk.append(*rows)
    elif step == 2:
        desk.append(quarantined())
        desk.state(decision())
        desk.close_batch()
        desk.append(*records(5, 100))
        desk.state(*(reported(slot) for slot in range(200, 210)))
    else:
        desk.close_batch()
        desk.append(*records(105, 3))
        desk.close_batch()


def test_it_tells_that_the_clock_is_behind(memory_path: Path) -> None:
    with opened(memory_path) as desk:
        assert desk.sequencer.clock_behind_s == 0
        desk.set_up()
        desk.close_batch()
    with opened(memory_path) as desk:
        assert desk.sequencer.clock_behind_s == 86_400  # it was closed a day after START, which is "now" again


def test_a_key_of_another_name(memory_path: Path) -> None:
    with opened(memory_path) as desk, pytest.raises(Halted, match=f"the key is named {ORIGIN}"):
        Sequencer.open(desk.store, origin="example.org/other", signer=SIGNER, guard=desk.guard, now=START)


def test_a_store_that_was_moved_halts(tmp_path: Path) -> None:
    with opened(tmp_path) as desk, desk.store.write() as tx:
        tx.put_meta(MOVED_TO, b"postgresql://db.example/energy")
    with pytest.raises(Halted, match=r"this store was moved to postgresql://db\.example/energy"), opened(tmp_path):
        pytest.fail("the log went on")
