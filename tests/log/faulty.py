"""A store and a guard that fail at a chosen step, before or after it was done, as a disk or a kernel may."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from wattseal.log.guard import Guard
from wattseal.log.port import Read, Store, Write

BEFORE, AFTER = "before", "after"
"""The step is not done, or it is done and yet reported as failed."""


def io_error() -> None:
    raise OSError(errno.EIO, "a test makes the disk fail")


class Plan:
    """Counts the steps; at number `step` it calls `fail`. With step None it only counts."""

    def __init__(self, step: int | None = None, mode: str = BEFORE, fail: Callable[[], None] = io_error) -> None:
        self.step = step
        self.mode = mode
        self.fail = fail
        self.names: list[str] = []
        self.seen: list[str] = []
        """Checkpoints that became visible, in the guard or in the store."""

    def before(self, name: str) -> None:
        self.names.append(name)
        if self.mode == BEFORE and len(self.names) - 1 == self.step:
            self.fail()

    def after(self, number: int) -> None:
        if self.mode == AFTER and number == self.step:
            self.fail()

    def run(self, name: str, done: Callable[..., object], *args: object, **kwargs: object) -> object:
        number = len(self.names)
        self.before(name)
        result = done(*args, **kwargs)
        self.after(number)
        return result


class _FaultyTransaction:
    def __init__(self, inner: Read, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._inner, name)
        return lambda *args, **kwargs: self._plan.run(name, method, *args, **kwargs)


class FaultyStore:
    """A Store whose every call, and every commit, is a step."""

    def __init__(self, inner: Store, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan

    @contextmanager
    def read(self) -> Iterator[Read]:
        self._plan.before("read")
        with self._inner.read() as read:
            yield cast("Read", _FaultyTransaction(read, self._plan))

    @contextmanager
    def write(self) -> Iterator[Write]:
        with self._inner.write() as tx:
            yield cast("Write", _FaultyTransaction(tx, self._plan))
            number = len(self._plan.names)
            self._plan.before("commit")
        with self._inner.read() as read:
            self._plan.seen += [row.checkpoint for row in read.batches(limit=10_000) if row.checkpoint is not None]
        self._plan.after(number)

    def close(self) -> None:
        self._inner.close()


class FaultyGuard(Guard):
    """A Guard whose every call is a step."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._plan = plan
        super().__init__(path)

    def read(self) -> str | None:
        held = self._plan.run("guard.read", super().read)
        return None if held is None else str(held)

    def replace(self, expected: str | None, new: str) -> None:
        number = len(self._plan.names)
        self._plan.before("guard.replace")
        super().replace(expected, new)
        self._plan.seen.append(new)
        self._plan.after(number)
