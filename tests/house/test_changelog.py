"""CHANGELOG.md follows keepachangelog.com and knows the version that the package says it is."""

from __future__ import annotations

import re

import pytest

import wattseal
from tests.house.repository import ROOT

KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
VERSION = re.compile(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d{2}-\d{2}")


def faults(text: str, version: str) -> list[str]:
    """What is wrong with a change log, in words."""
    found = [] if text.startswith("# Changelog\n") else ["it does not begin with '# Changelog'"]
    releases = re.findall(r"^## (.*)$", text, re.MULTILINE)
    if releases[:1] != ["[Unreleased]"]:
        found.append("the first release is not [Unreleased]")
    dated = [VERSION.fullmatch(release) for release in releases[1:]]
    numbers = [tuple(map(int, match.groups())) for match in dated if match]
    if len(numbers) != len(dated):
        found.append("a release is not '[x.y.z] - YYYY-MM-DD'")
    if numbers != sorted(set(numbers), reverse=True):
        found.append("the releases do not fall")
    # Until its release the version stands above the newest one.
    if numbers and tuple(map(int, version.split("."))) < numbers[0]:
        found.append(f"the package says {version}, older than the newest release")
    sections = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    for section in sections:
        kind, _, body = section.partition("\n")
        if kind not in KINDS:
            found.append(f"'{kind}' is none of {', '.join(sorted(KINDS))}")
        if not re.search(r"^- \S", body.partition("\n## ")[0], re.MULTILINE):
            found.append(f"'{kind}' lists nothing")
    return found if sections else [*found, "it lists no change"]


def test_the_changelog() -> None:
    assert faults((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), wattseal.__version__) == []


GOOD = "# Changelog\n\n## [Unreleased]\n\n### Added\n- A.\n\n## [0.1.0] - 2026-12-01\n\n### Fixed\n- B.\n"


def test_the_rule_allows() -> None:
    assert faults(GOOD, "0.1.0") == []
    assert faults(GOOD, "0.2.0") == []


@pytest.mark.parametrize(
    ("bad", "version"),
    [
        (GOOD.replace("# Changelog", "# History"), "0.1.0"),
        (GOOD.replace("## [Unreleased]", "## [0.2.0] - 2026-12-02"), "0.2.0"),
        (GOOD.replace(" - 2026-12-01", ""), "0.1.0"),
        (GOOD.replace("### Fixed", "### Mended"), "0.1.0"),
        (GOOD.replace("- A.\n", ""), "0.1.0"),
        (GOOD + "\n## [0.2.0] - 2026-12-05\n", "0.2.0"),
        (GOOD, "0.0.9"),
        ("# Changelog\n\n## [Unreleased]\n", "0.1.0"),
    ],
)
def test_the_rule_finds(bad: str, version: str) -> None:
    assert faults(bad, version)
