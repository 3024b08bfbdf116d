"""Puts a site together. The only file that names adapters: SQLite, PostgreSQL, and the simulated chain.

    store ─ guard ─ sequencer ─ ingest ─ attestor ─ services, for the server (server.py) or for a command
Each is opened after the one before and closed before it, also when opening fails half-way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ParamSpec, TypeVar

import structlog
from anyio.from_thread import start_blocking_portal

from wattseal.anchor.attest import Attestor
from wattseal.anchor.simulated_store import stored_chain
from wattseal.api.access_token import TokenBook, mint
from wattseal.api.connections import ConnectionLimits
from wattseal.api.health import gauges
from wattseal.api.heavy_work import HeavyWork
from wattseal.api.metrics import Metrics
from wattseal.api.services import Services
from wattseal.api.source_rate import SourceRate
from wattseal.api.watch import Watch
from wattseal.config import FILE_NAME, Settings, settings_text, write_settings
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.refusal import Refusal
from wattseal.core.registry import Signer
from wattseal.ingest.ingest import Ingest
from wattseal.ingest.mqtt import Receiver
from wattseal.ingest.settings import Settings as IngestSettings
from wattseal.ingest.writer import NS, ClockNs
from wattseal.log.database_url import DatabaseUrl
from wattseal.log.durable import make_folder
from wattseal.log.guard import Guard
from wattseal.log.key_file import make_key_file, read_key_file
from wattseal.log.move import Source, Target
from wattseal.log.port import Store, Write
from wattseal.log.sequencer import Sequencer
from wattseal.log.sqlite import SqliteStore
from wattseal.log.sqlite_file import migrate

P = ParamSpec("P")
T = TypeVar("T")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Site:
    """An open site. `services` is what the HTTP application works with."""

    settings: Settings
    store: Store
    sequencer: Sequencer
    ingest: Ingest
    attestor: Attestor | None
    operator: Ed25519Signer
    services: Services


# --- Making a site ----------------------------------------------------------------------------------------------------


def make_site(settings: Settings) -> str:
    """Make data directory, settings file, keys and store for a new log; returns an operator's token, shown this once.

    Refusal if there is a site already: a log's key and history are never overwritten.
    """
    folder = settings.folder
    place = settings.store_place
    for path in (folder / FILE_NAME, settings.log_key_path, place, settings.guard_path):
        if isinstance(path, Path) and path.exists():
            raise Refusal("data_dir", f"{path} exists: there is a site already")
    if isinstance(place, DatabaseUrl):
        with suppress(FileNotFoundError), closing(open_store(place, read_only=True)) as store, store.read() as read:
            if any(read.counts().values()):
                raise Refusal("database", f"{place} holds a store already")
    make_folder(folder)
    token, row = mint("first operator", ["operator"], [], int(time.time()))
    # The store first: a server may refuse it, and then nothing stands in the way of trying again.
    with closing(open_store(place, create=True)) as store:
        for path, name in _keys(settings).items():
            make_key_file(path, name)
        with store.write() as tx:
            tx.add_token(row)
    # Last: whoever finds the file finds a whole site.
    write_settings(folder / FILE_NAME, settings_text(settings))
    return token


def _keys(settings: Settings) -> dict[Path, str]:
    """The key files, and the names of their keys."""
    return {
        settings.log_key_path: settings.origin,
        settings.operator_key_path: f"{settings.origin}/operator",
        settings.gateway_key_path: f"{settings.origin}/gateway",
    }


def open_store(place: Path | DatabaseUrl, *, create: bool = False, read_only: bool = False) -> Store:
    """The store at that place. Raises as SqliteStore.open and PostgresStore.open; Refusal without the driver."""
    if isinstance(place, Path):
        return SqliteStore.open(place, create=create, read_only=read_only)
    opened: Store = _postgres().PostgresStore.open(place, create=create, read_only=read_only)
    return opened


def _postgres() -> ModuleType:
    try:
        from wattseal.log import postgres  # noqa: PLC0415 - its driver is an extra of the package
    except ImportError as error:
        raise Refusal("database", f"needs PostgreSQL's driver: pip install 'wattseal[postgres]' ({error})") from None
    return postgres


# --- Opening a site ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def run_site(
    settings: Settings, *, workers: int | None = None, clock_ns: ClockNs = time.time_ns
) -> AsyncIterator[Site]:
    """Open a site for writing, in the running event loop; `workers` beats the settings', 0: none.

    The clock gives Unix nanoseconds; one of one's own is for demonstrations and tests.

    Raises Halted where the log may not go on (docs/spec/log.md §4), GuardBusy or StoreBusy where it runs already,
    FileNotFoundError where there is no site.
    """
    async with AsyncExitStack() as stack:
        store = stack.enter_context(closing(open_store(settings.store_place)))
        guard = stack.enter_context(Guard(settings.guard_path))
        log_key, operator, gateway = map(read_key_file, _keys(settings))
        now = clock_ns() // NS
        sequencer = await asyncio.to_thread(
            Sequencer.open, store, origin=settings.origin, signer=log_key, guard=guard, now=now
        )
        ingest = Ingest.start(
            store,
            sequencer,
            workers=settings.workers if workers is None else workers,
            gateway=gateway,
            clock_ns=clock_ns,
            settings=IngestSettings(
                batch_max_s=settings.batch_max_s,
                batch_max_entries=settings.batch_max_entries,
                gap_hold_s=settings.gap_hold_s,
                capacity=settings.queue_max,
                inbox_keep=settings.inbox_keep,
            ),
        )
        stack.push_async_callback(ingest.close)
        await _register_signers(ingest, settings, (log_key, operator, gateway), now)
        attestor = None
        if settings.chain == "simulated":
            commit = _CommitFromThreads(ingest)
            chain = await asyncio.to_thread(stored_chain, store, commit, now)
            attestor = Attestor(chain, store, commit, chain)
        metrics = Metrics()
        watch = Watch(metrics, now)
        mqtt = Receiver(ingest) if settings.mqtt_url or settings.mqtt_embedded else None
        services = Services(
            settings=settings,
            store=store,
            sequencer=sequencer,
            ingest=ingest,
            attestor=attestor,
            operator=operator,
            tokens=_tokens(store),
            rate=SourceRate(settings.anonymous_per_s, settings.anonymous_burst),
            metrics=metrics,
            watch=watch,
            heavy_work=HeavyWork(settings.anonymous_large_per_s, settings.anonymous_large_burst),
            connections=ConnectionLimits(
                settings.max_connections, settings.max_connections_per_address, settings.trusted_proxies
            ),
            mqtt=mqtt,
        )
        metrics.watch(lambda: gauges(services))
        yield Site(settings, store, sequencer, ingest, attestor, operator, services)


async def _register_signers(
    ingest: Ingest, settings: Settings, keys: tuple[Ed25519Signer, Ed25519Signer, Ed25519Signer], now: int
) -> None:
    """Enter the site's own keys into the registry, if they are not there: proofs of statements lead to them."""
    for role, key in zip(("log", "operator", "gateway"), keys, strict=True):
        signer = Signer(key.verifier.name, role, key.verifier.vkey, now, simulated=settings.demo)
        if signer.registry_name not in ingest.registry.signers:

            def register(tx: Write, now: int, signer: Signer = signer) -> object:
                return ingest.enrolment.register_signer(tx, now, signer)

            await ingest.call(register)


