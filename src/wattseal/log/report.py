"""What a check of the log found, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

Progress = Callable[[int, int], None]
"""Called with (entries done, entries in all) now and then."""

_KEPT: Final = 200


@dataclass(frozen=True, slots=True)
class Report:
    """The result of fsck.

    `ok`: nothing differs. `checked` counts what was looked at, by name. `first_bad_index`: the first entry that is
    affected, None where all is well or no entry can be named. `findings` say what differs and `notes` what is worth
    knowing, one sentence each; the first 200 of them, with the number of the others.
    """

    ok: bool
    checked: Mapping[str, int]
    first_bad_index: int | None
    findings: tuple[str, ...]
    notes: tuple[str, ...]


class Findings:
    """Collects what a check finds; a report comes out at the end."""

    def __init__(self) -> None:
        self.checked: dict[str, int] = {}
        self._findings: list[str] = []
        self._count = 0
        self._notes: list[str] = []
        self._exact: set[int] = set()
        self._lowest: int | None = None
        self._ranges: list[tuple[int, int]] = []

    def count(self, name: str, number: int = 1) -> None:
        """Add to what was looked at."""
        self.checked[name] = self.checked.get(name, 0) + number

    def bad(self, text: str, index: int | None = None) -> None:
        """Something differs; `index` is the entry that is affected, if one can be named."""
        if index is not None:
            text = f"entry {index}: {text}"
            self._lowest = index if self._lowest is None else min(self._lowest, index)
            if len(self._exact) < _KEPT:
                self._exact.add(index)
        self._count += 1
        if len(self._findings) < _KEPT:
            self._findings.append(text)

    def bad_range(self, text: str, first: int, last: int) -> None:
        """Something differs from entry `first` to `last`: named by the first, unless another finding is more exact."""
        self.bad(text)
        if len(self._ranges) < _KEPT:
            self._ranges.append((first, last))

    def note(self, text: str) -> None:
        """Something that is worth knowing and not wrong."""
        if len(self._notes) < _KEPT:
            self._notes.append(text)

    def report(self) -> Report:
        """The result so far."""
        vague = {first for first, last in self._ranges if not any(first <= exact <= last for exact in self._exact)}
        findings = list(self._findings)
        if self._count > len(findings):
            findings.append(f"and {self._count - len(findings)} more")
        first_bad = min(vague if self._lowest is None else {*vague, self._lowest}, default=None)
        return Report(not self._count, dict(self.checked), first_bad, tuple(findings), tuple(self._notes))
