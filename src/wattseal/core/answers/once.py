"""Asks each question once, however many records of a bundle rest on its answer.

A file may be crafted so that every record names the same costly part; its check must not be multiplied by them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from wattseal.core.answers.unknown import Unknown
from wattseal.core.refusal import Refusal

Question = TypeVar("Question", bound=Hashable)
Found = TypeVar("Found")


class Once(Generic[Question, Found]):
    """A function whose answers are kept, also where the answer is a Refusal or an Unknown."""

    __slots__ = ("_find", "_found")

    def __init__(self, find: Callable[[Question], Found]) -> None:
        self._find = find
        self._found: dict[Question, tuple[Found] | Refusal | Unknown] = {}

    def __call__(self, question: Question) -> Found:
        """What was found for it, or the refusal."""
        found = self._found.get(question)
        if found is None:
            found = self._found[question] = self._ask(question)
        # A new one each time: an exception that is raised again grows by its traceback.
        if isinstance(found, Refusal):
            raise Refusal(found.field, found.reason)
        if isinstance(found, Unknown):
            raise Unknown(str(found))
        return found[0]

    def _ask(self, question: Question) -> tuple[Found] | Refusal | Unknown:
        try:
            return (self._find(question),)
        except (Refusal, Unknown) as error:
            return error
