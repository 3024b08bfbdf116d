"""Anchoring the log's batches: which checkpoint digest was given to the chain, and what became of it.

An attestation is stored before the chain is asked, and each step can be repeated: whatever a crash left undone, the
next `advance` finishes, and the port pays for a digest once (wattseal.anchor.port). The digest of a batch is that of
its checkpoint's body; it covers every earlier batch as well (docs/spec/anchor.md §1).
"""

from __future__ import annotations

import json
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final, Protocol, TypeVar

from wattseal.anchor.port import AnchorPort, AnchorStatus, AnchorTicket
from wattseal.core.anchor_payload import checkpoint_digest
from wattseal.core.bitcoin.digest import double_sha256, to_display
from wattseal.core.note import Note
from wattseal.core.refusal import Refusal
from wattseal.log.port import AttestationRow, Store, Write

KIND: Final = "bitcoin"
PLANNED, FINAL = "planned", "final"
IN_BLOCK: Final = ("in_block", FINAL)

T = TypeVar("T")


class Commit(Protocol):
    """Runs a job in the log's writer and returns when its transaction is durable."""

    def __call__(self, job: Callable[[Write, int], T], /) -> T:
        """The job gets the transaction and the time in Unix seconds."""


class Miner(Protocol):
    """A chain that can be told to find blocks: the simulated one."""

    def mine(self, now: int, n: int = 1) -> int:
        """Find n blocks; returns the new tip's height."""


class Attestor:
    """Gives batches to one chain and keeps their attestations. Its methods block; one runs at a time."""

    def __init__(self, port: AnchorPort, store: Store, commit: Commit, miner: Miner | None = None) -> None:
        self._port = port
        self._commit = commit
        self._miner = miner
        self._lock = Lock()
        with store.read() as read:
            rows = [row for row in read.attestations() if row.chain == port.chain]
        self._rows = sorted(rows, key=_place)
        """Replaced and never changed, so that other threads may read it at any time."""

    @property
    def chain(self) -> str:
        """The chain's name."""
        return self._port.chain

    @property
    def can_mine(self) -> bool:
        """Whether blocks can be asked for."""
        return self._miner is not None

    def rows(self) -> Sequence[AttestationRow]:
        """Every attestation, in order of batch; a snapshot."""
        return self._rows

    def covering(self, batch: int) -> AttestationRow | None:
        """What anchors a batch: its own or a later one's attestation, in a block if there is one, else the newest."""
        rows = self._rows
        later = range(bisect_left(rows, batch, key=_batch), len(rows))
        return next((rows[at] for at in later if rows[at].state in IN_BLOCK), rows[-1] if later else None)

    def unfinished(self) -> list[AttestationRow]:
        """The attestations that are not final yet."""
        return [row for row in self._rows if row.state != FINAL]

    def anchor(self, number: int) -> AttestationRow:
        """Anchor a batch, or take up its anchoring where it stands.

        Refusal if the batch does not exist or has no checkpoint yet; AnchorUnavailableError if the chain cannot be paid
        now, in which case the attestation stays planned and `advance` tries again.
        """
        with self._lock:
            row = next((row for row in self._rows if row.batch == number), None)
            if row is None:
                row = self._keep(self._commit(lambda tx, now: self._plan(tx, now, number)))
            return self._step(row)

    def advance(self) -> list[AttestationRow]:
        """Take every attestation that is not final one step on; returns those that changed."""
        changed = []
        with self._lock:
            for row in self.unfinished():
                after = self._step(row)
                if after != row:
                    changed.append(after)
        return changed

    def mine(self, now: int, blocks: int) -> int:
        """Let the simulated chain find blocks and take up what they hold; returns the tip's height.

        Refusal on a chain whose blocks cannot be asked for.
        """
        if self._miner is None:
            raise Refusal("chain", f"{self.chain} finds its blocks without being asked")
        with self._lock:
            height = self._miner.mine(now, blocks)
        self.advance()
        return height

    def _plan(self, tx: Write, now: int, number: int) -> AttestationRow:
        batch = tx.batch(number)
        if batch is None or batch.checkpoint is None:
            raise Refusal("batch", "has no signed checkpoint" if batch else "does not exist")
        digest = checkpoint_digest(Note.parse(batch.checkpoint.encode()).text)
        row = AttestationRow(
            attestation_no=0,
            batch=number,
            digest=digest,
            kind=KIND,
            chain=self.chain,
            state=PLANNED,
            reference=None,
            height=None,
            block_hash=None,
            fee_sat=None,
            simulated=self._port.simulated,
            evidence=None,
            created_s=now,
            changed_s=now,
        )
        return row._replace(attestation_no=tx.add_attestation(row))

    def _step(self, row: AttestationRow) -> AttestationRow:
        ticket = AnchorTicket(self.chain, row.digest, row.created_s)
        status = self._port.poll(ticket)
        if status.state == PLANNED:
            status = self._port.poll(self._port.publish(row.digest, row.created_s))
        after = _described(row, status)
        if after == row:
            return row

        def store(tx: Write, now: int) -> AttestationRow:
            changed = after._replace(changed_s=now)
            tx.set_attestation(changed)
            return changed

        return self._keep(self._commit(store))

    def _keep(self, row: AttestationRow) -> AttestationRow:
        others = [other for other in self._rows if other.attestation_no != row.attestation_no]
        insort(others, row, key=_place)
        self._rows = others
        return row


def _place(row: AttestationRow) -> tuple[int, int]:
    return row.batch, row.attestation_no


def _batch(row: AttestationRow) -> int:
    return row.batch


def _described(row: AttestationRow, status: AnchorStatus) -> AttestationRow:
    """The row as the status has it.

    Evidence stays as it was while the state and the block are the same: what comes on top is only more confirmations.
    """
    evidence = status.evidence
    block_hash = None if evidence is None else double_sha256(evidence.headers[0])
    kept = row.evidence
    if block_hash != row.block_hash or status.state != row.state:
        kept = None if evidence is None else json.dumps(evidence.to_json(), separators=(",", ":"))
    return row._replace(
        state=status.state,
        reference=None if status.txid is None else to_display(status.txid),
        height=status.height,
        block_hash=block_hash,
        # Rounded up: what was paid is never shown as less.
        fee_sat=None if status.fee_msat is None else -(-status.fee_msat // 1_000),
        evidence=kept,
    )
