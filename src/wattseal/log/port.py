"""The store: what the log, the gate and the API ask of a database, and what it promises them.

Promises, held by one contract suite over every implementation (tests/contract/test_store.py):
1. When the `with store.write()` block ends without an error, all of it is durable: it survives the loss of power. When
   it ends with one, none of it is there. A method that failed half-way fails the whole block, also if its error was
   caught inside.
2. There is one writer at a time; a second `write()` waits, and another process that tries to write is refused
   (`StoreBusy`), when it opens the store or when it writes.
3. `with store.read()` sees one committed state from beginning to end and never waits for the writer.
4. Nothing is updated or deleted but what its method names: a setting, a tile's content, the state of a reading, of an
   attestation, of a token; a batch's checkpoint; a rollup; a bounded inbox forgets its oldest.
5. An error of the device or the file system is raised as it is. The caller halts; it does not try again: every later
   `write()` is refused (`StoreFailed`), because after a failed fsync nobody can tell what is on the disk.
6. Where a `read()` cannot begin because the process or the system has no file descriptor left, the error is an OSError
   with EMFILE or ENFILE. That says nothing about the device, and trying again is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from wattseal.log.rollup_port import ReadRollups, WriteRollups

ENTRY_TILES = -1
"""The level under which entry tiles are stored: the entries' 32 bytes one after the other, 256 a tile."""

MOVED_TO = "moved_to"
"""The setting of a store that was left: where the log goes on (log/move.py)."""

BOUNDARY, DETAIL, HELD, LATE = "boundary", "detail", "held", "late"
SET_ASIDE, SET_ASIDE_IN_CHAIN = "set-aside", "set-aside-in-chain"
"""States of a reading. `set-aside-in-chain`: quarantined, but its digest satisfies the next prev (docs/spec/reading.md
§4.2)."""


class StoreBusy(RuntimeError):
    """Another process writes to this store."""


class StoreConflict(ValueError):
    """A row that may stand only once is there already, or one that it names is not there. The block is undone."""


class StoreFailed(RuntimeError):
    """An error of the device left in doubt what is stored: nothing more is written until the store is opened again."""


class StoreUnreachable(ConnectionError):
    """The database's server does not answer. What was committed is there when it does again."""


class StoreUnreadable(RuntimeError):
    """What is there is no store, or one of another version of Wattseal; the message says which and what to do."""


class EntryRow(NamedTuple):
    """One entry. Energies are in mWh, money in msat.

    The columns after `received_s` are of records and quarantined readings, and None elsewhere.
    """

    idx: int
    entry_id: bytes
    schema: str
    secret_no: int
    """0: public, salts are zero; else a row of the secrets."""
    start_slot: bytes
    end_slot: bytes
    body: bytes
    received_s: int
    meter_no: int | None = None
    kind: str | None = None
    start_s: int | None = None
    end_s: int | None = None
    energy_mwh: int | None = None
    export_mwh: int | None = None
    price_msat: int | None = None
    amount_msat: int | None = None
    status: str | None = None


class ReadingRow(NamedTuple):
    """One stored reading.

    `bridged`: a reading is missing before this one. `chain_no` is None where the meter is not registered.
    """

    chain_no: int | None
    epoch: int
    seq: int
    time_s: int
    import_mwh: int
    export_mwh: int
    digest: bytes
    cose: bytes
    received_s: int
    state: str
    bridged: bool


class MeterRow(NamedTuple):
    """A meter's number, dense and never reused, and its path parts."""

    meter_no: int
    site_id: str
    iot_device_id: str
    meter_id: str


class ChainRow(NamedTuple):
    """One (kid, meter): a chain of readings."""

    chain_no: int
    kid: bytes
    meter_no: int


class SecretRow(NamedTuple):
    """The secret of a (meter, tenancy); meter_no None: of the log itself. to_s is exclusive, None: still running."""

    secret_no: int
    meter_no: int | None
    from_s: int
    to_s: int | None
    secret: bytes


class BatchRow(NamedTuple):
    """A batch; checkpoint is the signed note, None in the moment between its batch entry and its signature."""

    number: int
    first_idx: int
    last_idx: int
    closed_s: int
    root: bytes
    checkpoint: str | None


class AttestationRow(NamedTuple):
    """One piece of evidence that a batch's checkpoint existed by some time, or the attempt to get it."""

    attestation_no: int
    batch: int
    digest: bytes
    kind: str
    chain: str
    state: str
    reference: str | None
    """Transaction id in display order, or a file name."""
    height: int | None
    block_hash: bytes | None
    fee_sat: int | None
    simulated: bool
    evidence: str | None
    """JSON as docs/spec/anchor.md has it."""
    created_s: int
    changed_s: int


