"""What was acknowledged is there after the server was killed at any moment. (Loss of power is the store's own test.)"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ingest.kill_child import METERS
from tests.ingest.room import Room

ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path, workers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.ingest.kill_child", str(folder), str(workers)]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("lines", [1, 60, 333])
def test_nothing_acknowledged_is_lost(tmp_path: Path, lines: int, *, long: bool) -> None:
    acknowledged: dict[str, int] = {}
    for life in range(6 if long else 2):
        child = start(tmp_path, 0)
        out = child.stdout
        assert out is not None
        with out:
            # A second life begins with what is known already: it repeats the readings of the first.
            for _ in range(lines * (life + 1)):
                outcome, digest, said = out.readline().split()
                assert outcome in {"admitted", "duplicate"}
                assert acknowledged.setdefault(digest, int(said)) == int(said)
            child.send_signal(signal.SIGKILL)
        child.wait()
        room = Room(tmp_path)
        try:
            with room.store.read() as read:
                stored = {
                    row.digest.hex(): row
                    for chain in range(1, METERS + 1)
                    for row in read.readings_after(chain, -1, -1)
                }
                for digest, index in acknowledged.items():
                    assert digest in stored
                    if index >= 0:
                        assert read.entries(index, 1)[0].end_slot.hex() == digest
            room.check()
        finally:
            room.close()


def test_workers_end_with_their_server(tmp_path: Path) -> None:
    child = start(tmp_path, 2)
    out = child.stdout
    assert out is not None
    with out:
        pids = [int(pid) for pid in out.readline().split()[1:]]
        child.send_signal(signal.SIGKILL)
    child.wait()
    assert len(pids) == 2
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
