"""What leaves a site as files, and what fsck says of it: simulate, export, verify, tlog verify, fsck, backup."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Site
from wattseal.api.reading_sequence import split_readings
from wattseal.cli.main import main
from wattseal.config import load_settings
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.reading import parse_envelope, parse_payload
from wattseal.serve import read_store

PATH = "park/device-1/main"
SPOIL = """UPDATE entry SET body = CAST(replace(body, '"status":"ok"', '"status":"gap"') AS BLOB) WHERE idx = 20"""
VERIFY = ("--allow-simulated", "--require", "authentic,included,complete,anchored")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A site with one simulated meter, two hours of readings, and a final anchor: its folder, and its guard's path."""
    folder = tmp_path_factory.mktemp("original")
    guard = str(folder / "guard" / "guard")
    here = ["--config", str(folder / "site" / "wattseal.toml")]
    meters = ["--meters", "1", "--site", "park", "--interval", "60", "--history", "2"]
    for arguments in (
        ["init", str(folder / "site"), "--origin", "example.org/energy", "--guard", guard],
        ["simulate", *meters, *here],
        ["flush", *here],
        ["anchor", "simulate", *here],
    ):
        assert main(arguments) == 0
    return folder, guard


@pytest.fixture
def park(original: tuple[Path, str], wattseal: Command, tmp_path: Path) -> Site:
    """A copy of it, which a test may spoil."""
    folder, guard = original
    shutil.copytree(folder, tmp_path / "park")
    config = tmp_path / "park" / "site" / "wattseal.toml"
    mine = tmp_path / "park" / "guard" / "guard"
    config.write_text(config.read_text(encoding="utf-8").replace(guard, str(mine)), encoding="utf-8")
    key = Ed25519Signer.from_skey((config.parent / "log.key").read_text(encoding="utf-8").strip())
    return Site(config.parent, str(config), mine, key.verifier.vkey, "")


def bundle(wattseal: Command, site: Site, *more: object) -> str:
    """A bundle of all that the meter has."""
    span = ("--from", "2020-01-01", "--to", "2100-01-01")
    said = wattseal("export", "--bundle", PATH, *span, "--out", "all.json", "--config", site.config, *more)
    assert said.code == 0, said.err
    return "all.json"


def test_a_bundle_verifies(park: Site, wattseal: Command) -> None:
    here = ("--config", park.config)
    file = bundle(wattseal, park)
    assert wattseal("export", "--trust", "trust.toml", *here).out == "Wrote trust.toml\n"
    said = wattseal("verify", file, "--trust", "trust.toml", *VERIFY, "--json")
    assert said.code == 0, said.out
    assert said.json["records"] == 120
    assert wattseal("verify", file, "--trust", "trust.toml").code == 3


def test_a_log_is_held_to_what_was_seen(park: Site, wattseal: Command) -> None:
    here = ("--config", park.config)
    wattseal("export", "--trust", "trust.toml", "--last-seen", *here)
    batch = wattseal("flush", *here, "--json").json
    size = batch["last_index"] + 1
    wattseal("simulate", "--meters", 1, "--site", "later", "--history", 1, *here)
    wattseal("flush", *here)
    wattseal("anchor", "simulate", *here)
    without = wattseal("verify", bundle(wattseal, park), "--trust", "trust.toml", *VERIFY, "--json")
    assert without.json["verdicts"]["included"]["answer"] == "unknown"
    file = bundle(wattseal, park, "--since", size)
    shown = wattseal("verify", file, "--trust", "trust.toml", *VERIFY, "--json").json
    assert f"size {size} that you saw" in str(shown["verdicts"]["included"]["facts"])


@pytest.mark.parametrize("by", ["index", "log id"])
def test_a_proof_of_an_entry(park: Site, wattseal: Command, by: str) -> None:
    with read_store(load_settings(Path(park.config))) as store, store.read() as read:
        row = read.entries(9, 1)[0]
    wanted = 9 if by == "index" else row.entry_id.hex()
    said = wattseal("export", "--proof", wanted, "--policy", "policy", "--config", park.config, "--json")
    assert said.json["written"] == ["9.tlog-proof", "9.entry", "policy"]
    assert wattseal("tlog", "verify", "9.tlog-proof", "--leaf", "9.entry", "--policy", "policy").code == 0
    Path("9.entry").write_bytes(bytes(32))
    assert wattseal("tlog", "verify", "9.tlog-proof", "--leaf", "9.entry", "--policy", "policy").code == 1


def test_the_log_as_files(park: Site, wattseal: Command) -> None:
    here = ("--config", park.config)
    assert wattseal("export", "--log", "public", "--bodies", *here).code == 0
    checked = wattseal("fsck", "--export", "public", "--vkey", park.vkey, "--json")
    assert (checked.code, checked.json["ok"]) == (0, True)
    bodies = Path("public/bodies.jsonl")
    bodies.write_bytes(bodies.read_bytes().replace(b"energy_kwh", b"energy_kwH", 1))
    assert wattseal("fsck", "--export", "public", *here).code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Nothing to export"),
        (("--bundle", PATH), "--from and --to"),
        (("--bundle", "park", "--from", "2026-01-01", "--to", "2026-01-02"), "SITE/DEVICE/METER"),
        (("--bundle", PATH, "--from", "2026-01-02", "--to", "2026-01-02"), "--to"),
        (("--bundle", PATH, "--from", "yesterday", "--to", "2026-01-02"), "--from"),
        (("--bundle", "park/no/main", "--from", "2026-01-01", "--to", "2026-01-02"), "no meter"),
        (("--proof", "99999"), "neither the index nor the log id"),
        (("--proof", "somewhere"), "neither the index nor the log id"),
    ],
)
def test_what_cannot_be_exported(park: Site, wattseal: Command, arguments: tuple[str, ...], said: str) -> None:
    answer = wattseal("export", *arguments, "--config", park.config)
    assert answer.code == 1
    assert said in answer.err


