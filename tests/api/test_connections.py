"""A stranger's connections: so many, from one address so many, and not for ever without a request."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.api.live import Device, Server, good
from wattseal.api.connections import ConnectionLimits


def address(server: Server) -> tuple[str, int]:
    host, port = server.url.removeprefix("http://").rsplit(":", 1)
    return host, int(port)


@contextmanager
def connections(server: Server, count: int, sends: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections that send this and then nothing."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection(address(server), timeout=10))
            one.sendall(sends)
            opened.append(one)
        yield opened


def ended(connection: socket.socket) -> bytes:
    """What the server said before it closed the connection."""
    said = b""
    while part := connection.recv(4_096):
        said += part
    return said


def answered(connection: socket.socket) -> None:
    """The whole of one answer, which is good."""
    said = b""
    while not said.endswith(b"}"):
        said += connection.recv(65_536)
    assert said.startswith(b"HTTP/1.1 200 ")


def test_idle_connections_do_not_stop_the_log(tmp_path: Path) -> None:
    """The server raises its own limit of open files, and turns away what goes beyond its limit of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        server = Server(tmp_path, max_connections=300, max_connections_per_address=1_000, batch_max_s=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1_024), hard))
    with server:
        device = Device("site", "d")
        server.enrol(device)
        server.send(device.next(), device.next())
        with connections(server, 600) as held:
            # Sent over the connection that was open before.
            assert server.flush()["id"] >= 0
            refused = ended(held[-1])
            assert refused.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 5" in refused
            server.send(device.next())
            assert good(server.as_nobody.get("/health"))["status"] != "halted"
        assert server.flush()["id"] >= 1


def test_an_address_has_a_share(tmp_path: Path) -> None:
    with Server(tmp_path, max_connections_per_address=5) as server:
        with connections(server, 6) as held:
            assert ended(held[-1]).startswith(b"HTTP/1.1 503 ")
        assert good(server.as_nobody.get("/health"))["status"] == "ok"


def test_an_unfinished_head_ends_and_a_kept_connection_stays(tmp_path: Path) -> None:
    with Server(tmp_path, head_timeout_s=1) as server:
        good(server.as_nobody.get("/health"))
        with connections(server, 3, b"GET /health HTTP/1.1\r\nHost: x\r\n") as slow, connections(server, 1) as silent:
            begun = time.monotonic()
            for _ in range(8):  # a byte now and then is no head
                time.sleep(0.1)
                slow[0].sendall(b"X")
            for one in (*slow, *silent):
                assert ended(one).startswith(b"HTTP/1.1 408 ")
            assert time.monotonic() - begun < 5
        with connections(server, 1, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n") as kept:
            answered(kept[0])
            time.sleep(1.5)  # idle between two requests
            kept[0].sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
            time.sleep(0.5)
            kept[0].sendall(b"\r\n")
            answered(kept[0])
            kept[0].sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")  # and a second head has a time of its own
            assert ended(kept[0]).startswith(b"HTTP/1.1 408 ")


def test_a_body_may_take_longer_than_a_head(tmp_path: Path) -> None:
    head = b"POST /api/v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/cose\r\nContent-Length: 3\r\n\r\n"
    with Server(tmp_path, head_timeout_s=1) as server, connections(server, 1, head) as slow:
        time.sleep(1.5)
        slow[0].sendall(b"abc")
        assert slow[0].recv(4_096).startswith(b"HTTP/1.1 400 ")


def test_counting() -> None:
    limits = ConnectionLimits(4, 2, "192.0.2.7, 10.0.0.0/8, a-name")
    assert [limits.enter("198.51.100.1") for _ in range(3)] == ["198.51.100.1", "198.51.100.1", None]
    assert limits.enter("10.1.2.3") == limits.enter("192.0.2.7") == ""
    assert limits.enter("198.51.100.2") is None
    assert (limits.open, limits.refused) == (4, 2)
    limits.leave("198.51.100.1")
    # One subscriber has one /64 network.
    assert limits.enter("2001:db8::1") == "2001:db8::/64"
    for source in ("", "", "198.51.100.1", "2001:db8::/64"):
        limits.leave(source)
    assert limits.open == 0
    assert [ConnectionLimits(9, 1, "*").enter("198.51.100.1") for _ in range(1)] == [""]


@pytest.mark.parametrize(
    ("soft", "hard", "printed"),
    [
        (256, 4_096, "1000 1520"),
        (256, 1_024, "504 1024"),
        (2_000, 2_000, "1000 2000"),
    ],
)
def test_room_for_connections(soft: int, hard: int, printed: str) -> None:
    """1,000 connections and one worker need 1,520 files."""
    run = room(soft, hard)
    assert run.stdout.strip() == printed, run.stderr


def test_no_room_for_any() -> None:
    assert "raise the limit (`ulimit -n`, LimitNOFILE=)" in room(200, 400).stderr


def room(soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    program = (
        f"import resource as r; r.setrlimit(r.RLIMIT_NOFILE, ({soft}, {hard}));"
        "from wattseal.api.open_files import make_room; print(make_room(1000, 1), r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
