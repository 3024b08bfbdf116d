"""The locks pin every package with its hashes and follow pyproject.toml."""

from __future__ import annotations

import re

import pytest

from tests.house.repository import ROOT, pyproject

PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)(?: ; .*?)?((?: --hash=sha256:[0-9a-f]{64})+)$")


def pins(text: str) -> dict[str, str]:
    """Name and version of each package in a lock; ValueError for a line that is anything but a pin with hashes."""
    found = {}
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        match = PIN.match(line)
        if match is None:
            raise ValueError(line[:80])
        found[match[1]] = match[2]
    return found


def lock(name: str) -> dict[str, str]:
    return pins((ROOT / "requirements" / name).read_text(encoding="utf-8"))


def names(requirements: list[str | dict[str, str]]) -> set[str]:
    """The packages that a list of requirements names, normalised."""
    found = [re.match(r"[\w.-]+", item) for item in requirements if isinstance(item, str)]
    return {match[0].lower().replace("_", "-") for match in found if match}


def test_the_locks_follow_pyproject() -> None:
    project, groups = pyproject()["project"], pyproject()["dependency-groups"]
    server = names(project["dependencies"]) | names(groups["build"])
    extras = project["optional-dependencies"]
    server |= names(extras["server"])
    missing = server - lock("server.txt").keys()
    missing |= server.union(names(groups["dev"]), *map(names, extras.values())) - lock("dev.txt").keys()
    missing |= names(groups["lock"]) - lock("lock.txt").keys()
    assert not missing, f"run `make lock`: {sorted(missing)}"


def test_developers_run_what_users_run() -> None:
    assert lock("server.txt").items() <= lock("dev.txt").items()


def test_the_rule_about_pins() -> None:
    digest = "--hash=sha256:" + 64 * "a"
    assert pins(f"a-b==1.0 ; sys_platform == 'win32' \\\n    {digest} \\\n    {digest}\nc==2\\\n {digest}\n") == {
        "a-b": "1.0",
        "c": "2",
    }


@pytest.mark.parametrize("bad", ["a==1.0\n", "a>=1.0 --hash=sha256:" + 64 * "a", "--index" + "-url x", "-e ."])
def test_the_rule_refuses(bad: str) -> None:
    with pytest.raises(ValueError, match=re.escape(bad.strip()[:5])):
        pins(bad)
