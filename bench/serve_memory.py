"""How much memory a server takes that has a million records: once it has started, and once it was asked."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.http_bulk import workers_of
from bench.log_append import METERS, START_S, _drafts
from wattseal.config import Settings, load_settings
from wattseal.core.entry import derive_salts
from wattseal.core.registry import Meter
from wattseal.log.port import Write
from wattseal.serve import make_site, open_site

RECORDS: Final = int(os.environ.get("BENCH_RECORDS", "1000000"))
_GROUP: Final = 10_000
_ASKED: Final = (
    "/health",
    "/api/v1/logs?limit=1000",
    "/api/v1/logs?meter=M7&limit=1000",
    "/api/v1/batches?limit=100",
    "/api/v1/energy?by=day,device&from=2025-12-01T00:00:00Z&to=2025-12-31T00:00:00Z",
    "/metrics",
)


def _memory_mb(pids: list[int]) -> float:
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * resource.getpagesize() / 1e6


def run() -> Iterator[str]:
    """Fill a site, start its server, and look; the target is 300 MB."""
    folder = Path(tempfile.mkdtemp(prefix="wattseal-bench-"))
    try:
        make_site(
            Settings(data_dir=folder / "site", guard=folder / "guard" / "checkpoint", port=0, public_records=True)
        )
        settings = load_settings(folder / "site" / "wattseal.toml")
        _fill(settings)
        yield from _asked(folder)
    finally:
        shutil.rmtree(folder)


def _fill(settings: Settings) -> None:
    with open_site(settings) as opened:
        site = opened.site

        def register(tx: Write, now: int) -> None:
            for number in range(METERS):
                meter = Meter("S", "D", f"M{number}", "consumption", (), 300, "UTC", START_S)
                site.ingest.enrolment.register_meter(tx, now, meter)

        opened.commit(register)
        for first in range(0, RECORDS, _GROUP):

            def append(tx: Write, _now: int, first: int = first) -> None:
                secret = site.ingest.enrolment.log_secret(tx)
                made = [
                    draft._replace(secret_no=secret.secret_no, salts=derive_salts(secret.secret, draft.entry_id))
                    for draft in _drafts(first, _GROUP)
                ]
                site.sequencer.append(tx, made)

            opened.commit(append)
        opened.run(site.ingest.flush)


def _asked(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.http_bulk", str(folder / "site" / "wattseal.toml")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = (server.stdout.readline() if server.stdout else "").strip()
        time.sleep(3)
        yield f"{RECORDS:,} records, started: {_memory_mb([server.pid]):.0f} MB (target 300 MB)"
        for path in _ASKED:
            with urllib.request.urlopen(url + path, timeout=60) as answer:
                answer.read()
        alone, whole = _memory_mb([server.pid]), _memory_mb([server.pid, *workers_of(server.pid)])
        yield f"asked {len(_ASKED)} questions: {alone:.0f} MB; with its worker processes {whole:.0f} MB"
    finally:
        server.terminate()
        server.wait(30)