class TokenRow(NamedTuple):
    """An access token: only its SHA-256 is kept.

    `scopes` are words; `subject` limits a tenant to meter paths (newline-separated prefixes).
    """

    token_hash: bytes
    label: str
    scopes: str
    subject: str
    created_s: int
    expires_s: int | None
    revoked_s: int | None


class InboxRow(NamedTuple):
    """Bytes that were refused without a token."""

    received_s: int
    reason: str
    source: str
    data: bytes


class RecordFilter(NamedTuple):
    """Which records: None means all. Times are in Unix seconds, half-open over ts_start.

    `after_idx` is the cursor: the last index of the page before. With `newest_first` lower indexes follow it, and -1
    begins at the newest.
    """

    site_id: str | None = None
    iot_device_id: str | None = None
    meter_id: str | None = None
    from_s: int | None = None
    to_s: int | None = None
    status: str | None = None
    meter_nos: frozenset[int] | None = None
    """Only these meters: what a tenant's token may see."""
    after_idx: int = -1
    newest_first: bool = False
    limit: int = 100


class Read(ReadRollups, Protocol):
    """One committed state."""

    def meta(self, key: str) -> bytes | None:
        """A setting that belongs to the log and must travel with it."""

    def size(self) -> int:
        """Number of entries."""

    def tile(self, level: int, n: int) -> bytes | None:
        """All hashes so far of a tile (level ENTRY_TILES: entries); None where nothing is."""

    def entries(self, first: int, count: int) -> Sequence[EntryRow]:
        """Entries first to first + count − 1 in index order, as far as they are there."""

    def entry_by_id(self, entry_id: bytes) -> EntryRow | None:
        """The entry with that id."""

    def entries_of_schema(self, schema: str, after_idx: int = -1, limit: int = 100_000) -> Sequence[EntryRow]:
        """Entries other than records, by schema, in index order. ValueError for the schema of records."""

    def records(self, chosen: RecordFilter) -> Sequence[EntryRow]:
        """Records in index order (or newest first). Costs in proportion to the answer, not to the log."""

    def records_of_meter(self, meter_no: int, from_s: int, to_s: int) -> Sequence[EntryRow]:
        """Records of a meter that overlap [from_s, to_s) and are not superseded, in order of ts_start.

        Costs in proportion to the answer.
        """

    def superseded(self, idxs: Sequence[int]) -> dict[int, int]:
        """Those of the records at these indexes that are superseded, each with the index of its supersession entry."""

    def disclosed_totals(
        self, first_idx: int, last_idx: int, meter_nos: frozenset[int]
    ) -> Sequence[tuple[int, int, int]]:
        """(meter_no, Σ energy_mwh, Σ export_mwh) of those meters' records in an index range, its ends included.

        From columns; exact, also beyond 64 bits; meters without a record there are left out.
        """

    def meters(self) -> Sequence[MeterRow]:
        """All meters that were ever registered."""

    def chains(self) -> Sequence[ChainRow]:
        """All chains."""

    def secrets(self) -> Sequence[SecretRow]:
        """All secrets."""

    def reading(self, chain_no: int, epoch: int, seq: int) -> Sequence[ReadingRow]:
        """The stored readings with that place in a chain, as they came: one, or more after an equivocation."""

    def readings_after(self, chain_no: int, epoch: int, seq: int, limit: int = 100_000) -> Sequence[ReadingRow]:
        """Readings of a chain after that place, in (epoch, seq) order."""

    def chain_tail(self, chain_no: int) -> Sequence[ReadingRow]:
        """The last boundary reading of a chain and what follows it in (epoch, seq) order: enough to go on with it.

        All of a chain that has no boundary.
        """

    def unchained_readings(self, skip: int = 0, limit: int = 100_000) -> Sequence[ReadingRow]:
        """Readings of meters that were not registered, in the order in which they came, without the first `skip`."""

    def set_aside_by_digest(self, digest: bytes) -> ReadingRow | None:
        """The first set-aside reading with that payload digest, of whatever chain or of none."""

    def raw(self, idx: int) -> tuple[bytes, str] | None:
        """The bytes reported for the record at that index, and the gateway's note; or a statement's (b"", note)."""

    def batches(self, after: int = -1, limit: int = 100, *, newest_first: bool = False) -> Sequence[BatchRow]:
        """Batches by number; with newest_first, `after` is an exclusive upper bound (-1: from the newest)."""

    def batch(self, number: int) -> BatchRow | None:
        """One batch."""

    def batch_of_index(self, idx: int) -> BatchRow | None:
        """The batch that holds that entry, if it is closed; its checkpoint may still be about to be signed."""

    def attestations(self, batch: int | None = None, state: str | None = None) -> Sequence[AttestationRow]:
        """Attestations of a batch, or in a state, or both, or all; oldest first."""

    def blocks(self) -> Sequence[bytes]:
        """The raw blocks of the simulated chain, by height from 0."""

    def token(self, token_hash: bytes) -> TokenRow | None:
        """A token by its hash."""

    def tokens(self) -> Sequence[TokenRow]:
        """All tokens."""

    def inbox(self, limit: int = 100) -> Sequence[InboxRow]:
        """Refused bytes, the newest first."""

    def check_indexes(self) -> Iterable[str]:
        """What is wrong with tables that only this store's own queries use, a sentence each; for fsck.

        Nothing where they hold exactly what the rows of entries and readings lead to, or where there are none.
        """

    def counts(self) -> dict[str, int]:
        """Rows by table name, without counting those of the large ones; for health and fsck."""


