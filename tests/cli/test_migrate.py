"""`wattseal migrate`, and a site on PostgreSQL from its making on."""

from __future__ import annotations

import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Site
from tests.postgres_server import PASSWORD, PostgresServer, programs

HISTORY = ("--meters", 2, "--history", 1)


@pytest.mark.realserver
@pytest.mark.parametrize("switch", [False, True])
def test_a_site_moves_to_postgresql_and_goes_on(
    site: Site, wattseal: Command, postgres: PostgresServer, tmp_path: Path, switch: bool
) -> None:
    here = ("--config", site.config)
    assert wattseal("simulate", *HISTORY, *here).code == 0
    assert wattseal("flush", *here).code == 0
    before = (tmp_path / "site" / "wattseal.toml").read_text()
    url = postgres.tcp_url(postgres.new_url().rpartition("=")[2])
    said = wattseal("migrate", "--to", url, *["--switch"] * switch, "--json", *here)
    assert said.code == 0, said.err
    assert said.json["copied_now"]
    assert said.json["size"] > 10
    assert said.json["root"]
    assert PASSWORD not in said.out + said.err
    again = wattseal("migrate", "--to", url, "--config", site.config)
    assert again.code == 1
    text = Path(site.config).read_text()
    if switch:
        assert "is on a server already" in again.err
        assert text == f'database = "{url}"\n{before}'
        assert stat.S_IMODE(Path(site.config).stat().st_mode) == 0o600
    else:
        assert "was moved to postgresql://tester:***@" in again.err
        halted = wattseal("flush", *here)
        assert halted.code == 1
        assert "the log is halted and signs nothing: this store was moved to postgresql://tester:***@" in halted.err
        Path(site.config).write_text(f'database = "{url}"\n{text}')
    assert wattseal("simulate", *HISTORY, "--site", "later", *here).code == 0
    assert wattseal("flush", *here).code == 0
    checked = wattseal("fsck", "--json", *here)
    assert checked.code == 0, checked.out
    assert checked.json["checked"]["entries"] > said.json["size"]
    assert wattseal("fsck", "--rebuild-tiles", *here).out.startswith("Tiles written anew: 0\n")


@pytest.mark.realserver
def test_a_site_is_made_on_postgresql_and_backed_up_by_its_own_tools(
    wattseal: Command, postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.new_url()
    with postgres.connect() as admin:
        admin.execute("CREATE ROLE guest LOGIN")
    for _ in range(2):  # the first time leaves nothing that would keep one from the second
        missing = wattseal(
            "init", tmp_path / "site", "--origin", "example.org/energy", "--database", url.replace("tester@", "guest@")
        )
        assert missing.code == 1
        assert "permission denied" in missing.err
    made = wattseal("init", tmp_path / "site", "--origin", "example.org/energy", "--database", url, "--json")
    assert made.code == 0, made.err
    here = ("--config", made.json["settings"])
    assert not list((tmp_path / "site").glob("*.db*"))
    taken = wattseal("init", tmp_path / "other", "--origin", "example.org/other", "--database", url)
    assert taken.code == 1
    assert "holds a store already" in taken.err
    assert wattseal("migrate", *here).out == f"Up to date: {url}\n"
    refused = wattseal("backup", tmp_path / "backup.dump", *here)
    assert refused.code == 1
    command = shlex.split(refused.err[refused.err.index("pg_dump") :])
    folder = programs()
    assert folder is not None
    subprocess.run([folder / command[0], *command[1:]], check=True)
    assert (tmp_path / "backup.dump").stat().st_size > 1_000


def test_an_older_store_is_brought_to_this_version(site: Site, wattseal: Command) -> None:
    assert wattseal("migrate", "--config", site.config).out.startswith("Up to date: ")
    refused = wattseal("migrate", "--switch", "--config", site.config)
    assert refused.code == 1
    assert "without --to" in refused.err


def test_a_server_that_does_not_answer_is_named_without_the_password(site: Site, wattseal: Command) -> None:
    said = wattseal("migrate", "--to", "postgresql://u:tiger@127.0.0.1:1/db", "--config", site.config)
    assert said.code == 1
    assert "postgresql://u:***@127.0.0.1:1/db cannot be reached" in said.err
    assert "tiger" not in said.out + said.err
