"""Which reasons of quarantine an operator may release (docs/spec/reading.md §4.4): those that a verifier can follow.

A release is the operator's word that a reading is right though it looks odd. No word makes good what the reading
itself contradicts: records on it would say *authentic: no* for ever, and a decision stands.
"""

from __future__ import annotations

from typing import Final

from wattseal.core import jcs
from wattseal.core.document import Members
from wattseal.core.refusal import Refusal

_COUNTED_LATER: Final = "reject it, and see to the device: its energy is in the register of its next good reading"
_DECLARED: Final = "reject it, and keep it as evidence"
RELEASABLE: Final[dict[str, str | None]] = {
    "register-fell": None,
    "rate-impossible": None,
    "profile-mismatch": None,
    "unknown-meter": (
        "no meter of that name is registered for its key, so it has no chain to join; "
        "register the meter for what comes from now on, and reject this one"
    ),
    "wrong-serial": (
        "a reading with another serial than its key's can never be verified; "
        "reject it, and register the device that signs under a key of its own"
    ),
    "key-not-valid-then": (
        "a reading of a time at which its key was not valid can never be verified; "
        "reject it, and register a key that is valid for what comes from now on"
    ),
    "clock-impossible": f"no record may rest on a time that cannot be; {_COUNTED_LATER}",
    "clock-backwards": f"a record must end after it starts, so it can never join its chain; {_COUNTED_LATER}",
    "equivocation": f"another reading was signed for its place, and only one can be in the chain; {_DECLARED}",
    "replay": f"its chain went on without it and misses nothing there; {_DECLARED}",
    "broken-chain": f"it names another reading as the one before it, so it can never be verified; {_COUNTED_LATER}",
    "overlap": "its time is counted already, and energy counts once; reject it, or leave it open",
    "signed-meter": "a device signs for this meter, and weaker evidence never takes its place; reject it",
}
"""Each reason of §4.1, with None where it may be released, else why not and what to do."""


def reason_of(body: bytes) -> str:
    """The reason that a `quarantine-1` names."""
    return Members(jcs.loads(body, len(body))).text("reason", len(body))


def check_releasable(reason: str) -> None:
    """Refuse the release of what was set aside for a reason that no verifier could follow."""
    why_not = RELEASABLE.get(reason, f"what was set aside as {reason} cannot be released; reject it")
    if why_not is not None:
        raise Refusal("decision", f"must not be release: {why_not}")
