"""Anchoring batches: one payment for a batch whatever fails in between, and every state kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest

from wattseal.anchor.attest import Attestor
from wattseal.anchor.port import AnchorStatus, AnchorTicket, AnchorUnavailableError
from wattseal.anchor.schedule import Schedule
from wattseal.anchor.simulated import SimulatedChain
from wattseal.anchor.simulated_store import split_pending, stored_chain
from wattseal.core.anchor_evidence import BitcoinEvidence
from wattseal.core.checkpoint import Checkpoint
from wattseal.core.note import Note
from wattseal.core.note_key import Ed25519Signer
from wattseal.core.refusal import Refusal
from wattseal.log.port import BatchRow, Store, Write
from wattseal.log.sqlite import SqliteStore

T = TypeVar("T")

NOW = 1_780_000_000
SIGNER = Ed25519Signer("test.example/log", bytes(32))


class Commit:
    """The writer, for one thread; fails when it is told to, before or after the transaction is durable."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.now = NOW
        self.commits = 0
        self.fail_at: int | None = None
        self.fails_after = False

    def __call__(self, job: Callable[[Write, int], T], /) -> T:
        self.commits += 1
        fails = self.commits == self.fail_at
        if fails and not self.fails_after:
            raise OSError("no space left")
        with self._store.write() as tx:
            result = job(tx, self.now)
        if fails:
            raise OSError("the answer was lost")
        return result


class Bench:
    """A store with three batches, and what works on it; `reopen` is what a restart does."""

    def __init__(self, path: Path) -> None:
        self.store = SqliteStore.open(path, create=True)
        with self.store.write() as tx:
            for number in range(3):
                add_batch(tx, number)
        self.reopen()

    def reopen(self) -> None:
        self.commit = Commit(self.store)
        self.chain = stored_chain(self.store, self.commit, NOW)
        self.attestor = Attestor(self.chain, self.store, self.commit, self.chain)
        self.commit.commits = 0


def add_batch(tx: Write, number: int, *, signed: bool = True) -> None:
    body = Checkpoint(SIGNER.verifier.name, number + 1, bytes([number]) * 32).body()
    note = bytes(Note(body, (SIGNER.sign(body),))).decode()
    tx.add_batch(BatchRow(number, number, number, NOW, bytes([number]) * 32, note if signed else None))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "log.db")
    with closing(bench.store):
        yield bench


def payments(chain: SimulatedChain) -> int:
    """Transactions that are in the chain or wait for it, beside the coinbases."""
    from wattseal.core.bitcoin.block import parse_block

    in_blocks = sum(len(parse_block(raw).transactions) - 1 for raw in chain.blocks())
    return in_blocks + len(chain.pending())


def test_the_way_of_an_anchor(bench: Bench) -> None:
    row = bench.attestor.anchor(1)
    assert (row.batch, row.state, row.chain, row.simulated, row.evidence) == (1, "broadcast", "simulated", True, None)
    assert row.fee_sat
    bench.commit.now += 60
    bench.attestor.mine(NOW + 60, 1)
    mined = bench.attestor.anchor(1)
    assert (mined.state, mined.height, mined.created_s, mined.changed_s) == ("in_block", 102, NOW, NOW + 60)
    evidence = BitcoinEvidence.from_json(json.loads(mined.evidence or ""))
    assert (evidence.height, len(evidence.headers)) == (102, 1)
    bench.attestor.mine(NOW + 60, 2)
    assert bench.attestor.anchor(1) == mined  # more blocks on top change nothing until they are enough
    bench.attestor.mine(NOW + 60, 3)
    final = bench.attestor.anchor(1)
    assert (final.state, len(BitcoinEvidence.from_json(json.loads(final.evidence or "")).headers)) == ("final", 6)
    assert bench.attestor.unfinished() == []
    with bench.store.read() as read:
        assert list(read.attestations()) == [final]


def test_asking_again_pays_nothing(bench: Bench) -> None:
    first = bench.attestor.anchor(0)
    assert bench.attestor.anchor(0) == first
    bench.attestor.mine(NOW, 1)
    bench.attestor.anchor(0)
    bench.reopen()
    assert bench.attestor.anchor(0).attestation_no == first.attestation_no
    assert payments(bench.chain) == 1


def anchor_and_mine(attestor: Attestor) -> None:
    for _ in range(2):
        attestor.anchor(2)
        attestor.mine(NOW, 3)


