"""What a verifier may conclude from Bitcoin evidence (docs/spec/anchor.md §4): the verdict *anchored*.

Whoever presents the evidence is not believed. The transaction, the branch and the headers are checked against each
other; whether these headers belong to Bitcoin is decided only by what the verifier brings: block hashes from a source
of their own, or a minimum of work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from wattseal.core.anchor_evidence import BitcoinEvidence
from wattseal.core.anchor_payload import anchor_payload
from wattseal.core.bitcoin.branch import verify_branch
from wattseal.core.bitcoin.chain import Chain, chain_named
from wattseal.core.bitcoin.digest import HASH_BYTES, to_display
from wattseal.core.bitcoin.header import BlockHeader, parse_header, verify_header_chain
from wattseal.core.bitcoin.script import op_return_payloads
from wattseal.core.bitcoin.tx import parse_transaction
from wattseal.core.refusal import Refusal

State = Literal["yes", "no", "unknown"]

BEACON_BYTES = 8


@dataclass(frozen=True, slots=True)
class ChainTrust:
    """What a verifier trusts about one chain, from outside the evidence.

    `known_blocks`: height -> block hash (internal order), of one chain, as many or as few as the verifier has; they are
    taken as final. `min_work`: a run of headers with this much work (expected number of hashes) is taken as the chain,
    whatever its height; None if work alone shall convince nobody. `simulated` repeats, so that nobody overlooks it,
    whether the chain can be made up at no cost.
    """

    chain: str
    simulated: bool
    known_blocks: Mapping[int, bytes] = field(default_factory=lambda: MappingProxyType({}))
    min_work: int | None = None
    # The highest known block, found once: a headers file has about a million of them.
    known_tip: int | None = field(init=False)

    def __post_init__(self) -> None:
        if chain_named(self.chain).simulated != self.simulated:
            is_or_not = "is not" if self.simulated else "is"
            raise Refusal("simulated", f"is wrong: the chain {self.chain} {is_or_not} a simulated one")
        if self.min_work is not None and self.min_work <= 0:
            raise Refusal("min_work", "must be above zero; leave it out to trust no amount of work")
        if any(height < 0 or len(block_hash) != HASH_BYTES for height, block_hash in self.known_blocks.items()):
            raise Refusal("known_blocks", f"must map heights from 0 to hashes of {HASH_BYTES} bytes")
        object.__setattr__(self, "known_tip", max(self.known_blocks, default=None))


@dataclass(frozen=True, slots=True)
class AnchorFinding:
    """The verdict, and what the check established; what it did not establish is None.

    `block_hash` (internal order), `block_time` (Unix seconds, as the miner set it) and `work` (of the whole run) are
    given when the evidence agrees with itself, even if it does not convince. `height` is given only where a known
    block confirms it, `confirmations` only with "yes": counted up to the verifier's highest known block, or, where
    work alone decides, over the headers given.
    """

    state: State
    reason: str
    chain: str
    simulated: bool
    height: int | None = None
    block_time: int | None = None
    block_hash: bytes | None = None
    confirmations: int | None = None
    work: int | None = None


@dataclass(frozen=True, slots=True)
class BeaconFinding:
    """Whether a reading's beacon names a block, so that the reading was signed after it."""

    state: State
    reason: str


def check(evidence: BitcoinEvidence, digest: bytes, trust: ChainTrust | None) -> AnchorFinding:
    """Whether a block of the chain that the verifier trusts commits to `digest` (32 bytes, else Refusal).

    "no": the evidence contradicts itself or the known blocks. "unknown": it agrees with itself, and nothing that the
    verifier trusts speaks of its blocks; the reason says what would settle it. `trust` is None if there is none for
    the evidence's chain.
    """
    payload = anchor_payload(digest)
    chain = chain_named(evidence.chain)
    try:
        run = _check_itself(evidence, payload, chain)
    except Refusal as refusal:
        return AnchorFinding("no", f"{refusal.field} {refusal.reason}", chain.name, chain.simulated)
    if trust is None or trust.chain != chain.name:
        trust = ChainTrust(chain.name, chain.simulated)
    state, reason, confirmations = _weigh(run, trust)
    return AnchorFinding(
        state=state,
        reason=reason,
        chain=chain.name,
        simulated=chain.simulated,
        height=run.height if state == "yes" and run.is_known(trust) else None,
        block_time=run.first.time,
        block_hash=run.hashes[0],
        confirmations=confirmations,
        work=run.work,
    )


