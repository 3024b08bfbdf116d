"""A log that moves to PostgreSQL: every row of it, once, and only from a store that nobody writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.contract.stores import attestation, token
from tests.ingest.room import GATEWAY, NOW, ORIGIN, SIGNER, Room, interval, meter, readings_job, signed
from tests.log.sample import all_checkpoints
from tests.postgres_server import PostgresServer
from wattseal.core.anchor_payload import checkpoint_digest
from wattseal.core.note import Note
from wattseal.core.refusal import Refusal
from wattseal.ingest.job import FlushJob
from wattseal.ingest.settings import Settings
from wattseal.ingest.writer import Writer
from wattseal.log.fsck import check_store
from wattseal.log.guard import Guard, read_guard
from wattseal.log.move import Moved, move_store
from wattseal.log.port import InboxRow, RecordFilter
from wattseal.log.postgres import PostgresStore
from wattseal.log.sequencer import Halted, Sequencer
from wattseal.log.sqlite import SqliteStore

pytestmark = pytest.mark.realserver


READINGS = 1_200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log with something in every table, as the ingest room writes it."""
    room = Room(tmp_path)
    source = meter()
    room.enrol(source)
    room.clock.now_s = NOW + 60 * READINGS
    items = [source.read(NOW + 60 * place) for place in range(READINGS)]
    room.submit(*items[:5], *items[6:])
    room.tick(1_000)  # bridged, and superseded when the missing one comes
    room.submit(items[5])
    room.submit(signed(source, items[9], meter_id="m9"))
    room.report(interval(), site_id="PLANT-01", iot_device_id="gw", meter_id="MTR-1")
    batch = room.flush()
    assert batch.checkpoint is not None
    digest = checkpoint_digest(Note.parse(batch.checkpoint.encode()).text)
    with room.store.write() as tx:
        tx.add_attestation(attestation(batch.number)._replace(digest=digest))
        tx.put_blocks(0, [b"block 0", b"block 1"])
        tx.add_token(token("a"))
        for key in ("B", "a", "_c", "a b", "A"):
            tx.put_meta(key, b"1")
        tx.add_inbox(InboxRow(NOW, "malformed", "192.0.2.1", b"bytes"), keep=10)
    room.close()
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
    return read_guard(folder / "guard" / "checkpoint")


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
        Guard(folder / "guard" / "checkpoint") as guard,
    ):
        with target.read() as read:
            assert read.counts() == counts
            assert read.records(RecordFilter(limit=10_000)) == chosen
            assert read.records(RecordFilter(limit=10_000, from_s=0)) == chosen
            assert len(read.readings_after(1, 0, -1)) == READINGS
        sequencer = Sequencer.open(target, origin=ORIGIN, signer=SIGNER, guard=guard, now=NOW)
        writer = Writer(target, sequencer, GATEWAY, Settings(), lambda: (NOW + 100_000) * 1_000_000_000)
        meter_goes_on = meter()
        items = [meter_goes_on.read(NOW + 60 * place) for place in range(READINGS + 5)]
        job = readings_job(writer, items[READINGS:])
        writer.run([job, FlushJob()])  # the numbers go on where they were
        assert [receipt.outcome for receipt in job.result] == ["admitted"] * 5
        report = check_store(target, guard.read(), SIGNER.verifier)
        assert report.ok, report.findings
        with target.read() as read:
            later = all_checkpoints(read)
            assert {size: later[size] for size in checkpoints} == checkpoints
            assert len(later) == len(checkpoints) + 1
    source.close()
    with pytest.raises(Halted, match="was moved to the new place"):
        Room(folder)


def test_the_databases_language_does_not_matter(
    folder: Path, source: SqliteStore, url: str, postgres: PostgresServer
) -> None:
    with postgres.connect() as admin:
        admin.execute("CREATE DATABASE english TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'")
    assert move(folder, source, url.replace("/postgres?", "/english?")).is_new


def test_fsck_says_where_a_log_went(folder: Path, source: SqliteStore, url: str) -> None:
    move(folder, source, url)
    report = check_store(source, guard_of(folder), SIGNER.verifier)
    assert "this store was left: the log goes on in the new place" in report.notes


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
