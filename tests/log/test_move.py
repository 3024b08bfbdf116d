"""A log that moves to PostgreSQL: every row of it, once, and only from a store that nobody writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.contract.stores import attestation, reading, token
from tests.log.sample import ORIGIN, SIGNER, START, Desk, all_checkpoints, fill, opened, records
from tests.postgres_server import PostgresServer
from wattseal.core.refusal import Refusal
from wattseal.log.fsck import check_store
from wattseal.log.guard import Guard, read_guard
from wattseal.log.move import Moved, move_store
from wattseal.log.port import InboxRow, RecordFilter
from wattseal.log.postgres import PostgresStore
from wattseal.log.rollup import Advance
from wattseal.log.sequencer import Halted, Sequencer
from wattseal.log.sqlite import SqliteStore

pytestmark = pytest.mark.realserver


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log with something in every table."""
    with opened(tmp_path) as desk:
        fill(desk)
        with desk.store.write() as tx:
            chain_no = tx.add_chain(b"kid", 1)
            tx.add_readings([reading(seq, chain_no, bridged=seq == 3) for seq in range(2_000)])
            tx.add_readings([reading(seq, None) for seq in range(3)])
            tx.add_attestation(attestation(0))
            tx.put_blocks(0, [b"block 0", b"block 1"])
            tx.add_token(token("a"))
            for key in ("B", "a", "_c", "a b", "A"):
                tx.put_meta(key, b"1")
            tx.mark_superseded([(20, 300)])
            Advance(tx).step(tx)
            tx.add_inbox(InboxRow(START, "malformed", "192.0.2.1", b"bytes"), keep=10)
    return tmp_path


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new_url()


@pytest.fixture
def source(folder: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore.open(folder / "log.db")) as store:
        yield store


def move(folder: Path, source: SqliteStore, url: str) -> Moved:
    with closing(PostgresStore.open(url, create=True)) as target:
        return move_store(source, target, "the new place", guard_of(folder), SIGNER.verifier)


def guard_of(folder: Path) -> str | None:
    return read_guard(folder / "apart" / "guard")


def test_every_row_moves_and_the_log_goes_on_there(folder: Path, source: SqliteStore, url: str) -> None:
    with source.read() as read:
        counts, checkpoints = read.counts(), all_checkpoints(read)
        chosen = read.records(RecordFilter(limit=10_000))
        assert all(counts.values()), counts
    moved = move(folder, source, url)
    assert (moved.rows, moved.size, moved.is_new) == (sum(counts.values()), counts["entry"], True)
    assert moved.checkpoint == list(checkpoints.values())[-1]
    with (
        closing(PostgresStore.open(url)) as target,
        Guard(folder / "apart" / "guard") as guard,
    ):
        with target.read() as read:
            assert read.counts() == counts
            assert read.records(RecordFilter(limit=10_000)) == chosen
            assert read.records(RecordFilter(limit=10_000, from_s=0)) == chosen
            assert len(read.readings_after(1, 0, 0)) == 2_000
        desk = Desk(target, guard, Sequencer.open(target, origin=ORIGIN, signer=SIGNER, guard=guard, now=START))
        desk.append(*records(300, 5))
        desk.close_batch()
        with target.write() as tx:  # the numbers go on where they were
            tx.add_readings([reading(5_000)])
            tx.add_raw([(0, b"", "")])
        report = check_store(target, guard.read(), SIGNER.verifier)
        assert report.ok, report.findings
        with target.read() as read:
            later = all_checkpoints(read)
            assert {size: later[size] for size in checkpoints} == checkpoints
            assert len(later) == len(checkpoints) + 1
    source.close()
    with pytest.raises(Halted, match="was moved to the new place"), opened(folder):
        pytest.fail("the old store was opened")


def test_the_databases_language_does_not_matter(
    folder: Path, source: SqliteStore, url: str, postgres: PostgresServer
) -> None:
    with postgres.connect() as admin:
        admin.execute("CREATE DATABASE english TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'")
    assert move(folder, source, url.replace("/postgres?", "/english?")).is_new


def test_it_moves_once(folder: Path, source: SqliteStore, url: str, postgres: PostgresServer) -> None:
    move(folder, source, url)
    with pytest.raises(Refusal, match="was moved to the new place before"):
        move(folder, source, postgres.new_url())


def test_a_move_that_was_cut_off_before_its_end_begins_again(folder: Path, source: SqliteStore, url: str) -> None:
    with closing(PostgresStore.open(url, create=True)) as target:
        writer = target._writer
        assert writer is not None

        def cut_off(done: int, _total: int | None) -> None:
            if done == 2_000:
                writer.close()

        with pytest.raises(psycopg.OperationalError):
            move_store(source, target, "p", guard_of(folder), SIGNER.verifier, progress=cut_off)
    assert move(folder, source, url).is_new


def test_a_move_that_was_cut_off_after_the_copy_only_compares(
    folder: Path, source: SqliteStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_alone(folder, source, url, monkeypatch)
    assert not move(folder, source, url).is_new


def copy_alone(folder: Path, source: SqliteStore, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A move that is cut off when all is copied."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("wattseal.log.move.check_store", interrupt)
        with pytest.raises(KeyboardInterrupt):
            move(folder, source, url)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE reading SET bridged = NOT bridged WHERE reading_no = 7",
        "DELETE FROM inbox",
        "UPDATE entry SET body = body || '\\x20' WHERE idx = 20",
        "INSERT INTO meta VALUES ('other', '')",
    ],
)
def test_a_target_that_holds_anything_else_is_refused(
    folder: Path,
    source: SqliteStore,
    url: str,
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    copy_alone(folder, source, url, monkeypatch)
    with postgres.connect() as admin:
        admin.execute(f"SET search_path = {url.rpartition('=')[2]}")
        admin.execute(change)
    with pytest.raises(Refusal, match="holds rows already, and its table"):
        move(folder, source, url)
    with source.read() as read:
        assert read.meta("moved_to") is None


def test_a_damaged_log_does_not_move(folder: Path, url: str) -> None:
    with closing(sqlite3.connect(folder / "log.db")) as database, database:
        database.execute("UPDATE entry SET body = CAST(body || x'20' AS BLOB) WHERE idx = 20")
    with closing(SqliteStore.open(folder / "log.db")) as source:
        with pytest.raises(Refusal, match=r"is damaged: .*fsck"):
            move(folder, source, url)
        with source.read() as read:
            assert read.meta("moved_to") is None
