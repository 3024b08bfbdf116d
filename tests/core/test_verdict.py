from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattseal.core.verdict import (
    EXIT_NO,
    EXIT_UNKNOWN,
    EXIT_UNREADABLE,
    EXIT_YES,
    NAMES,
    Answer,
    Verdicts,
    Word,
    worst,
)

WORDS: Sequence[Word] = ("yes", "unknown", "no")
answers = st.builds(Answer, st.sampled_from(WORDS), st.text(max_size=5), st.booleans())
verdicts = st.builds(Verdicts, *[answers] * 5)
required = st.sets(st.sampled_from(NAMES))


@given(st.lists(answers, min_size=1, max_size=6))
def test_the_worst_answer(given_answers: list[Answer]) -> None:
    found = worst(given_answers, Answer("yes", "nobody asked"))
    words = {answer.word for answer in given_answers}
    assert found.word == ("no" if "no" in words else "unknown" if "unknown" in words else "yes")
    assert found.simulated is any(answer.simulated for answer in given_answers)
    # The reason is that of the first answer that has the word.
    assert found.reason == next(answer.reason for answer in given_answers if answer.word == found.word)


def test_of_no_answers_the_other_one_is_the_worst() -> None:
    assert worst([], Answer("unknown", "there is nothing")) == Answer("unknown", "there is nothing")


@given(verdicts, required)
def test_exit_codes(found: Verdicts, names: set[str]) -> None:
    words = {name: answer.word for name, answer in found.items()}
    code = found.exit_code(names)
    if "no" in words.values():
        assert code == EXIT_NO == 1
    elif all(words[name] == "yes" for name in names):
        assert code == EXIT_YES == 0
    else:
        assert code == EXIT_UNKNOWN == 3
    assert code != EXIT_UNREADABLE


@given(verdicts, required)
def test_without_simulated(found: Verdicts, names: set[str]) -> None:
    shown = found.without_simulated()
    for (name, before), (_, after) in zip(found.items(), shown.items(), strict=True):
        if before.simulated and before.word == "yes":
            assert after.word == "unknown"
            assert before.reason.rstrip(".") in after.reason
            assert "simulated" in after.reason
        else:
            assert after == before, name
        assert after.simulated is before.simulated
    assert shown.without_simulated() == shown
    # Refusing a rehearsal never makes more of a file.
    assert shown.exit_code(names) in {found.exit_code(names), EXIT_UNKNOWN}


def test_the_answers_have_their_order() -> None:
    named = Verdicts(*(Answer("yes", name) for name in NAMES))
    assert [(name, answer.reason) for name, answer in named.items()] == [(name, name) for name in NAMES]
    assert NAMES == ("authentic", "included", "complete", "anchored", "billed")


@pytest.mark.parametrize("name", NAMES)
def test_one_no_is_enough(name: str) -> None:
    words = {other: Answer("yes", "") for other in NAMES}
    assert Verdicts(**words).exit_code(NAMES) == EXIT_YES
    assert Verdicts(**{**words, name: Answer("no", "")}).exit_code(()) == EXIT_NO
    assert Verdicts(**{**words, name: Answer("unknown", "")}).exit_code((name,)) == EXIT_UNKNOWN