class Write(Read, WriteRollups, Protocol):
    """One transaction of the writer; it reads what it has written.

    Numbers that are given out are dense, begin at 1 and are never used again. All methods that add raise StoreConflict
    for what is there already, or for a meter or batch that is not there.
    """

    def put_meta(self, key: str, value: bytes) -> None:
        """Set or replace a setting."""

    def add_entries(self, rows: Sequence[EntryRow]) -> None:
        """Append entries. ValueError, with nothing written, unless their indexes go on where the log ends."""

    def mark_superseded(self, rows: Sequence[tuple[int, int]]) -> None:
        """(idx, by_idx): what the supersession entry by_idx names stands for the record idx from now on; once for each.

        To be called in the transaction that appends by_idx: sums over entries in their order count it there.
        """

    def put_tiles(self, tiles: Iterable[tuple[int, int, bytes]]) -> None:
        """Set or replace (level, n, all hashes so far)."""

    def add_meter(self, site_id: str, iot_device_id: str, meter_id: str) -> int:
        """Add a meter and return its number."""

    def add_chain(self, kid: bytes, meter_no: int) -> int:
        """Add the chain of a key and a meter and return its number."""

    def add_secret(self, meter_no: int | None, from_s: int, to_s: int | None, secret: bytes) -> int:
        """Add a secret and return its number."""

    def add_readings(self, rows: Sequence[ReadingRow]) -> None:
        """Add readings, also several at one place of a chain."""

    def set_reading_state(
        self, digest: bytes, chain_no: int, epoch: int, seq: int, state: str, *, bridged: bool
    ) -> None:
        """Change what became of the reading with that digest at that place. LookupError if there is none."""

    def add_raw(self, rows: Sequence[tuple[int, bytes, str]]) -> None:
        """Keep (index, bytes reported, gateway's note) of entries; once for each."""

    def add_batch(self, row: BatchRow) -> None:
        """Add a batch."""

    def set_checkpoint(self, number: int, checkpoint: str) -> None:
        """Set a batch's checkpoint, or replace it by itself with more signatures. LookupError if there is none."""

    def add_attestation(self, row: AttestationRow) -> int:
        """Add an attestation under the next number, which stands in for the row's own, and return that."""

    def set_attestation(self, row: AttestationRow) -> None:
        """Replace what became of an attestation: state, reference, height, block hash, fee, evidence, changed_s.

        LookupError if there is none with that number and the row's batch, digest, kind, chain, simulated and created_s.
        """

    def put_blocks(self, first_height: int, blocks: Sequence[bytes]) -> None:
        """Append blocks to the simulated chain. ValueError, with nothing written, unless they go on where it ends."""

    def add_token(self, row: TokenRow) -> None:
        """Add a token."""

    def revoke_token(self, token_hash: bytes, revoked_s: int) -> None:
        """Say from when on a token is no longer good. LookupError if there is none."""

    def add_inbox(self, row: InboxRow, *, keep: int) -> None:
        """Add refused bytes, and forget all but the newest `keep`."""


class Store(Protocol):
    """A database that keeps the promises above."""

    def read(self) -> AbstractContextManager[Read]:
        """The newest committed state. Any number of threads may read at once; one of these serves one thread.

        Raises StoreUnreachable, and errors of the device as they are.
        """

    def write(self) -> AbstractContextManager[Write]:
        """The writer's transaction; committed durably at the end of the block. Not to be nested.

        Raises StoreBusy, StoreFailed, and errors of the device as they are.
        """

    def close(self) -> None:
        """Let go of files and connections. Waits for the writer."""
