"""How a command ends when it could not do what it was asked."""

from __future__ import annotations


class Failure(Exception):
    """Said to the user as it is, with what to do next. The command ends with exit code 1."""

    def __init__(self, message: str, next_step: str | None = None) -> None:
        super().__init__(message)
        self.next_step = next_step
