"""Refusals, as tests and files of vectors look at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from wattseal.core.refusal import Refusal

Given = TypeVar("Given")
Found = TypeVar("Found")

INTERPRETER: Final = ("is not JSON", "is no real time", "is no TOML")
"""What follows these in a reason, Python says, and each version of it in other words."""


def outcome(parse: Callable[[Given], Found], given: Given) -> Found | Refusal:
    """What `parse` makes of what it is given, or its refusal. Any other exception is an error, and goes on."""
    try:
        return parse(given)
    except Refusal as refusal:
        return refusal


def refusal_of(parse: Callable[[Given], object], given: Given) -> Refusal:
    """The refusal of what `parse` is given; an error where it accepts it."""
    found = outcome(parse, given)
    if isinstance(found, Refusal):
        return found
    raise AssertionError(f"accepted: {found!r}")


def refused(parse: Callable[[Given], object], given: Given) -> dict[str, str]:
    """A refusal as vectors have it: `field` is what other implementations compare, `reason` is for people."""
    refusal = refusal_of(parse, given)
    said = refusal.reason.partition(": ")[0]
    return {"field": refusal.field, "reason": said if said in INTERPRETER else refusal.reason}
