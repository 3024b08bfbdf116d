"""The five answers of a verification, and the exit code that follows from them (docs/spec/proof.md §3, §4)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal

Word = Literal["yes", "no", "unknown"]

NAMES = ("authentic", "included", "complete", "anchored", "billed")
_STRENGTH: dict[Word, int] = {"yes": 0, "unknown": 1, "no": 2}

EXIT_YES, EXIT_NO, EXIT_UNREADABLE, EXIT_UNKNOWN = range(4)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    The word, why in plain words, whether anything it rests on is simulated, and the facts that were established.
    `caution`: the reason says something that a yes must not hide.
    """

    word: Word
    reason: str
    simulated: bool = False
    facts: tuple[str, ...] = ()
    caution: bool = False


def worst(answers: Iterable[Answer], otherwise: Answer) -> Answer:
    """The weakest of several answers (`no` beats `unknown` beats `yes`), simulated if any is.

    `otherwise` where there are none.
    """
    every = list(answers)
    if not every:
        return otherwise
    weakest = max(every, key=lambda answer: _STRENGTH[answer.word])
    return replace(weakest, simulated=any(answer.simulated for answer in every))


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The five answers."""

    authentic: Answer
    included: Answer
    complete: Answer
    anchored: Answer
    billed: Answer

    def items(self) -> tuple[tuple[str, Answer], ...]:
        """(name, answer) in the order in which they are shown."""
        return tuple((name, getattr(self, name)) for name in NAMES)

    def without_simulated(self) -> Verdicts:
        """The same, where a simulated yes has become unknown (§4)."""
        return Verdicts(*(_without_simulated(answer) for _, answer in self.items()))

    def exit_code(self, required: Collection[str]) -> int:
        """0 if all required answers are yes and none of the five is no, 1 if one of the five is no, else 3."""
        if any(answer.word == "no" for _, answer in self.items()):
            return EXIT_NO
        return EXIT_YES if all(getattr(self, name).word == "yes" for name in required) else EXIT_UNKNOWN


def _without_simulated(answer: Answer) -> Answer:
    if not (answer.simulated and answer.word == "yes"):
        return answer
    reason = f"only a rehearsal says so (simulated): {answer.reason.rstrip('.')}; --allow-simulated accepts that"
    return replace(answer, word="unknown", reason=reason)
