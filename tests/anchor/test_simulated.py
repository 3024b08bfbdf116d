from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattseal.anchor.port import AnchorPort, AnchorTicket, AnchorUnavailableError
from wattseal.anchor.regtest import GENESIS
from wattseal.anchor.simulated import FIRST_BLOCKS, SimulatedChain
from wattseal.core.anchor_check import ChainTrust, check, check_beacon
from wattseal.core.bitcoin.block import parse_block
from wattseal.core.bitcoin.tx import parse_transaction
from wattseal.core.refusal import Refusal

NOW = 1_760_000_000


def digest(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4, "big")).digest()


@dataclass
class MemoryStore:
    """Keeps its promises for as long as the process lives, which is what these tests need."""

    blocks: list[bytes] = field(default_factory=list)
    pending: list[bytes] = field(default_factory=list)
    before_write: Callable[[], None] = lambda: None
    after_write: Callable[[], None] = lambda: None

    def save_blocks(self, first_height: int, blocks: Sequence[bytes]) -> None:
        self.before_write()
        if first_height != len(self.blocks):
            raise OSError(first_height)
        self.blocks.extend(blocks)
        self.after_write()

    def save_pending(self, txid: bytes, raw: bytes) -> None:
        self.before_write()
        if parse_transaction(raw).txid() != txid:
            raise OSError(txid)
        self.pending.append(raw)
        self.after_write()

    def load(self) -> SimulatedChain:
        return SimulatedChain.load(self.blocks, self.pending, self)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def chain(store: MemoryStore) -> SimulatedChain:
    return SimulatedChain.create(NOW, store)


def trust(chain: SimulatedChain) -> ChainTrust:
    return ChainTrust("simulated", simulated=True, known_blocks=chain.known_blocks())


def test_it_is_an_anchor_port_and_says_what_it_is(chain: SimulatedChain) -> None:
    port: AnchorPort = chain
    assert (port.chain, port.simulated, port.final_depth) == ("simulated", True, 6)
    assert port.poll(port.publish(digest(0), NOW)).simulated


def test_a_new_chain(chain: SimulatedChain, store: MemoryStore) -> None:
    assert chain.tip_height == FIRST_BLOCKS == 101
    assert store.blocks == list(chain.blocks())
    assert store.blocks[0] == GENESIS
    blocks = [parse_block(raw) for raw in store.blocks]
    assert [block.header.time for block in blocks[-2:]] == [NOW - 600, NOW]
    assert all(b"/Wattseal simulated chain/" in block.transactions[0].inputs[0].script for block in blocks[1:])
    assert len(set(chain.known_blocks().values())) == 102


def test_it_is_deterministic(chain: SimulatedChain) -> None:
    other = SimulatedChain.create(NOW)
    assert other.blocks() == chain.blocks() != SimulatedChain.create(NOW + 1).blocks()
    for one in (chain, other):
        one.publish(digest(0), NOW)
        one.mine(NOW + 60, 2)
    assert other.blocks() == chain.blocks()


def test_the_life_of_an_anchor(chain: SimulatedChain) -> None:
    ticket = AnchorTicket("simulated", digest(0), NOW)
    assert chain.poll(ticket).state == "planned"
    assert chain.publish(digest(0), NOW) == ticket
    waiting = chain.poll(ticket)
    assert (waiting.state, waiting.height, waiting.evidence) == ("broadcast", None, None)
    # 145 virtual bytes at 2 sat each.
    assert waiting.fee_msat == 290_000
    assert chain.mine(NOW + 600) == 102
    mined = chain.poll(ticket)
    assert (mined.state, mined.height) == ("in_block", 102)
    assert (mined.txid, mined.fee_msat) == (waiting.txid, waiting.fee_msat)
    assert mined.evidence is not None
    assert len(mined.evidence.headers) == 1
    chain.mine(NOW + 1_200, 4)
    assert chain.poll(ticket).state == "in_block"
    chain.mine(NOW + 1_800)
    final = chain.poll(ticket)
    assert final.state == "final"
    assert final.evidence is not None
    assert len(final.evidence.headers) == 6
    finding = check(final.evidence, digest(0), trust(chain))
    assert (finding.state, finding.height, finding.confirmations) == ("yes", 102, 6)
    assert finding.block_time == NOW + 600
    assert parse_transaction(final.evidence.tx).txid() == final.txid


