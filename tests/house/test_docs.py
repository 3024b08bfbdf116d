"""What the documents point at exists: linked files and headings, cited sections, and the tests that decisions name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.repository import ROOT, name, text_files

ADR = ROOT / "docs" / "adr"
SPEC = ROOT / "docs" / "spec"

_NUMBER = r"§\d+(?:\.\d+)*"
_NUMBERS = rf"{_NUMBER}(?:(?:, | and |, and |–| to ){_NUMBER})*"
# As in docs/spec/reading.md §2.1, or [the log](log.md) §3, §4, or `log.md` §3.
CITED = re.compile(rf"([\w./-]+\.md)[`)]* ({_NUMBERS})")
# Sections of other people's documents, as in RFC 8949 §4.2.1 or C2SP tlog-tiles §3.
FOREIGN = re.compile(rf"(?:RFC|BIP|EIP|ERC|FIPS|SEC|NIST|C2SP|OCMF|IEC|ISO|OCPP|DSMR)(?:[ -][\w./-]+)*\)?,? {_NUMBERS}")
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(<?([^)\s>]+)>?\)")
HEADING = re.compile(r"^#{1,6} +(.*?)#*$", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def sections(text: str) -> set[str]:
    """The numbers of a document's headings: '## 4.2 Order' has number 4.2."""
    return {match[1].rstrip(".") for heading in headings(text) if (match := re.match(r"(\d+(?:\.\d+)*)\.? ", heading))}


def headings(text: str) -> list[str]:
    return [match.strip() for match in HEADING.findall(FENCE.sub("", text))]


def anchors(text: str) -> set[str]:
    """The names by which a link reaches a document's headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(text)}


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _resolve(target: str, path: Path) -> Path | None:
    """The file a citation means: beside the citing file, from the root, or a specification by its bare name."""
    candidates = [path.parent / target, ROOT / target, SPEC / target]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def bad_citations(text: str, path: Path) -> list[str]:
    """Sections that this text, which stands in `path`, cites and that do not exist.

    In a specification a bare § is one of its own.
    """
    found = []
    for target, numbers in CITED.findall(text):
        cited = _resolve(target, path)
        known = sections(_read(cited)) if cited else set()
        found += [f"{target} {number}" for number in re.findall(_NUMBER, numbers) if number[1:] not in known]
    if path.is_relative_to(SPEC):
        own = FOREIGN.sub("", CITED.sub("", text))
        found += [number for number in re.findall(_NUMBER, own) if number[1:] not in sections(text)]
    return found


def bad_links(text: str, path: Path) -> list[str]:
    """Links of this Markdown, which stands in `path`, to files or headings that do not exist."""
    found = []
    for link in LINK.findall(FENCE.sub("", text)):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        linked = (path.parent / target).resolve()
        is_there = not target or (linked.exists() and linked.is_relative_to(ROOT))
        if is_there and anchor:
            is_there = anchor in anchors(_read(linked) if target else text)
        if not is_there:
            found.append(link)
    return found


def bad_decision(text: str, number: int) -> list[str]:
    """What an architecture decision record lacks: its number, its parts, or an existing test that enforces it."""
    found = [] if re.match(rf"# {number}\. \S", text) else [f"the title does not begin with '# {number}. '"]
    found += [f"no '## {part}'" for part in ("Context", "Decision", "Consequences") if part not in headings(text)]
    if not re.search(r"^Status: (accepted|superseded by \d{4})$", text, re.MULTILINE):
        found.append("no 'Status: accepted' or 'Status: superseded by NNNN'")
    enforced = re.search(r"^Enforced by: (.+)$", text, re.MULTILINE)
    tests = re.findall(r"`([^`]+)`", enforced[1]) if enforced else []
    found += [f"no such file: {test}" for test in tests if not (ROOT / test).is_file()]
    return found if tests else [*found, "no 'Enforced by: `tests/...`'"]


def test_cited_sections_exist() -> None:
    here = Path(__file__)  # holds bad samples
    found = [
        f"{name(path)}: {bad}"
        for path, text in text_files()
        if path.suffix in {".md", ".py", ".sol", ".ts", ".tsx", ".toml"} and path != here
        for bad in bad_citations(text, path)
    ]
    assert not found, "\n".join(found)


def test_links_lead_somewhere() -> None:
    found = [
        f"{name(path)}: {bad}" for path, text in text_files() if path.suffix == ".md" for bad in bad_links(text, path)
    ]
    assert not found, "\n".join(found)


def test_decisions_name_their_test() -> None:
    records = sorted(ADR.glob("*.md"))
    assert [path.name[:5] for path in records] == [f"{number:04}-" for number in range(1, len(records) + 1)]
    found = [
        f"{name(path)}: {bad}" for number, path in enumerate(records, 1) for bad in bad_decision(_read(path), number)
    ]
    assert not found, "\n".join(found)


SAMPLE = "# Sample\n\n## 1. Form\n\n### 1.1 Order of checks\n\n```\n## 9. no heading\n```\n"


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("see §1 and §1.1", []),
        ("see §2", ["§2"]),
        ("see §9", ["§9"]),
        ("RFC 8949 §4.2.1 and §7, then §1", []),
        ("docs/spec/nothing.md §1", ["docs/spec/nothing.md §1"]),
        ("[nothing](nothing.md) §1, §2", ["nothing.md §1", "nothing.md §2"]),
    ],
)
def test_the_rule_about_sections(text: str, bad: list[str]) -> None:
    assert bad_citations(SAMPLE + text, SPEC / "sample.md") == bad


def test_the_rule_about_sections_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "sample.md").write_text(SAMPLE, encoding="utf-8")
    assert bad_citations("`sample.md` §1.1; sample.md §3; a bare §7", tmp_path / "code.py") == ["sample.md §3"]


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("[a](../../LICENSE) [b](#11-order-of-checks) [c](https://c2sp.org/tlog-tiles)", []),
        ("[a](nothing.md)", ["nothing.md"]),
        ("[a](#2-nothing)", ["#2-nothing"]),
        ("[a](../../../outside.md)", ["../../../outside.md"]),
    ],
)
def test_the_rule_about_links(text: str, bad: list[str]) -> None:
    assert bad_links(SAMPLE + text, SPEC / "sample.md") == bad


def test_the_rule_about_decisions() -> None:
    parts = "\n## Context\nA.\n## Decision\nB.\n## Consequences\nC.\n"
    status, enforced = "Status: accepted\n", "Enforced by: `tests/house/test_docs.py`\n"
    assert bad_decision(f"# 7. Title\n{status}{enforced}{parts}", 7) == []
    assert bad_decision(f"# 6. Title\n{status}{enforced}{parts}", 7)
    assert bad_decision(f"# 7. Title\n{enforced}{parts}", 7)
    assert bad_decision(f"# 7. Title\n{status}{parts}", 7)
    assert bad_decision(f"# 7. Title\n{status}Enforced by: `tests/nothing.py`\n{parts}", 7)
    assert bad_decision(f"# 7. Title\n{status}{enforced}\n## Context\nA.\n", 7)
