"""The sequencer: it gives entries their index, keeps the tree, and signs (docs/spec/log.md §3, §4).

Rules that this file keeps:
1. The store is the authority. Memory is only ever ahead of it at the end of `write()`, and whatever fails there halts
   the sequencer: a new one reads all of it again.
2. A checkpoint is signed only over what was read again from the store and proved to extend the guard's checkpoint. The
   guard moves before the checkpoint is stored, so nothing is ever served that the guard does not know of.
3. Closing a batch and opening after a crash run the same steps (`_sign`); each step finds out whether it was done.
4. It is used by one thread at a time.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple, Self

from wattseal.core.batch import Batch
from wattseal.core.document import MAX_BODY_BYTES
from wattseal.core.entry import EMPTY_SLOTS, PUBLIC, Salts, Slots, entry_hash
from wattseal.core.merkle import HASH_BYTES, leaf_hashes
from wattseal.core.note import Note
from wattseal.core.note_key import Ed25519Signer, Verifier
from wattseal.core.refusal import Refusal
from wattseal.core.tiles import WIDTH, Tile, TileEdge
from wattseal.log.continuity import checkpoint_to_sign, find_end, opened
from wattseal.log.guard import Guard
from wattseal.log.ids import new_ids
from wattseal.log.port import ENTRY_TILES, MOVED_TO, BatchRow, EntryRow, Read, Store, StoreBusy, StoreConflict, Write
from wattseal.log.salts import NO_SECRET
from wattseal.log.tail import Damaged, last_bundle, tile_reader
from wattseal.log.totals import totals_of

BATCH_SCHEMA: Final = "batch-1"

_CALLERS_ERRORS: Final = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""A job that fails with one of these is undone and the log goes on. Anything else may be the disk: then it halts."""


_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE})
"""Only opening a file fails so; where `_sign` opens files, nothing of the step was done yet."""


class Halted(RuntimeError):
    """Nothing is signed or written any more by this sequencer; the message says why and what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the log is halted and signs nothing: {reason}. What to do: docs/operate/recovery.md")
        self.reason = reason


class Starved(RuntimeError):
    """The system gave no file descriptor to sign the batch with. Nothing was begun, and the next step tries again.

    Until then nothing is written: the checkpoint must be over exactly what the batch entry closed.
    """


class Draft(NamedTuple):
    """An entry before it has an index: EntryRow's columns, with the salts that go into its hash."""

    entry_id: bytes
    schema: str
    secret_no: int
    salts: Salts
    slots: Slots
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


class RegistryCommitment(NamedTuple):
    """The registry map as a batch commits to it, and which meters (by number) are disclosed, which are producers."""

    size: int
    root: bytes
    disclosed: frozenset[int]
    producers: frozenset[int]


