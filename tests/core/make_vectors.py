"""Writes the files of known answers: run `python -m tests.core.make_vectors` from the root.

Everything in them follows from constants, so a run changes a file only if a format, a check or its wording changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.core import (
    make_bundle_vectors,
    make_emlog_vectors,
    make_entry_vectors,
    make_log_vectors,
    make_reading_vectors,
)

FOLDER: Final = Path(__file__).resolve().parents[2] / "vectors"
FILES: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "reading": make_reading_vectors.vectors,
    "emlog": make_emlog_vectors.vectors,
    "entry": make_entry_vectors.vectors,
    "log": make_log_vectors.vectors,
    "bundle": make_bundle_vectors.vectors,
}


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.json"


def text_of(name: str) -> str:
    """The file's text, made anew."""
    return json.dumps(FILES[name](), indent=1, ensure_ascii=False) + "\n"


def load(name: str) -> dict[str, Any]:
    """The file as it is stored."""
    found: dict[str, Any] = json.loads(path_of(name).read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    for file in FILES:
        path_of(file).write_text(text_of(file), encoding="utf-8")
