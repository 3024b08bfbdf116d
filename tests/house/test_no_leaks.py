"""No file names the machine it was written on or the place that packages were fetched from."""

from __future__ import annotations

import re

import pytest

from tests.house.repository import name, text_files

# Brackets keep a pattern from finding itself.
LEAKS = {
    "an index option": re.compile(r"--(extra-)?index[-]url|--find[-]links|\bindex[-_]url\s*="),
    "a registry address": re.compile(
        r"https?:/[/](?:[\w-]+\.)*(?:registry|pypi|npmjs|crates|maven|repo\d*|proxy|index|mirrors?|deb|pythonhosted)[.\w-]*"
    ),
    "a resolved address": re.compile(r'"resolved[s]?"\s*:\s*"(?:https?|git)'),
    "a package's file": re.compile(r"https?:/[/][^\s\"']*(?:\.whl|\.tgz|\.tar\.gz|\.jar|\.crate)\b"),
    "a registry setting": re.compile(r"^[ \t]*registry\s*=\s*[\"']?http", re.MULTILINE),
    "a path of one machine": re.compile(r"(?<![\w.])/(?:wor[k]|hom[e]/\w+|roo[t]|User[s]/\w+)/"),
}
# uv is told to write no address.
PERMITTED = re.compile(r"--no-emit-index[-]url")


def leaks(text: str) -> list[tuple[int, str]]:
    """Line and kind of each leak."""
    text = PERMITTED.sub("", text)
    return sorted(
        (text.count("\n", 0, match.start()) + 1, kind) for kind, leak in LEAKS.items() for match in leak.finditer(text)
    )


def test_nothing_leaks() -> None:
    found = [f"{name(path)}:{line}: {kind}" for path, text in text_files() for line, kind in leaks(text)]
    assert not found, "\n".join(found)


# Each sample is put together here, so that this file does not hold it.
@pytest.mark.parametrize(
    "bad",
    [
        "--index" + "-url x",
        "--extra-index" + "-url=x",
        "index" + "-url = x",
        "https:/" + "/registry.example.org/left-pad",
        "https:/" + "/files.pythonhosted.example/x",
        '"resolved"' + ': "https://host/x"',
        "https:/" + "/host/a/b-1.0-py3-none-any.whl",
        "registry" + "=https://host/",
        "see /wor" + "k/main/x",
        "cd /hom" + "e/me/wattseal",
    ],
)
def test_the_rule_finds(bad: str) -> None:
    assert [line for line, _ in leaks(f"\n{bad}\n")][:1] == [2]


@pytest.mark.parametrize(
    "good",
    ["uv pip compile --no-emit-index" + "-url", "https://c2sp.org/tlog-tiles", "docs/wo" + "rk/x", "network/working"],
)
def test_the_rule_allows(good: str) -> None:
    assert leaks(good) == []
