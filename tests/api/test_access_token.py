from __future__ import annotations

import hashlib

import pytest

from wattseal.api.access_token import NOBODY, Caller, TokenBook, TokenError, mint
from wattseal.core.refusal import Refusal

NOW = 1_700_000_000


def test_only_the_hash_is_kept() -> None:
    text, row = mint("x", ["tenant"], ["house/flat-1"], NOW)
    assert len(text) == len("wattseal_") + 43
    assert row.token_hash == hashlib.sha256(text.encode()).digest()
    assert text not in repr(row)
    assert mint("x", ["auditor"], [], NOW)[0] != text


def test_who_presents_a_token() -> None:
    text, row = mint("x", ["tenant", "report", "tenant"], ["b/c", "a"], NOW, NOW + 10)
    book = TokenBook([row])
    assert book.caller(text, NOW) == Caller("x", frozenset({"tenant", "report"}), ("b/c", "a"))
    with pytest.raises(TokenError, match="expired"):
        book.caller(text, NOW + 10)
    revoked = TokenBook([row._replace(revoked_s=NOW + 5)])
    assert revoked.caller(text, NOW + 4).label == "x"
    with pytest.raises(TokenError, match="revoked"):
        revoked.caller(text, NOW + 5)


@pytest.mark.parametrize("text", ["", "wattseal_", "x" * 52, "wattseal_" + "é" * 43, "wattseal_" + "A" * 43 + "\n"])
def test_what_is_no_token(text: str) -> None:
    _, row = mint("x", ["auditor"], [], NOW)
    for rows in ([], [row], [row._replace(token_hash=bytes(32))]):
        with pytest.raises(TokenError, match=r"not known|no token"):
            TokenBook(rows).caller(text, NOW)


@pytest.mark.parametrize(
    ("prefixes", "path", "covers"),
    [
        (("a",), "a/b/c", True),
        (("a",), "a", True),
        (("a",), "ab/b/c", False),
        (("a/b",), "a/b/c", True),
        (("a/b",), "a/bc/d", False),
        (("a/b/c",), "a/b/c", True),
        (("a/b/c",), "a/b/cd", False),
        (("a/b/c",), "a/b", False),
        (("x", "a/b"), "a/b/c", True),
        ((), "a/b/c", False),
    ],
)
def test_subjects_end_between_parts(prefixes: tuple[str, ...], path: str, *, covers: bool) -> None:
    assert Caller("", frozenset({"tenant"}), prefixes).sees(path) is covers


def test_scopes() -> None:
    assert not NOBODY.sees("a/b/c")
    assert not NOBODY.may("report", "a/b/c")
    for scope in ("operator", "auditor"):
        assert Caller("", frozenset({scope})).sees("a/b/c")
    assert not Caller("", frozenset({"report"})).sees("a/b/c")
    assert Caller("", frozenset({"report"})).may("report", "a/b/c")
    assert not Caller("", frozenset({"report"}), ("b",)).may("report", "a/b/c")
    assert not Caller("", frozenset({"report"})).may("enrol", "a/b/c")
    assert Caller("", frozenset({"operator"}), ("b",)).may("enrol", "a/b/c")
    assert not Caller("", frozenset({"auditor"})).may("enrol", "a/b/c")


@pytest.mark.parametrize(
    ("label", "scopes", "subject", "field"),
    [
        (" ", ["auditor"], [], "label"),
        ("x" * 101, ["auditor"], [], "label"),
        ("\x1b[2J", ["auditor"], [], "label"),
        ("x", [], [], "scopes"),
        ("x", ["admin"], [], "scopes"),
        ("x", ["tenant"], [], "subject"),
        ("x", ["tenant"], [""], "subject"),
        ("x", ["tenant"], ["a\nb"], "subject"),
        ("x", ["tenant"], ["a//b"], "subject"),
        ("x", ["tenant"], ["a"] + [f"a/{n}" for n in range(1_000)], "subject"),
    ],
)
def test_tokens_that_cannot_be(label: str, scopes: list[str], subject: list[str], field: str) -> None:
    with pytest.raises(Refusal) as refused:
        mint(label, scopes, subject, NOW)
    assert refused.value.field == field
