"""The PostgreSQL store when its connection or its server is lost, at any moment: what is there, and what is refused."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from tests.contract.stores import URL_FILE, calls_stored, child, write_everywhere
from tests.contract.test_store_crash import HAMMER
from tests.postgres_server import PostgresServer
from wattseal.log.port import StoreBusy, StoreFailed, StoreUnreachable
from wattseal.log.postgres import PostgresStore

pytestmark = pytest.mark.realserver


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """An empty store."""
    made = postgres.new_url()
    PostgresStore.open(made, create=True).close()
    return made


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    with closing(PostgresStore.open(url)) as opened:
        yield opened


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may kill."""
    server = PostgresServer.make()
    yield server
    server.remove()


def kept(folder: Path, url: str) -> int:
    """How many calls of write_everywhere are there, all of each."""
    (folder / URL_FILE).write_text(url)
    return calls_stored("postgres", folder)


def end(server: PostgresServer, pid: int | None) -> None:
    """End a session from outside, and wait until it is gone."""
    with server.connect() as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


# --- The connection is lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before", "inside", "at the end"])
def test_a_writer_that_is_cut_off_writes_no_more(
    postgres: PostgresServer, store: PostgresStore, url: str, tmp_path: Path, moment: str
) -> None:
    with store.write() as tx:
        write_everywhere(tx, 0)
    if moment == "before":
        end(postgres, store._session)
    with pytest.raises(psycopg.OperationalError), store.write() as tx:  # noqa: PT012 - as it ends
        tx.put_meta("a", b"1")
        if moment == "inside":
            end(postgres, store._session)
        tx.put_meta("b", b"2")
        if moment == "at the end":
            end(postgres, store._session)
    for _ in range(2):
        with pytest.raises(StoreFailed, match="until it is opened again"), store.write():
            pytest.fail("it was written")
    with store.read() as read:  # which needs no writer
        assert read.meta("a") is None
    store.close()
    with closing(PostgresStore.open(url)) as again, again.write() as tx:
        write_everywhere(tx, 1)
    assert kept(tmp_path, url) == 2


def test_the_lock_of_a_lost_writer_goes_to_another_and_the_lost_one_cannot_commit(
    postgres: PostgresServer, store: PostgresStore, url: str
) -> None:
    with pytest.raises(psycopg.OperationalError), store.write() as tx:  # noqa: PT012 - as it ends
        tx.put_meta("whose", b"the first")
        end(postgres, store._session)
        with closing(PostgresStore.open(url)) as second, second.write() as other:
            other.put_meta("whose", b"the second")
    with store.read() as read:
        assert read.meta("whose") == b"the second"


FORKS = """
import os, time
store = open_store(kind, folder)
with store.read() as read:
    read.size()
pid = os.fork()
if not pid:
    os.close(0), os.close(1)
    time.sleep(60)
    os._exit(0)
say(pid)
wait()
"""


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(url: str, tmp_path: Path) -> None:
    (tmp_path / URL_FILE).write_text(url)
    with child("postgres", tmp_path, FORKS) as process:
        pid = int(process.hears())
        try:
            with pytest.raises(StoreBusy):
                PostgresStore.open(url)
            process.kill()
            PostgresStore.open(url).close()
        finally:
            os.kill(pid, signal.SIGKILL)


class CutAtCommit:
    """Stands between a client and the server, and lets the answer to COMMIT never arrive."""

    def __init__(self, port: int) -> None:
        self._server = socket.create_connection(("127.0.0.1", port))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._is_cut = threading.Event()
        self._threads = [threading.Thread(target=self._run)]
        self._threads[0].start()

    def _run(self) -> None:
        client, _ = self._listening.accept()
        self._threads.append(threading.Thread(target=self._answers, args=(client,)))
        self._threads[1].start()
        while data := client.recv(65_536):
            if b"COMMIT\0" in data:
                self._is_cut.set()
            self._server.sendall(data)
            if self._is_cut.is_set():
                break
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_WR)
        self._threads[1].join()
        client.close()

    def _answers(self, client: socket.socket) -> None:
        while data := self._server.recv(65_536):
            if not self._is_cut.is_set():
                client.sendall(data)

    def close(self) -> None:
        for thread in list(self._threads):
            thread.join()
        self._server.close()
        self._listening.close()


def test_nothing_is_written_after_a_commit_without_an_answer(postgres: PostgresServer, url: str) -> None:
    schema = url.rpartition("=")[2]
    with closing(CutAtCommit(postgres.port)) as cut:
        store = PostgresStore.open(postgres.tcp_url(schema, port=cut.port))
        with pytest.raises(psycopg.OperationalError), store.write() as tx:
            tx.put_meta("a", b"1")
        with pytest.raises(StoreFailed), store.write():
            pytest.fail("it was written")
        store.close()
    with closing(PostgresStore.open(url)) as again, again.write() as tx:
        assert tx.meta("a") == b"1"  # it had been committed, and nobody was told


def test_a_reader_that_is_cut_off_fails_and_the_next_one_reads(
    postgres: PostgresServer, store: PostgresStore, url: str
) -> None:
    with store.write() as tx:
        write_everywhere(tx, 0)
    with pytest.raises(psycopg.OperationalError), store.read() as read:  # noqa: PT012 - as it ends
        assert read.size() == 11
        end(postgres, read._connection.info.backend_pid)  # type: ignore[attr-defined]
        read.size()
    with store.read() as read:
        assert read.size() == 11
    for idle in store._readers:
        end(postgres, idle.info.backend_pid)
    with store.read() as read:
        assert read.size() == 11


def test_the_server_is_killed_between_writes(own_server: PostgresServer, tmp_path: Path) -> None:
    url = own_server.new_url()
    with closing(PostgresStore.open(url, create=True)) as store:
        with store.write() as tx:
            write_everywhere(tx, 0)
        with store.read() as read:
            assert read.size() == 11
        own_server.kill()
        with pytest.raises(StoreUnreachable, match="cannot be reached"), store.read():
            pytest.fail("it was read")
        with pytest.raises(psycopg.OperationalError), store.write():
            pytest.fail("it was written")
        own_server.start()
        with store.read() as read:
            assert read.size() == 11
        with pytest.raises(StoreFailed), store.write():
            pytest.fail("it was written")
    assert kept(tmp_path, url) == 1


def test_a_server_killed_at_any_moment_has_whole_blocks_and_all_that_was_acknowledged(
    own_server: PostgresServer, tmp_path: Path, long: bool
) -> None:
    url = own_server.new_url()
    PostgresStore.open(url, create=True).close()
    (tmp_path / URL_FILE).write_text(url)
    for _ in range(20 if long else 4):
        with child("postgres", tmp_path, HAMMER) as process:
            said = [process.hears()]
            time.sleep(random.uniform(0, 0.2))
            own_server.kill()
            said += process.kill()
        own_server.start()
        assert calls_stored("postgres", tmp_path) - int(said[-1]) in {0, 1}
