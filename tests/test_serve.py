"""A site from its making to its end: keys, restarts, signals, and what it does when it may not go on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests.api.live import PROGRAM, Device, Server, bad, good
from tests.postgres_server import PostgresServer
from wattseal.config import Settings, load_settings
from wattseal.core.refusal import Refusal
from wattseal.log.guard import GuardBusy, read_guard
from wattseal.log.port import StoreBusy
from wattseal.log.sequencer import Halted
from wattseal.serve import make_site, open_site, read_store


def make(folder: Path, **more: object) -> Settings:
    make_site(Settings(data_dir=folder / "site", guard=folder / "guard" / "log", **more))  # type: ignore[arg-type]
    return load_settings(folder / "site" / "wattseal.toml")


def test_making_a_site(tmp_path: Path) -> None:
    settings = make(tmp_path, origin='x.example/"log"', demo=True, batch_max_s=7)
    assert (settings.origin, settings.demo, settings.batch_max_s) == ('x.example/"log"', True, 7)
    for path in (settings.log_key_path, settings.operator_key_path, settings.gateway_key_path):
        assert path.stat().st_mode & 0o777 == 0o600
    written = tomllib.loads((tmp_path / "site" / "wattseal.toml").read_text())
    assert "data_dir" not in written  # the folder can be moved
    with pytest.raises(Refusal, match="there is a site already"):
        make(tmp_path)


def test_the_guard_of_another_log_is_not_taken_over(tmp_path: Path) -> None:
    settings = make(tmp_path)
    with open_site(settings) as site:
        site.run(site.site.ingest.flush)
    with pytest.raises(Refusal, match="exists"):
        make_site(Settings(data_dir=tmp_path / "other", guard=settings.guard_path))


def test_the_sites_own_keys_are_in_its_registry_once(tmp_path: Path) -> None:
    settings = make(tmp_path)
    for _ in range(2):
        with open_site(settings) as site:
            signers = site.site.ingest.registry.signers.values()
            assert [signer.role for signer in signers] == ["log", "operator", "gateway"]
            assert site.site.sequencer.next_idx == 3


def test_only_one_process_works_on_a_site(tmp_path: Path) -> None:
    settings = make(tmp_path)
    with open_site(settings), pytest.raises((GuardBusy, StoreBusy)), open_site(settings):
        pass
    with open_site(settings), read_store(settings) as store, store.read() as read:
        assert read.size() == 3


def test_a_folder_that_is_no_site(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "x", guard=tmp_path / "g")
    with pytest.raises(FileNotFoundError), open_site(settings):
        pass
    settings = make(tmp_path)
    settings.gateway_key_path.unlink()
    with pytest.raises(FileNotFoundError, match="no key"), open_site(settings):
        pass


def test_a_restored_backup_does_not_sign(tmp_path: Path) -> None:
    settings = make(tmp_path)
    with open_site(settings) as site:
        site.run(site.site.ingest.flush)
    backup = settings.database_path.read_bytes()
    with open_site(settings) as site:
        site.commit(lambda tx, now: site.site.ingest.enrolment.register_key(tx, now, key_of(Device("a", "b"))))
        site.run(site.site.ingest.flush)
    held = read_guard(settings.guard_path)
    settings.database_path.write_bytes(backup)
    with pytest.raises(Halted), open_site(settings):
        pass
    assert read_guard(settings.guard_path) == held


def key_of(device: Device):  # type: ignore[no-untyped-def]  # noqa: ANN201 - a DeviceKey
    return device.element.device_key(device.site_id, device.device_id, 1_600_000_000)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_after_a_restart_all_is_there(server: Server, number: signal.Signals) -> None:
    device = Device("site", "d")
    server.enrol(device)
    sent = server.send(device.next(), device.next(), device.next())
    batch = server.flush()
    anchor = good(server.as_operator.post(f"/api/v1/batches/{batch['id']}/anchor"))
    waiting = server.send(device.next())[0]
    server.process.send_signal(number)
    code = server.process.wait(30)
    assert code == (-9 if number is signal.SIGKILL else 0), (server.folder / "stderr.txt").read_text()
    server.stop()
    server.start()
    try:
        records = good(server.as_operator.get("/api/v1/logs"))["items"]
        kept = [result["log_id"] for result in (waiting, *reversed(sent[1:]))]
        assert [record["log_id"] for record in records] == kept
        assert good(server.as_operator.post(f"/api/v1/batches/{batch['id']}/anchor")) == anchor
        mined = good(server.as_operator.post(f"/api/v1/batches/{batch['id']}/anchor/simulate"))
        assert (mined["anchor"]["reference"], mined["anchor"]["state"]) == (anchor["reference"], "final")
        assert server.send(device.next())[0]["outcome"] == "admitted"
        assert server.flush()["id"] == batch["id"] + 1
    finally:
        assert server.stop() == 0


def test_a_server_closes_batches_and_anchors_by_itself(tmp_path: Path) -> None:
    with Server(tmp_path, batch_max_s=1, anchor_interval_s=1, mining_interval_s=1) as server:
        deadline = time.monotonic() + 20
        while (view := good(server.as_nobody.get("/health")))["anchored_batch"] is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert view["status"] == "ok"


def test_a_server_without_a_chain(tmp_path: Path) -> None:
    with Server(tmp_path, chain="none") as server:
        batch = server.flush()
        assert good(server.as_nobody.get("/health"))["chain"] is None
        assert "anchors nowhere" in bad(server.as_operator.post(f"/api/v1/batches/{batch['id']}/anchor"), 409)["detail"]
        bad(server.as_operator.post(f"/api/v1/batches/{batch['id']}/anchor/simulate"), 409)
        assert good(server.as_nobody.get("/api/v1/batches"))["items"][0]["anchors"] == []


def test_a_server_without_workers(tmp_path: Path) -> None:
    """It checks signatures by itself."""
    with Server(tmp_path, workers=0) as server:
        device = Device("site", "d")
        server.enrol(device)
        assert [result["outcome"] for result in server.send(device.next(), device.next())] == ["admitted"] * 2


def test_a_log_that_halts_stays_readable_and_says_so(server: Server) -> None:
    """The guard is changed under the running server: it signs nothing any more and acknowledges nothing."""
    device = Device("site", "d")
    server.enrol(device, disclosed=True)
    server.send(device.next(), device.next())
    server.flush()
    server.settings.guard_path.write_text("something else\n")
    try:
        server.send(device.next())
        bad(server.as_operator.post("/api/v1/batches/flush"), 503)
        problem = bad(
            server.as_nobody.post("/api/v1/logs", content=device.next(), headers={"Content-Type": "application/cose"}),
            503,
        )
        assert problem["type"] == "urn:wattseal:problem:halted"
        health = server.as_nobody.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "halted")
        assert str(server.folder) not in health.text + str(problem)
        assert len(good(server.as_nobody.get("/api/v1/logs"))["items"]) == 2
        assert "stopped writing" in server.as_nobody.get("/").text
        assert "wattseal_halted 1" in server.as_nobody.get("/metrics").text
    finally:
        assert server.stop() == 0


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = make(tmp_path, port=taken.getsockname()[1])
        command = [sys.executable, "-c", PROGRAM, str(settings.folder / "wattseal.toml")]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=os.environ)
    assert run.returncode
    assert "in use" in run.stderr


@pytest.mark.realserver
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_on_postgresql_goes_on_after_a_restart(
    postgres: PostgresServer, tmp_path: Path, number: signal.Signals
) -> None:
    server = Server(tmp_path, database=postgres.new_url())
    device = Device("site", "d")
    server.enrol(device)
    server.send(device.next(), device.next(), device.next())
    batch = server.flush()
    server.process.send_signal(number)
    assert server.process.wait(30) == (-9 if number is signal.SIGKILL else 0)
    server.stop()
    server.start()
    try:
        assert len(good(server.as_operator.get("/api/v1/logs"))["items"]) == 2
        assert server.send(device.next())[0]["outcome"] == "admitted"
        assert server.flush()["id"] == batch["id"] + 1
        with postgres.connect() as admin:
            ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'wattseal'"
            admin.execute(f"{ended} AND datname = 'postgres'")
        answer = server.as_nobody.post(
            "/api/v1/logs", content=device.next(), headers={"content-type": "application/cose"}
        )
        assert answer.status_code >= 500
        assert server.as_nobody.get("/health").json()["status"] == "halted"
    finally:
        server.stop()


WITHOUT_DRIVER = """
import sys
sys.modules["psycopg"] = None
from wattseal.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_missing_driver_is_named(tmp_path: Path) -> None:
    url = "postgresql://u:tiger@127.0.0.1/db"
    command = ["init", str(tmp_path / "site"), "--origin", "x.example", "--database", url]
    said = subprocess.run([sys.executable, "-c", WITHOUT_DRIVER, *command], check=False, capture_output=True, text=True)
    assert said.returncode == 1
    assert "pip install 'wattseal[postgres]'" in said.stderr
    assert "tiger" not in said.stderr
    assert not (tmp_path / "site" / "log.key").exists()


@pytest.mark.realserver
def test_a_database_that_does_not_answer_is_told(tmp_path: Path) -> None:
    database = PostgresServer.make()
    server = Server(tmp_path, database=database.new_url())
    try:
        database.kill()
        for path in ("/health", "/metrics", "/api/v1/logs"):
            client = server.as_operator if path.startswith("/api") else server.as_nobody
            assert bad(client.get(path), 503)["title"] == "The database does not answer", path
        database.start()
        assert good(server.as_operator.get("/api/v1/logs"))["items"] == []
    finally:
        server.stop()
        database.remove()
