"""Anchors that were edited in the database, of a real site with its simulated chain."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from wattseal.config import Settings, load_settings
from wattseal.log.fsck import check_store
from wattseal.log.guard import read_guard
from wattseal.log.key_file import read_key_file
from wattseal.log.report import Report
from wattseal.serve import make_site, open_site, read_store


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with one batch in a final block."""
    folder = tmp_path_factory.mktemp("site")
    make_site(Settings(data_dir=folder / "site", guard=folder / "guard" / "log"))
    with open_site(load_settings(folder / "site" / "wattseal.toml")) as opened:
        attestor = opened.site.attestor
        assert attestor is not None
        opened.run(opened.site.ingest.flush)
        attestor.anchor(0)
        attestor.mine(1_780_000_000, 6)
    return folder


@pytest.fixture
def settings(site: Path, tmp_path: Path) -> Settings:
    shutil.copytree(site / "site", tmp_path / "site")
    return Settings(data_dir=tmp_path / "site", guard=site / "guard" / "log")


def checked(settings: Settings) -> Report:
    verifier = read_key_file(settings.log_key_path).verifier
    with read_store(settings) as store:
        return check_store(store, read_guard(settings.guard_path), verifier)


def test_what_is_well(settings: Settings) -> None:
    report = checked(settings)
    assert (report.ok, report.findings, report.checked["attestations"]) == (True, (), 1)


EDITS = {
    "digest": ("UPDATE attestation SET digest = zeroblob(32)", "another digest"),
    "height": ("UPDATE attestation SET height = height + 5", "its columns differ"),
    "reference": ("UPDATE attestation SET reference = 'x'", "its columns differ"),
    "block": ("UPDATE attestation SET block_hash = zeroblob(32)", "its columns differ"),
    "no evidence": ("UPDATE attestation SET evidence = NULL", "its evidence is missing"),
    "no JSON": ("UPDATE attestation SET evidence = '{'", "attestation 1 of batch 0"),
    "evidence": (
        "UPDATE attestation SET evidence = replace(evidence, '\"tx_index\":1', '\"tx_index\":0')",
        "its evidence is wrong",
    ),
    "state": ("UPDATE attestation SET state = 'planned'", "and yet names a block"),
    "simulated": ("UPDATE attestation SET simulated = 0", "whether the chain simulated is a simulated one"),
    "number": ("UPDATE attestation SET attestation_no = 2", "attestation 1 is missing"),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_was_edited_is_named(settings: Settings, name: str) -> None:
    query, text = EDITS[name]
    with closing(sqlite3.connect(settings.database_path, isolation_level=None)) as connection:
        assert connection.execute(query).rowcount > 0
    report = checked(settings)
    assert not report.ok
    assert any(text in finding for finding in report.findings), report.findings