class Sequencer:
    """The one writer of a log. Make it with `open`; put entries in with `write` and `append`."""

    def __init__(self, store: Store, guard: Guard, signer: Ed25519Signer) -> None:
        """For `open` alone."""
        self._store = store
        self._guard = guard
        self._signer = signer
        self._edge = TileEdge()
        self._bundle = b""
        self._entries: list[bytes] = []
        """Entries of the running transaction that are not in the tree yet: tiles are made once, at its end."""
        self._last: BatchRow | None = None
        self._tx: Write | None = None
        self._unsigned: BatchRow | None = None
        """A batch whose entry is durable, and for whose signature there was no file descriptor."""
        self._halted: str | None = None
        self.clock_behind_s = 0
        """How much later than the opening the last batch was closed. More than minutes: look at the clock."""

    @classmethod
    def open(cls, store: Store, *, origin: str, signer: Ed25519Signer, guard: Guard, now: int) -> Self:
        """Open the log, finishing what a crash left half done (docs/spec/log.md §4). `now` in Unix seconds.

        Raises Halted where the store and the guard do not fit together or the store is damaged.
        """
        self = cls(store, guard, signer)
        if signer.verifier.name != origin:
            raise Halted(f"the key is named {signer.verifier.name}, and the log {origin}")
        with self._halting("the log could not be opened"):
            held = guard.read()
            with store.read() as read:
                if (place := read.meta(MOVED_TO)) is not None:
                    raise Halted(f"this store was moved to {place.decode()}, where the log goes on")
                end = find_end(read, held, self.verifier)
                self._bundle = last_bundle(read, end.edge.size)
            self._edge, self._last = end.edge, end.last
            if end.pending is not None and end.is_signed and held is not None:
                self._store_checkpoint(end.pending, held)
            elif end.pending is not None:
                self._sign(end.pending)
        if self._last is not None:
            self.clock_behind_s = max(self._last.closed_s - now, 0)
        return self

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.verifier.name

    @property
    def verifier(self) -> Verifier:
        """The key that checkpoints are checked with."""
        return self._signer.verifier

    @property
    def halted(self) -> str | None:
        """Why the log is halted, None while it runs."""
        return self._halted

    @property
    def is_starved(self) -> bool:
        """Whether a batch waits for a file descriptor to be signed with."""
        return self._unsigned is not None

    @property
    def next_idx(self) -> int:
        """The index that the next entry will get."""
        return self._edge.size + len(self._entries)

    def checkpoint(self) -> str | None:
        """The last signed checkpoint, as it was stored."""
        return None if self._last is None else self._last.checkpoint

    # --- Entries ------------------------------------------------------------------------------------------------------

    @contextmanager
    def write(self) -> Iterator[Write]:
        """The writer's transaction of the store, for `append` and for anything else that belongs to it.

        What was appended is durable, and may be acknowledged, when the block has ended without an error. If the block
        raises an ordinary error (ValueError with Refusal, LookupError, TypeError, AttributeError, ArithmeticError), all
        of it is undone and the log goes on. On any other error, and on any error of the commit, the log halts and
        Halted is raised. Not to be nested. Raises StoreBusy, Starved.
        """
        self._check_running()
        if self._tx is not None:
            raise RuntimeError("write() is already running")
        self._sign_what_waits()
        undone: BaseException | None = None
        try:
            with self._store.write() as tx:
                self._tx = tx
                try:
                    yield tx
                except BaseException as error:
                    undone = error
                    raise
                self._grow(tx)
        except Exception as error:
            is_callers = error is undone and isinstance(error, _CALLERS_ERRORS)
            is_refused = self._tx is None and isinstance(error, StoreBusy)
            if (is_callers or is_refused) and self._halted is None:
                raise
            raise self._halt(f"a transaction failed: {error!r}") from error
        except BaseException as error:
            self._halt(f"a transaction was interrupted: {error!r}")
            raise
        finally:
            self._tx = None
            self._entries = []

    def append(self, tx: Write, drafts: Sequence[Draft]) -> int:
        """Write entries into `tx`, which must come from `write()`, and return the index of the first.

        They have these indexes if the block ends well; until then nobody may be told. Refuses a body that is empty or
        too long, having written nothing. Raises StoreConflict for an id that is there already: let it end the block.
        Any other error from the store halts.
        """
        self._check_transaction(tx)
        first = self.next_idx
        entries, rows = [], []
        make = EntryRow._make
        for index, draft in enumerate(drafts, first):
            slots, body = draft.slots, draft.body
            if not 0 < len(body) <= MAX_BODY_BYTES:
                raise Refusal("body", f"has 1 to {MAX_BODY_BYTES} bytes")
            entries.append(entry_hash(draft.salts, body, slots))
            # The columns of both after the slots are the same: body, received_s, and those of records.
            rows.append(make((index, *draft[:3], slots.start, slots.end, *draft[5:])))
        # A conflict is no fault of the device; the store undoes the transaction, and no tile was made.
        with self._halting("entries could not be written", StoreConflict):
            if not self._entries and tx.size() != first:
                # Somebody else wrote rows: their tiles would be missing, or ours would overwrite them.
                raise Damaged(first, f"the store holds {tx.size()} entries, and the tree has {first}")
            tx.add_entries(rows)
        self._entries += entries
        return first

    def append_hashes(self, tx: Write, entries: Sequence[bytes]) -> int:
        """Put 32-byte entries into the tree alone, without rows; return the index of the first.

        This is the part of `append` below the rows, for measuring it. A store that was filled so is no log: it cannot
        be opened again, and its batches cannot be closed.
        """
        self._check_transaction(tx)
        if not set(map(len, entries)) <= {HASH_BYTES}:
            raise Refusal("entries", "an entry is 32 bytes")
        first = self.next_idx
        self._entries += entries
        return first

    def _grow(self, tx: Write) -> None:
        """Add the transaction's entries to the tree and write every tile that this changed.

        Memory is ahead of the store from here to the end of the commit; `write` halts if anything fails in between.
        """
        self._check_running()
        if not self._entries:
            return
        index = self._edge.size // WIDTH
        data = self._bundle + b"".join(self._entries)
        step = WIDTH * HASH_BYTES
        bundles = [(ENTRY_TILES, index + at // step, data[at : at + step]) for at in range(0, len(data), step)]
        full = self._edge.extend(leaf_hashes(self._entries))
        tiles = [(tile.level, tile.index, content) for tile, content in full + self._edge.partial_tiles()]
        tx.put_tiles(bundles + tiles)
        self._bundle = data[len(data) // step * step :]
        self._entries = []

    # --- Batches ------------------------------------------------------------------------------------------------------

    def close_batch(self, now: int, registry: RegistryCommitment) -> BatchRow:
        """Close the batch with its entry and sign its checkpoint; `now` in Unix seconds. Returns the stored batch.

        With nothing new since the last batch, returns that one. Refuses to close a batch in an empty log. Raises
        Starved. Any other error halts: the next `open` finishes what was begun.
        """
        self._check_running()
        self._sign_what_waits()
        if self._last is not None and self._last.last_idx + 1 == self.next_idx:
            return self._last
        if self._last is None and not self.next_idx:
            raise Refusal("batch", "the log is empty: there is nothing to close")
        with self._halting("the batch could not be closed", Starved):
            with self.write() as tx:
                row = self._add_batch(tx, now, registry)
            return self._sign(row)

    def _add_batch(self, tx: Write, now: int, registry: RegistryCommitment) -> BatchRow:
        last, index = self._last, self.next_idx
        first = 0 if last is None else last.last_idx + 1
        totals = totals_of(tx, first, index - 1, registry.disclosed)
        batch = Batch(
            origin=self.origin,
            number=0 if last is None else last.number + 1,
            first_index=first,
            last_index=index,
            closed_s=now,
            previous=None if last is None else _entry_at(tx, last.last_idx),
            consumption_mwh=sum(
                energy for meter_no, (energy, _) in totals.items() if meter_no not in registry.producers
            ),
            production_mwh=sum(export for _, export in totals.values()),
            registry_size=registry.size,
            registry_root=registry.root,
        )
        draft = Draft(new_ids(now * 1000, 1)[0], BATCH_SCHEMA, NO_SECRET, PUBLIC, EMPTY_SLOTS, batch.body(), now)
        self.append(tx, [draft])
        self._grow(tx)
        row = BatchRow(batch.number, first, index, now, self._edge.root(), None)
        tx.add_batch(row)
        return row

    def _sign(self, row: BatchRow) -> BatchRow:
        """Sign the checkpoint of a batch whose entry is durable: read again, prove, sign, move the guard, store.

        A crash before the guard moved leaves a batch without a checkpoint: the next `open` comes here again. A crash
        after it leaves a guard ahead of the stored checkpoints: the next `open` stores the guard's checkpoint.
        Without a file descriptor for one of the first steps the batch waits in memory for the next try: Starved.
        """
        try:
            note = self._move_guard(row)
        except OSError as error:
            if error.errno not in _NO_DESCRIPTOR:
                raise
            self._unsigned = row
            raise Starved(f"no file descriptor was left to sign batch {row.number} with; it is tried again") from error
        self._unsigned = None
        return self._store_checkpoint(row, note)

    def _move_guard(self, row: BatchRow) -> str:
        """The signed checkpoint of a batch, once the guard holds it."""
        held = self._guard.read()
        with self._store.read() as read:
            checkpoint = checkpoint_to_sign(read, held, self.checkpoint(), row, self._edge, self.verifier)
        body = checkpoint.body()
        note = bytes(Note(body, (self._signer.sign(body),))).decode()
        if opened(note, self.verifier) != checkpoint:
            raise Damaged(None, "the new signature does not verify")
        self._guard.replace(held, note)
        return note

    def _sign_what_waits(self) -> None:
        if self._unsigned is not None:
            with self._halting("the batch could not be closed", Starved):
                self._sign(self._unsigned)

    def _store_checkpoint(self, row: BatchRow, note: str) -> BatchRow:
        with self._store.write() as tx:
            tx.set_checkpoint(row.number, note)
        self._last = row._replace(checkpoint=note)
        return self._last

    # --- Halting ------------------------------------------------------------------------------------------------------

    def _halt(self, reason: str) -> Halted:
        self._halted = self._halted or reason
        return Halted(self._halted)

    def _check_running(self) -> None:
        if self._halted is not None:
            raise Halted(self._halted)

    def _check_transaction(self, tx: Write) -> None:
        self._check_running()
        if tx is not self._tx:
            raise RuntimeError("entries are appended inside `with sequencer.write() as tx`, to that tx")

    @contextmanager
    def _halting(self, what: str, *harmless: type[Exception]) -> Iterator[None]:
        """Whatever goes wrong inside halts the log, but for what is harmless."""
        try:
            yield
        except harmless:
            raise
        except Halted as error:
            raise self._halt(error.reason) from error
        except Exception as error:
            raise self._halt(f"{what}: {error}") from error
        except BaseException:
            self._halt(f"{what}: it was interrupted")
            raise


def _entry_at(read: Read, idx: int) -> bytes:
    """The 32-byte entry at an index, from its tile."""
    index, position = divmod(idx, WIDTH)
    return tile_reader(read)(Tile(ENTRY_TILES, index, position + 1))[-HASH_BYTES:]
