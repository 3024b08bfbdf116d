"""Large requests of strangers keep neither those with a token nor other strangers out."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.api.live import Server, bad
from wattseal.api.heavy_work import HeavyWork
from wattseal.api.problem import Problem

A, B = "192.0.2.1", "192.0.2.2"


def test_a_token_has_slots_of_its_own() -> None:
    work = HeavyWork(1, 100)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(work.turn(A, has_token=False))
        begun = time.monotonic()
        with pytest.raises(Problem) as busy, work.turn(B, has_token=False):
            pass
        assert 1.5 < time.monotonic() - begun < 10
        assert busy.value.response().headers["Retry-After"] == "2"
        with work.turn(A, has_token=True), work.turn(A, has_token=True):
            pass
    with work.turn(B, has_token=False):
        pass


def test_whoever_waits_gets_in_when_another_is_done() -> None:
    work = HeavyWork(1, 100)
    done = threading.Event()

    def holding() -> None:
        with work.turn(A, has_token=False):
            done.wait(10)

    def waiting() -> bool:
        try:
            with work.turn(B, has_token=False):
                return True
        except Problem:
            return False

    with ThreadPoolExecutor(16) as pool:
        held = [pool.submit(holding) for _ in range(2)]
        time.sleep(0.2)
        come = [pool.submit(waiting) for _ in range(10)]
        time.sleep(0.2)
        done.set()
        # Six may wait; the others are told at once, so that they hold no thread.
        assert sorted(one.result() for one in come) == [False] * 4 + [True] * 6
        for one in held:
            one.result()


def test_a_stranger_has_a_rate(tmp_path: Path) -> None:
    with Server(tmp_path, anonymous_large_burst=3, anonymous_large_per_s=1) as server:
        path = f"/api/v1/batches/{server.flush()['id']}/export?format=zip"
        codes = [server.as_nobody.get(path).status_code for _ in range(3)]
        assert codes == [200, 200, 200]
        problem = server.as_nobody.get(path)
        assert bad(problem, 429)["type"] == "urn:wattseal:problem:rate"
        assert int(problem.headers["Retry-After"]) >= 1
        assert [server.as_operator.get(path).status_code for _ in range(5)] == [200] * 5
