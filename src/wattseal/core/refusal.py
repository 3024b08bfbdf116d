"""The one error for input that is not accepted."""

from __future__ import annotations


class Refusal(ValueError):
    """Input was refused: which part of it, and why.

    `field` is the dotted name of the offending part as its specification spells it ("payload.8", "tx.amount_msat").
    `reason` says in plain words what is wrong and, where it helps, what to do. Both may be shown to whoever sent the
    input, so neither may carry a secret.
    """

    def __init__(self, field: str, reason: str) -> None:
        # Both go to ValueError as its arguments, so that a refusal survives the way back from a worker process.
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"
