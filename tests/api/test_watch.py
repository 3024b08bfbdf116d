"""What the server noticed: silent meters, waiting quarantine, counters."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.api.live import SEQUENCE, Device, Server, good
from wattseal.api.metrics import Metrics
from wattseal.api.watch import Watch
from wattseal.config import Settings, load_settings
from wattseal.core.registry import Meter
from wattseal.serve import make_site, open_site, read_store


def test_what_is_counted_and_logged(tmp_path: Path) -> None:
    with Server(tmp_path, anonymous_burst=40, anonymous_per_s=1) as server:
        device = Device("site", "d")
        server.enrol(device)
        server.send(*(device.next() for _ in range(3)), Device("other", "x").next())
        server.send(device.odd(seq=device.last.seq, import_mwh=1))
        server.flush()
        text = server.as_nobody.get("/metrics").text
        for line in (
            'wattseal_readings_total{outcome="admitted"} 3.0',
            'wattseal_readings_total{outcome="refused"} 1.0',
            'wattseal_quarantined_total{reason="equivocation"} 1.0',
            "wattseal_durable_seconds_count 2.0",
            "wattseal_worker_restarts 0.0",
            "wattseal_batch_age_seconds",
        ):
            assert line in text
        good(server.as_nobody.get("/health"))
        errors = server.folder / "stderr.txt"
    events = [json.loads(line) for line in errors.read_text().splitlines()]
    names = [event["event"] for event in events]
    assert names[0] == "started"
    assert names[-2:] == ["stopping", "stopped"]
    assert next(event for event in events if event["event"] == "quarantined")["why"] == "equivocation"
    assert next(event for event in events if event["event"] == "batch closed")["batch"] == 0
    assert server.token not in errors.read_text()


def test_silent_meters_and_waiting_quarantine(tmp_path: Path) -> None:
    make_site(Settings(data_dir=tmp_path / "site", guard=tmp_path / "guard" / "log"))
    now = int(time.time())
    device = Device("site", "d")
    with open_site(load_settings(tmp_path / "site" / "wattseal.toml")) as opened:
        site = opened.site
        key = device.element.device_key("site", "d", 1_600_000_000)
        opened.commit(lambda tx, at: site.ingest.enrolment.register_key(tx, at, key))
        meter = Meter("site", "d", "main", "consumption", (key.kid,), 300, "Europe/Berlin", 1_600_000_000)
        opened.commit(lambda tx, at: site.ingest.enrolment.register_meter(tx, at, meter))
        watch = Watch(Metrics(), now - 1_000)
        site.ingest.watch(watch)
        assert list(watch.silent(site.ingest.registry, now + 500)) == []
        assert list(watch.silent(site.ingest.registry, now + 501)) == [meter]
        first = device.next()
        odd = [device.odd(seq=0, prev=bytes(32), import_mwh=number) for number in range(3)]
        opened.run(site.ingest.submit_readings, [first], trusted=True)
        receipts = opened.run(site.ingest.submit_readings, odd, trusted=True)
        assert [receipt.outcome for receipt in receipts] == ["quarantined"] * 3
        assert list(watch.silent(site.ingest.registry, now + 501)) == []
        with site.store.read() as read:
            waiting, since = watch.quarantine(read)
        assert (waiting, now <= (since or 0) <= now + 60) == (3, True)
        opened.run(site.ingest.decide, receipts[0].log_id or b"", "reject", "a test", site.operator)
        with site.store.read() as read:
            assert watch.quarantine(read)[0] == 2
            assert watch.quarantine(read)[0] == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_finishes_what_it_took(tmp_path: Path, number: signal.Signals) -> None:
    """Whatever was answered is stored, whatever is stored was sent, and it ends by itself in time."""
    server = Server(tmp_path, anonymous_burst=1_000_000, anonymous_per_s=1_000_000)
    devices = [Device("site", f"d{index}") for index in range(4)]
    for device in devices:
        server.enrol(device)
    answered: list[str] = []
    stop = threading.Event()

    def send(device: Device) -> None:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while not stop.is_set():
                body = b"".join(device.next(time_s=device.last.time_s + 1) for _ in range(20))
                try:
                    answer = client.post("/api/v1/logs", content=body, headers={"Content-Type": SEQUENCE})
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    answered.extend(result["digest"] for result in answer.json()["results"])

    threads = [threading.Thread(target=send, args=(device,)) for device in devices]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    begun = time.monotonic()
    server.process.send_signal(number)
    assert server.process.wait(20) == 0, (server.folder / "stderr.txt").read_text()
    assert time.monotonic() - begun < 15
    stop.set()
    for thread in threads:
        thread.join(30)
    server.stop()
    with read_store(server.settings) as store, store.read() as read:
        stored = {
            row.digest.hex() for chain in read.chains() for row in read.readings_after(chain.chain_no, -1, -1, 100_000)
        }
    assert len(answered) >= 40
    assert set(answered) <= stored