@pytest.mark.parametrize("fails_after", [False, True], ids=["not stored", "stored, and nobody knows"])
@pytest.mark.parametrize("fail_at", range(1, 8))
def test_whatever_fails_it_is_paid_once_and_gets_final(bench: Bench, fail_at: int, *, fails_after: bool) -> None:
    bench.commit.fail_at, bench.commit.fails_after = fail_at, fails_after
    with pytest.raises(OSError, match=r"space|lost"):
        anchor_and_mine(bench.attestor)
    bench.reopen()
    bench.attestor.advance()
    bench.attestor.anchor(2)
    bench.attestor.mine(NOW, 6)
    assert [(row.batch, row.state) for row in bench.attestor.rows()] == [(2, "final")]
    assert payments(bench.chain) == 1


def test_what_covers_a_batch(bench: Bench) -> None:
    assert bench.attestor.covering(0) is None
    bench.attestor.anchor(1)
    bench.attestor.mine(NOW, 1)
    bench.attestor.anchor(2)
    covering = [bench.attestor.covering(number) for number in range(4)]
    assert [row and (row.batch, row.state) for row in covering] == [
        (1, "in_block"),
        (1, "in_block"),
        (2, "broadcast"),
        None,
    ]


def test_batches_that_cannot_be_anchored(bench: Bench) -> None:
    with bench.store.write() as tx:
        add_batch(tx, 3, signed=False)
    for number, reason in ((3, "no signed checkpoint"), (4, "does not exist")):
        with pytest.raises(Refusal, match=reason):
            bench.attestor.anchor(number)
    assert bench.attestor.rows() == []


class Unavailable:
    """A chain that cannot be paid, then one that can."""

    chain, simulated, final_depth = "regtest", True, 6

    def __init__(self) -> None:
        self.is_there = False
        self.published = 0

    def publish(self, digest: bytes, now: int) -> AnchorTicket:
        if not self.is_there:
            raise AnchorUnavailableError("no money")
        self.published += 1
        return AnchorTicket(self.chain, digest, now)

    def poll(self, ticket: AnchorTicket) -> AnchorStatus:
        if not self.published:
            return AnchorStatus("planned", simulated=True)
        return AnchorStatus("broadcast", simulated=True, txid=bytes(range(32)), fee_msat=1_001)


def test_a_chain_that_is_not_there(bench: Bench) -> None:
    port = Unavailable()
    attestor = Attestor(port, bench.store, bench.commit)
    with pytest.raises(AnchorUnavailableError):
        attestor.anchor(0)
    assert [row.state for row in attestor.rows()] == ["planned"]
    with pytest.raises(Refusal, match="without being asked"):
        attestor.mine(NOW, 1)
    port.is_there = True
    (row,) = Attestor(port, bench.store, bench.commit).advance()
    assert (row.state, row.fee_sat, row.reference) == ("broadcast", 2, bytes(range(31, -1, -1)).hex())


def test_the_schedule(bench: Bench) -> None:
    schedule = Schedule(bench.attestor, bench.store, anchor_interval_s=100, mining_interval_s=10)
    states = []
    for second in range(130):
        bench.commit.now = NOW + second
        schedule.step(NOW + second)
        states.append([(row.batch, row.state) for row in bench.attestor.rows()])
        if second == 20:
            with bench.store.write() as tx:
                add_batch(tx, 3)
    assert states[0] == [(2, "broadcast")]
    assert states[9] == [(2, "broadcast")]
    assert states[10] == [(2, "in_block")]
    assert states[60] == [(2, "final")]
    assert states[99] == [(2, "final")]
    assert states[100] == [(2, "final"), (3, "broadcast")]
    assert bench.chain.tip_height == 101 + 6 + 1 + 1


def test_a_schedule_that_does_nothing(bench: Bench) -> None:
    schedule = Schedule(bench.attestor, bench.store, anchor_interval_s=0, mining_interval_s=0)
    bench.attestor.anchor(0)
    tip = bench.chain.tip_height
    for second in range(0, 1_000, 7):
        schedule.step(NOW + second)
    assert (bench.chain.tip_height, len(bench.attestor.rows())) == (tip, 1)


def test_waiting_transactions_are_framed() -> None:
    assert split_pending(b"") == []
    assert split_pending(b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01x") == [b"abc", b"", b"x"]