def test_publishing_twice_pays_once(chain: SimulatedChain, store: MemoryStore) -> None:
    first = chain.publish(digest(0), NOW)
    assert chain.publish(digest(0), NOW + 1) == first
    assert len(chain.pending()) == len(store.pending) == 1
    txid = chain.poll(first).txid
    chain.mine(NOW + 600)
    assert chain.publish(digest(0), NOW + 700) == first
    assert chain.pending() == ()
    assert chain.poll(first).txid == txid


def test_many_anchors_in_one_block_and_over_many(chain: SimulatedChain) -> None:
    for number in range(40):
        chain.publish(digest(number), NOW)
        if number % 10 == 9:
            chain.mine(NOW + 60 * number)
    assert len(parse_block(chain.blocks()[102]).transactions) == 11
    known = trust(chain)
    for number in range(40):
        evidence = chain.evidence(digest(number))
        assert evidence is not None
        assert check(evidence, digest(number), known).state == "yes"
        assert check(evidence, digest(number + 1), known).state == "no"
    assert chain.evidence(digest(40)) is None


def test_evidence_can_be_deep(chain: SimulatedChain) -> None:
    chain.publish(digest(0), NOW)
    chain.mine(NOW, 9)
    headers = [len(found.headers) for depth in (1, 3, 9, 20) if (found := chain.evidence(digest(0), depth))]
    assert headers == [1, 3, 9, 9]


