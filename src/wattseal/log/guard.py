"""The guard: the last signed checkpoint, in a file apart from the database and its backups (docs/spec/log.md §4).

It is what keeps a restored backup from signing a second history: the log signs only what extends the guard's
checkpoint. The file holds either the old or the new checkpoint, whole, at every moment and after every crash; once
`replace` has returned, it is the new one.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path
from typing import Final, Self

from wattseal.core.note import MAX_NOTE_BYTES
from wattseal.core.refusal import Refusal
from wattseal.log.durable import make_folder

_MODE: Final = 0o644


class GuardBusy(RuntimeError):
    """Another process holds this guard: the same log is already open."""


class GuardMoved(RuntimeError):
    """The guard holds another checkpoint than the one that was compared with."""


def read_guard(path: Path) -> str | None:
    """What a guard holds, None where there is no file. Needs no lock: for fsck and for people, also while the log runs.

    Raises Refusal for what cannot be a signed note, OSError.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_NOTE_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(data) > MAX_NOTE_BYTES:
        raise Refusal("guard", f"{path} is larger than a checkpoint can be")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refusal("guard", f"{path} is not a checkpoint: it is no text") from None


class Guard:
    """The guard at a path, locked for this process until `close`. Raises GuardBusy if another one has it, OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        make_folder(path.parent)
        # The lock is a file of its own, because the guard itself is replaced by another file each time.
        self._lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Open from before the first write on: an error about this folder is then reported to its fsync.
            self._folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except BlockingIOError:
            os.close(self._lock)
            raise GuardBusy(f"{path} is locked by another process: is the log already running?") from None
        except OSError:
            os.close(self._lock)
            raise
        self._is_open = True
        _OPEN.add(self)

    def read(self) -> str | None:
        """The last checkpoint that was signed, None before the first. Raises Refusal for what is no text, OSError."""
        self._check()
        return read_guard(self.path)

    def replace(self, expected: str | None, new: str) -> None:
        """Put `new` in the place of `expected`; when this returns, it survives the loss of power.

        Raises GuardMoved, having changed nothing, if the guard does not hold `expected`. After an OSError it holds one
        of the two: read it again, in a new process.
        """
        if self.read() != expected:
            raise GuardMoved(f"{self.path} does not hold the checkpoint that was compared with")
        temporary = self.path.with_name(self.path.name + ".tmp")
        with temporary.open("wb") as file:
            file.write(new.encode())
            file.flush()
            os.fsync(file.fileno())
        # Without the fsync above, a loss of power after the rename could leave an empty guard; without the one below,
        # the old guard could come back after the new checkpoint was served.
        temporary.replace(self.path)
        os.fsync(self._folder)

    def close(self) -> None:
        """Let the lock go."""
        if self._is_open:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            self._abandon()

    def _abandon(self) -> None:
        """Close the files, and leave the lock to whoever shares them."""
        self._is_open = False
        _OPEN.discard(self)
        os.close(self._folder)
        os.close(self._lock)

    def _check(self) -> None:
        if not self._is_open:
            raise ValueError("this guard is closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_OPEN: Final[weakref.WeakSet[Guard]] = weakref.WeakSet()


def _let_go_in_child() -> None:
    # A forked worker shares the lock's open file. If it outlived a killed server, the lock would, too.
    for guard in list(_OPEN):
        guard._abandon()  # noqa: SLF001 - the same file


os.register_at_fork(after_in_child=_let_go_in_child)