def test_fsck_names_the_changed_row(park: Site, wattseal: Command) -> None:
    here = ("--config", park.config)
    assert wattseal("fsck", *here).out.endswith("Nothing differs.\n")
    with closing(sqlite3.connect(park.folder / "wattseal.db")) as database, database:
        database.execute(SPOIL)
    said = wattseal("fsck", *here)
    assert said.code == 1
    assert "The first entry that is affected: 20." in said.out
    assert wattseal("fsck", *here, "--json").json["first_bad_index"] == 20


def test_damaged_tiles_are_made_again_from_the_rows(park: Site, wattseal: Command) -> None:
    here = ("--config", park.config)
    with closing(sqlite3.connect(park.folder / "wattseal.db")) as database, database:
        database.execute("UPDATE tile SET data = zeroblob(length(data)) WHERE level = 0")
    assert wattseal("fsck", *here).code == 1
    mended = wattseal("fsck", "--rebuild-tiles", *here)
    assert mended.code == 0, mended.out
    assert mended.out.startswith("Tiles written anew: 1\n")
    with closing(sqlite3.connect(park.folder / "wattseal.db")) as database, database:
        database.execute(SPOIL)
    refused = wattseal("fsck", "--rebuild-tiles", *here)
    assert refused.code == 1
    assert "do not lead to the root that was signed" in refused.err


def test_damaged_rollups_are_named_and_made_anew(park: Site, wattseal: Command) -> None:
    here = ("--config", park.config)
    with closing(sqlite3.connect(park.folder / "wattseal.db")) as database, database:
        database.execute("UPDATE rollup SET energy_mwh = energy_mwh + 1 WHERE level = 'day'")
    said = wattseal("fsck", *here)
    assert said.code == 1
    assert "the rollup of the day from" in said.out
    mended = wattseal("fsck", "--rebuild-rollups", *here)
    assert mended.code == 0, mended.out
    assert mended.out.startswith("Rollups made anew from ")


def test_a_backup(park: Site, wattseal: Command, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    copy = tmp_path / "backups" / "monday.db"
    said = wattseal("backup", copy, "--config", park.config)
    assert said.code == 0, said.err
    assert str(park.guard) in said.out
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [path.name for path in copy.parent.iterdir()] == ["monday.db"]
    assert wattseal("backup", copy, "--config", park.config).code == 1
    with closing(sqlite3.connect(copy)) as restored, closing(sqlite3.connect(park.folder / "wattseal.db")) as original:
        for table in ("entry", "reading", "tile", "batch", "secret"):
            counts = {database.execute(f"SELECT count(*) FROM {table}").fetchone() for database in (restored, original)}
            assert len(counts) == 1, table


def test_a_restored_backup_halts_instead_of_forking(park: Site, wattseal: Command, tmp_path: Path) -> None:
    here = ("--config", park.config)
    (tmp_path / "backups").mkdir()
    assert wattseal("backup", tmp_path / "backups" / "old.db", *here).code == 0
    wattseal("simulate", "--meters", 1, "--site", "later", "--history", 1, *here)
    wattseal("flush", *here)
    for name in ("wattseal.db", "wattseal.db-wal", "wattseal.db-shm"):
        (park.folder / name).unlink(missing_ok=True)
    (tmp_path / "backups" / "old.db").rename(park.folder / "wattseal.db")
    said = wattseal("flush", *here)
    assert said.code == 1
    assert "halted" in said.err
    assert "recovery.md" in said.err
    assert wattseal("fsck", *here).code == 1


def test_a_backup_keeps_away_from_the_guard(park: Site, wattseal: Command) -> None:
    said = wattseal("backup", park.guard.parent / "copy.db", "--config", park.config)
    assert said.code == 1
    assert "guard" in said.err


def test_simulated_readings_as_files(wattseal: Command, tmp_path: Path) -> None:
    said = wattseal("simulate", "--meters", 2, "--interval", 300, "--history", 1, "--out", "fleet")
    assert said.code == 0, said.err
    registry = json.loads((tmp_path / "fleet" / "registry.json").read_text(encoding="utf-8"))
    assert [key["simulated"] for key in registry["keys"]] == [True, True]
    assert [meter["iot_device_id"] for meter in registry["meters"]] == ["device-1", "device-2"]
    data = (tmp_path / "fleet" / "device-1_main.cbor-seq").read_bytes()
    readings = [parse_payload(parse_envelope(item).payload) for item in split_readings(data, 100)]
    assert len(readings) in {13, 14}
    assert [reading.seq for reading in readings] == list(range(len(readings)))
