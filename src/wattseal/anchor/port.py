"""The anchor port: what every way of writing a digest into a Bitcoin chain promises to its caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from wattseal.core.anchor_evidence import BitcoinEvidence

AnchorState = Literal["planned", "broadcast", "in_block", "final"]


class AnchorUnavailableError(RuntimeError):
    """The chain cannot be paid or reached just now; the message says why. Nothing was paid: try again later."""


@dataclass(frozen=True, slots=True)
class AnchorTicket:
    """Names one anchor for as long as it lives: a replaced transaction changes the txid, never the ticket.

    `digest` is the anchored digest (32 bytes), `asked_at` the `now` of the call that gave the ticket (Unix seconds;
    two tickets of one digest are equal). A caller that has kept chain and digest may build the ticket again.
    """

    chain: str
    digest: bytes
    asked_at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class AnchorStatus:
    """Where an anchor stands.

    `planned`: no transaction of ours is known to the chain; publish again. `broadcast`: it waits for a block.
    `in_block`: a block holds it, and a reorganisation could still undo that, back to `broadcast`. `final`: as deep as
    the port's `final_depth`. `txid` (internal order) and `fee_msat` are given from `broadcast` on, `height` and
    `evidence` from `in_block` on.
    """

    state: AnchorState
    simulated: bool
    txid: bytes | None = None
    fee_msat: int | None = None
    height: int | None = None
    evidence: BitcoinEvidence | None = None


class AnchorPort(Protocol):
    """Writes digests into one chain and says what became of them.

    Promises, which every implementation keeps:

    - *Never paid twice.* `publish` is idempotent by digest, also after a crash at any point and a restart: the signed
      transaction is stored durably before anybody else can see it, and a transaction that replaces it spends one of
      its inputs. After a reorganisation the same transaction is broadcast again.
    - *Stored before acknowledged.* When `publish` returns, a crash loses nothing.
    - *Nothing is believed.* `evidence` has passed the port's own check of branch, links and proof of work.
    - *No clock.* Time comes in as `now` (Unix seconds).

    Methods may block on network or disk, so a server calls them from a worker thread, and one call at a time.
    """

    @property
    def chain(self) -> str:
        """A name out of `wattseal.core.bitcoin.chain.CHAINS`."""

    @property
    def simulated(self) -> bool:
        """Whether the chain can be made up at no cost; goes with every status and every evidence."""

    @property
    def final_depth(self) -> int:
        """How many confirmations make an anchor final."""

    def publish(self, digest: bytes, now: int) -> AnchorTicket:
        """See to it that a transaction commits to `digest` (32 bytes, else Refusal), and return its ticket.

        Raises AnchorUnavailableError if there is no money or no chain; then nothing was spent.
        """

    def poll(self, ticket: AnchorTicket) -> AnchorStatus:
        """Where the anchor stands now. Refusal if the ticket is another chain's."""
