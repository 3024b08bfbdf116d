"""Whether a record says what follows from its evidence."""

from __future__ import annotations

from wattseal.core import jcs
from wattseal.core.bundle import Leaf
from wattseal.core.emlog import Record, body, check
from wattseal.core.refusal import Refusal


def compare(said: Leaf, derived: Record) -> None:
    """Name the first value in which a record says something else than what follows from what was signed."""
    check(derived)
    right = body(derived)
    if said.body == right:
        return
    difference = jcs.first_difference(jcs.loads(said.body, len(said.body)), jcs.loads(right, len(right)))
    field, mine, theirs = difference or ("record", "another text", "its canonical form")
    raise Refusal(field, f"says {mine}, but what was signed gives {theirs}")