def check_beacon(height: int, first8: bytes, known_blocks: Mapping[int, bytes]) -> BeaconFinding:
    """Whether the block at `height` has a hash that begins, in internal order, with the 8 bytes `first8`."""
    if len(first8) != BEACON_BYTES:
        raise Refusal("beacon", f"has {len(first8)} bytes of a hash instead of {BEACON_BYTES}")
    known = known_blocks.get(height)
    if known is None:
        return BeaconFinding("unknown", f"you have not supplied the hash of block {height}: a headers file would do")
    if known[:BEACON_BYTES] != first8:
        return BeaconFinding("no", f"block {height} has another hash")
    return BeaconFinding("yes", f"it names block {height}, so it was signed after that block was found")


@dataclass(frozen=True, slots=True)
class _Run:
    """Headers that agree with each other: the first one, every one's hash, and where they claim to stand."""

    first: BlockHeader
    hashes: tuple[bytes, ...]
    work: int
    height: int
    where: str

    def is_known(self, trust: ChainTrust) -> bool:
        """Whether the first block, or through the links one of its successors, is a known block."""
        return any(trust.known_blocks.get(height) == found for height, found in enumerate(self.hashes, self.height))

    def contradiction(self, trust: ChainTrust) -> int | None:
        """The lowest height, from the block before the first on, at which a known block differs; None if none does."""
        claimed = enumerate((self.first.prev_hash, *self.hashes), self.height - 1)
        return next((height for height, found in claimed if trust.known_blocks.get(height, found) != found), None)


def _check_itself(evidence: BitcoinEvidence, payload: bytes, chain: Chain) -> _Run:
    """Everything that can be checked without trusting anything, else Refusal."""
    headers = [parse_header(raw) for raw in evidence.headers]
    work = verify_header_chain(headers, chain.pow_limit)
    tx = parse_transaction(evidence.tx)
    if tx.witnesses:
        # They are outside the txid: two different files would be the same evidence.
        raise Refusal("tx", "carries witnesses, which the block's tree does not commit to: strip them")
    if payload not in op_return_payloads(tx):
        raise Refusal("tx", "does not commit to this digest")
    verify_branch(tx.txid(), evidence.tx_index, evidence.branch, headers[0].merkle_root)
    return _Run(
        first=headers[0],
        hashes=tuple(header.hash() for header in headers),
        work=work,
        height=evidence.height,
        where=f"block {evidence.height} of {chain.title}",
    )


def _weigh(run: _Run, trust: ChainTrust) -> tuple[State, str, int | None]:
    """Verdict, reason and confirmations of evidence that agrees with itself."""
    claim = f"it claims {run.where}"
    wanted = "the hash of one of these blocks in your trust file would settle it"
    if trust.known_tip is None and trust.min_work is None:
        return "unknown", f"{claim}, and you have given nothing to check this chain by: {wanted}", None
    stray = run.contradiction(trust)
    if stray is not None:
        return "no", f"{claim}, but the chain that you trust has another block at height {stray}", None
    if trust.known_tip is not None and run.is_known(trust):
        return "yes", f"{run.where}, {to_display(run.hashes[0])}, commits to it", trust.known_tip - run.height + 1
    if trust.min_work is None:
        return "unknown", f"{claim}, and you have given no hash of these blocks: {wanted}", None
    if run.work < trust.min_work:
        return "unknown", f"{claim}, with {run.work} of the {trust.min_work} hashes of work that you ask for", None
    reason = f"a block with enough work commits to it; that this is {run.where} is the evidence's own claim"
    return "yes", reason, len(run.hashes)