class _CommitFromThreads:
    """`Ingest.call` for worker threads: returns when the job is durable."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._loop = asyncio.get_running_loop()

    def __call__(self, job: Callable[[Write, int], T], /) -> T:
        return asyncio.run_coroutine_threadsafe(self._ingest.call(job), self._loop).result()


def _tokens(store: Store) -> TokenBook:
    with store.read() as read:
        return TokenBook(read.tokens())


# --- For commands without a server ------------------------------------------------------------------------------------


class OpenSite:
    """A site that a command works on; `run` calls what is asynchronous."""

    def __init__(self, site: Site, run: Callable[..., object]) -> None:
        self.site = site
        self._run = run

    def run(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for an asynchronous function, such as `site.ingest.flush`."""

        async def call() -> T:
            return await function(*args, **kwargs)

        return self._run(call)  # type: ignore[return-value]  # the portal gives back what the call gave

    def commit(self, job: Callable[[Write, int], T]) -> T:
        """Run job(tx, now) in the writer's transaction."""
        return self.run(self.site.ingest.call, job)


@contextmanager
def open_site(settings: Settings, *, workers: int = 0, clock_ns: ClockNs = time.time_ns) -> Iterator[OpenSite]:
    """Open a site for a command, while no server runs on it; raises as `run_site` does."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(run_site(settings, workers=workers, clock_ns=clock_ns)) as site,
    ):
        yield OpenSite(site, portal.call)


@contextmanager
def read_store(settings: Settings) -> Iterator[Store]:
    """The store to read from, also while a server runs on it."""
    with closing(open_store(settings.store_place, read_only=True)) as store:
        yield store


@contextmanager
def write_store(settings: Settings) -> Iterator[Store]:
    """The store alone, for mending what keeps the log from being opened. Raises StoreBusy while a server runs."""
    with closing(open_store(settings.store_place)) as store:
        yield store


@contextmanager
def stores_to_move(settings: Settings, to: DatabaseUrl) -> Iterator[tuple[Source, Target]]:
    """The site's store, held so that nobody writes it, and the store at `to`, made if it is not there."""
    place = settings.store_place
    if isinstance(place, DatabaseUrl):
        raise Refusal("database", f"is on a server already: {place}")
    with (
        closing(SqliteStore.open(place)) as source,
        closing(_postgres().PostgresStore.open(to, create=True)) as target,
    ):
        yield source, target


def upgrade_store(settings: Settings) -> None:
    """Bring a store of an older version of Wattseal to this one, while nobody writes it."""
    place = settings.store_place
    if isinstance(place, Path):
        migrate(place)
    else:
        _postgres().migrate(place)
