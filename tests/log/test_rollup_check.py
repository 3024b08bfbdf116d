"""fsck finds a rollup that is not what the entries lead to, names its bucket, and makes rollups anew."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.stores import START, entry, record
from wattseal.log.port import Store
from wattseal.log.report import Findings
from wattseal.log.rollup import Advance, rolled_up
from wattseal.log.rollup_check import check_rollups, rebuild_rollups
from wattseal.log.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    with closing(SqliteStore.open(path, create=True)) as store, store.write() as tx:
        tx.add_meter("site", "device", "m")
        tx.add_entries([*(record(idx) for idx in range(40)), entry(40, "supersession-1")])
        tx.mark_superseded([(3, 40)])
        step = Advance(tx)
        step.done = step.step(tx, 30)
        step.step(tx, 11)
        tx.add_entries([record(41)])
    return path


def found(store: Store) -> tuple[str, ...]:
    findings = Findings()
    with store.read() as read:
        check_rollups(read, findings)
    return findings.report().findings


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE rollup SET energy_mwh = energy_mwh + 1 WHERE level = 'hour'", "hour from .* energy_mwh"),
        ("DELETE FROM rollup WHERE level = 'day'", "the rollup of the day from .* is missing, and the entries lead to"),
        ("INSERT INTO rollup VALUES ('day', 0, 1, 'gateway', 1, 1, 1, 1, 1, 1, 1)", "day from 1970.*lead to missing"),
        ("UPDATE meta SET value = CAST('99' AS BLOB) WHERE key = 'rolled-up'", "take in 99 entries, and there are 42"),
    ],
)
def test_damage_is_named_and_mended(path: Path, damage: str, words: str) -> None:
    with closing(SqliteStore.open(path)) as store:
        assert found(store) == ()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(damage)
    with closing(SqliteStore.open(path)) as store:
        (finding,) = found(store)
        assert re.search(words, finding)
        assert rebuild_rollups(store) == 42
        assert found(store) == ()
        with store.read() as read:
            assert rolled_up(read) == 42


def test_what_was_taken_away_again_is_no_difference(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store:
        with store.write() as tx:
            tx.add_entries([record(42, start_s=START + 10**7), entry(43, "supersession-1")])
            step = Advance(tx)
            step.done = step.step(tx, 2)
            tx.mark_superseded([(42, 43)])
            step.step(tx, 9)
        assert found(store) == ()