def test_a_block_takes_no_more_than_it_can_hold(chain: SimulatedChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattseal.anchor.simulated._MAX_PENDING_PER_BLOCK", 3)
    tickets = [chain.publish(digest(number), NOW) for number in range(5)]
    chain.mine(NOW)
    assert [chain.poll(ticket).state for ticket in tickets] == ["in_block"] * 3 + ["broadcast"] * 2
    chain.mine(NOW)
    assert [chain.poll(ticket).state for ticket in tickets] == ["in_block"] * 5


def test_a_restart_changes_nothing(chain: SimulatedChain, store: MemoryStore) -> None:
    tickets = [chain.publish(digest(number), NOW) for number in range(3)]
    chain.mine(NOW + 600)
    tickets += [chain.publish(digest(number), NOW + 700) for number in range(3, 6)]
    again = store.load()
    assert again.blocks() == chain.blocks()
    assert again.pending() == chain.pending()
    assert again.known_blocks() == chain.known_blocks()
    assert [again.poll(ticket) for ticket in tickets] == [chain.poll(ticket) for ticket in tickets]
    for ticket in tickets:
        assert again.publish(ticket.digest, NOW + 800) == ticket
    assert again.pending() == chain.pending()
    again.mine(NOW + 1_200)
    assert [again.poll(ticket).state for ticket in tickets] == ["in_block"] * 6
    assert store.load().pending() == ()


def test_without_the_pending_transactions_the_digest_is_planned_again(chain: SimulatedChain) -> None:
    ticket = chain.publish(digest(0), NOW)
    again = SimulatedChain.load(chain.blocks())
    assert again.poll(ticket).state == "planned"


@pytest.mark.parametrize("moment", ["before_write", "after_write"])
def test_a_store_that_fails(chain: SimulatedChain, store: MemoryStore, moment: str) -> None:
    """Whether or not the failed write lasted: nothing counts that was not acknowledged, and nothing is paid twice."""

    def fail() -> None:
        raise OSError

    chain.publish(digest(0), NOW)
    blocks, pending = chain.blocks(), chain.pending()
    setattr(store, moment, fail)
    with pytest.raises(OSError):  # noqa: PT011 - the store's own, without a text
        chain.publish(digest(1), NOW)
    with pytest.raises(OSError):  # noqa: PT011
        chain.mine(NOW + 600)
    assert (chain.blocks(), chain.pending()) == (blocks, pending)
    setattr(store, moment, lambda: None)
    again = store.load()
    for number in range(2):
        again.publish(digest(number), NOW)
    again.mine(NOW + 600)
    paid = [tx.txid() for raw in again.blocks()[102:] for tx in parse_block(raw).transactions[1:]]
    assert len(paid) == len(set(paid)) == 2
    assert store.load().blocks() == again.blocks()


def test_a_store_that_kept_the_block_all_the_same_refuses_another(chain: SimulatedChain, store: MemoryStore) -> None:
    def fail() -> None:
        raise OSError

    store.after_write = fail
    with pytest.raises(OSError):  # noqa: PT011
        chain.mine(NOW + 600)
    store.after_write = lambda: None
    with pytest.raises(OSError, match="102"):
        chain.mine(NOW + 700)
    assert store.load().tip_height == 102


def test_times(chain: SimulatedChain) -> None:
    # The clock went back: the blocks still come after the median of the last eleven.
    chain.mine(0, 3)
    times = [parse_block(raw).header.time for raw in chain.blocks()[-4:]]
    assert times == [NOW, NOW - 2_999, NOW - 2_998, NOW - 2_997]
    chain.mine(NOW + 60, 3)
    assert SimulatedChain.load(chain.blocks()).blocks() == chain.blocks()
    for late in (1 << 32, 1 << 40):
        with pytest.raises(Refusal, match="header"):
            chain.mine(late)
    with pytest.raises(Refusal, match="too early"):
        SimulatedChain.create(1_296_688_602)


def test_no_money() -> None:
    poor = SimulatedChain.load([GENESIS])
    with pytest.raises(AnchorUnavailableError, match="mine some blocks"):
        poor.publish(digest(0), NOW)
    assert poor.pending() == ()
    poor.mine(NOW, 101)
    assert poor.poll(poor.publish(digest(0), NOW)).state == "broadcast"


def test_money_lasts_beyond_the_last_subsidy() -> None:
    """5,000 blocks: nothing new is paid to the miner then, and fees have gone around often."""
    chain = SimulatedChain.create(NOW)
    chain.mine(NOW, 5_000)
    for number in range(300):
        chain.publish(digest(number), NOW)
    chain.mine(NOW)
    assert parse_block(chain.blocks()[-2]).transactions[0].outputs[0].value == 0
    assert chain.poll(AnchorTicket("simulated", digest(299), NOW)).state == "in_block"


def test_input_is_checked(chain: SimulatedChain) -> None:
    with pytest.raises(Refusal, match="instead of 32"):
        chain.publish(bytes(31), NOW)
    with pytest.raises(Refusal, match="bitcoin, not simulated"):
        chain.poll(AnchorTicket("bitcoin", digest(0), NOW))
    with pytest.raises(Refusal, match="missing"):
        SimulatedChain.load([])
    with pytest.raises(Refusal, match="genesis"):
        SimulatedChain.load(chain.blocks()[1:])


def test_beacons_name_a_block_six_below_the_tip(chain: SimulatedChain) -> None:
    height, first8 = chain.beacon()
    assert height == chain.tip_height - 6
    assert check_beacon(height, first8, chain.known_blocks()).state == "yes"
    assert SimulatedChain.load([GENESIS]).beacon() == (0, bytes.fromhex("06226e46111a0b59"))


@pytest.fixture(scope="module")
def anchored() -> tuple[bytes, ...]:
    chain = SimulatedChain.create(NOW)
    for number in range(3):
        chain.publish(digest(number), NOW)
        chain.mine(NOW + 600 * (number + 1))
    return chain.blocks()


@given(st.integers(1, 103), st.integers(0, 1 << 20))
@settings(max_examples=30)
def test_a_stored_block_with_one_flipped_bit_is_refused(anchored: tuple[bytes, ...], height: int, bit: int) -> None:
    raw = bytearray(anchored[height])
    bit %= 8 * len(raw)
    raw[bit >> 3] ^= 1 << (bit & 7)
    # A header that by chance has proof of work all the same is given away by the block after it.
    chain = [*anchored[:height], bytes(raw), *anchored[height + 1 :]]
    with pytest.raises(Refusal) as caught:
        SimulatedChain.load(chain)
    assert caught.value.field in {f"blocks.{height}", f"blocks.{height + 1}"}


def test_stored_blocks_out_of_order_are_refused(anchored: tuple[bytes, ...]) -> None:
    with pytest.raises(Refusal, match="last block") as caught:
        SimulatedChain.load([*anchored[:50], *anchored[51:]])
    assert caught.value.field == "blocks.50"


def test_a_stored_waiting_transaction_that_cannot_stand_is_refused(anchored: tuple[bytes, ...]) -> None:
    chain = SimulatedChain.load(anchored)
    chain.publish(digest(7), NOW)
    raw = chain.pending()[0]
    assert SimulatedChain.load(anchored, [raw]).pending() == (raw,)
    with pytest.raises(Refusal, match="more than it spends"):
        SimulatedChain.load(anchored, [raw[:50] + b"\xff" + raw[51:]])
    for broken in (raw[:-1], raw[:10] + b"\xff" + raw[11:]):
        with pytest.raises(Refusal):
            SimulatedChain.load(anchored, [broken])
