"""The files of known answers themselves: complete, current, and readable by every language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.make_vectors import FILES, FOLDER, load, path_of, text_of

PAGES = Path(__file__).resolve().parents[2] / "docs" / "spec"


def values(value: object) -> Iterator[object]:
    yield value
    if isinstance(value, dict):
        for item in value.values():
            yield from values(item)
    elif isinstance(value, list):
        for item in value:
            yield from values(item)


def lists_of_cases(value: object) -> Iterator[list[dict[str, Any]]]:
    for found in values(value):
        if isinstance(found, list) and found and all(isinstance(item, dict) and "spec" in item for item in found):
            yield found


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_what_the_script_makes(name: str) -> None:
    assert path_of(name).read_text(encoding="utf-8") == text_of(name), "run: python -m tests.core.make_vectors"


@pytest.mark.parametrize("name", FILES)
def test_every_json_parser_reads_the_numbers(name: str) -> None:
    numbers = [value for value in values(load(name)) if isinstance(value, int | float)]
    assert all(type(number) is not float and -(2**53) < number < 2**53 for number in numbers)


@pytest.mark.parametrize("name", FILES)
def test_each_case_has_a_name_of_its_own_and_cites_its_section(name: str) -> None:
    found = list(lists_of_cases(load(name)))
    assert found
    for cases in found:
        names = [case["name"] for case in cases]
        assert len(set(names)) == len(names)
        for case in cases:
            page, _, section = case["spec"].partition(" §")
            if not page.endswith(".md"):
                assert page.startswith(("RFC ", "C2SP "))
                continue
            heading = rf"^#+ {re.escape(section)}[. ]"
            assert re.search(heading, (PAGES / page).read_text(encoding="utf-8"), re.MULTILINE), case["spec"]


def test_what_is_refused_names_its_field_and_its_reason() -> None:
    refused = [case for name in FILES for cases in lists_of_cases(load(name)) for case in cases if "reason" in case]
    assert len(refused) > 400
    assert all(case["field"] and case["reason"] for case in refused)


def test_no_file_of_vectors_is_forgotten() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {*FILES, "anchor"}
