from __future__ import annotations

import pytest

from wattseal.core.answers.once import Once
from wattseal.core.answers.unknown import Unknown
from wattseal.core.refusal import Refusal


def test_each_question_is_asked_once_whatever_it_comes_to() -> None:
    asked: list[str] = []

    def find(question: str) -> str | None:
        asked.append(question)
        match question:
            case "bad":
                raise Refusal("field", "why")
            case "missing":
                raise Unknown("what")
            case "none":
                return None
        return question.upper()

    once = Once(find)
    refusals, unknowns = set(), set()
    for _ in range(3):
        assert (once("a"), once("none")) == ("A", None)
        with pytest.raises(Refusal, match="field: why") as refusal:
            once("bad")
        with pytest.raises(Unknown, match="what") as unknown:
            once("missing")
        refusals.add(refusal.value)
        unknowns.add(unknown.value)
    assert asked == ["a", "none", "bad", "missing"]
    assert (len(refusals), len(unknowns)) == (3, 3)
