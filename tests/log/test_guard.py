from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import IOBase
from pathlib import Path

import pytest

from wattseal.core.note import MAX_NOTE_BYTES
from wattseal.core.refusal import Refusal
from wattseal.log.guard import Guard, GuardBusy, GuardMoved, read_guard

OLD, NEW = "example.org\n1\nold\n", "example.org\n2\nnew\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "wattseal" / "guard"


@pytest.fixture
def guard(path: Path) -> Iterator[Guard]:
    with Guard(path) as opened:
        yield opened


def test_it_begins_empty_and_keeps_what_it_is_given(guard: Guard, path: Path) -> None:
    assert guard.read() is None
    guard.replace(None, OLD)
    assert (guard.read(), read_guard(path), path.read_text()) == (OLD, OLD, OLD)
    guard.replace(OLD, NEW)
    guard.close()
    with Guard(path) as again:
        assert again.read() == NEW


@pytest.mark.parametrize(("held", "expected"), [(None, OLD), (OLD, None), (OLD, NEW), (OLD, "")])
def test_it_changes_nothing_if_it_holds_something_else(
    guard: Guard, path: Path, held: str | None, expected: str | None
) -> None:
    if held is not None:
        guard.replace(None, held)
    with pytest.raises(GuardMoved):
        guard.replace(expected, NEW)
    assert read_guard(path) == held


def test_a_second_one_is_refused(guard: Guard, path: Path) -> None:
    with pytest.raises(GuardBusy, match="already running"):
        Guard(path)
    guard.close()
    Guard(path).close()


def test_a_second_process_is_refused(guard: Guard, path: Path) -> None:
    program = "import sys, pathlib; from wattseal.log.guard import Guard; Guard(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", program, str(path)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert "GuardBusy" in run.stderr
    guard.close()
    assert subprocess.run(command, check=False).returncode == 0


def test_a_killed_process_lets_go(path: Path) -> None:
    program = (
        "import sys, pathlib, time; from wattseal.log.guard import Guard; g = Guard(pathlib.Path(sys.argv[1]));"
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(GuardBusy):
            Guard(path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    Guard(path).close()


def test_a_forked_worker_does_not_keep_the_lock_of_a_killed_process(path: Path) -> None:
    program = (
        "import os, sys, pathlib, time; from wattseal.log.guard import Guard; g = Guard(pathlib.Path(sys.argv[1]))\n"
        "child = os.fork()\n"
        "os.write(1, b'%d\\n' % (child or os.getpid()))\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(2)]  # parent and child have both come so far
        process.kill()
        process.wait()
        try:
            Guard(path).close()
        finally:
            os.kill(int(said[0]), signal.SIGKILL)
    assert said[0] == said[1]


def test_a_closed_one_does_nothing(guard: Guard, path: Path) -> None:
    guard.close()
    guard.close()
    with pytest.raises(ValueError, match="closed"):
        guard.replace(None, NEW)
    assert not path.exists()


def test_what_is_no_text_or_too_long(guard: Guard, path: Path) -> None:
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(Refusal, match="no text"):
        guard.read()
    path.write_bytes(b"x" * (MAX_NOTE_BYTES + 1))
    with pytest.raises(Refusal, match="larger"):
        guard.replace(None, NEW)


# --- The order of the system calls, and their failures ----------------------------------------------------------------


class Calls:
    """Records what the guard asks of the system; the call of one number fails, before or after it was done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: int | None = None, *, is_done: bool = False) -> None:
        self.names: list[str] = []
        self.fails = fails
        self.is_done = is_done
        monkeypatch.setattr(
            os, "fsync", self.wrap("fsync", os.fsync, lambda fd: Path(f"/proc/self/fd/{fd}").readlink())
        )
        monkeypatch.setattr(Path, "replace", self.wrap("rename", Path.replace, str))
        monkeypatch.setattr(Path, "open", self.wrap("open", Path.open, str))

    def wrap(self, name: str, real: Callable[..., object], describe: Callable[..., object]) -> Callable[..., object]:
        def call(subject: object, *args: object) -> object:
            number = len(self.names)
            self.names.append(f"{name} {Path(str(describe(subject))).name}")
            if number == self.fails and not self.is_done:
                raise OSError(errno.EIO, name)
            result = real(subject, *args)
            if number == self.fails:
                if isinstance(result, IOBase):
                    result.close()
                raise OSError(errno.EIO, name)
            return result

        return call


ORDER = ["open guard", "open guard.tmp", "fsync guard.tmp", "rename guard.tmp", "fsync wattseal"]


def test_the_content_is_durable_before_the_name_and_the_name_before_the_end(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(monkeypatch)
    guard.replace(None, NEW)
    assert calls.names == ORDER


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("fails", range(len(ORDER)))
def test_after_any_failure_it_holds_the_old_or_the_new(guard: Guard, path: Path, fails: int, *, is_done: bool) -> None:
    guard.replace(None, OLD)
    with pytest.MonkeyPatch.context() as patch:
        Calls(patch, fails, is_done=is_done)
        with pytest.raises(OSError, match=r"open|fsync|rename"):
            guard.replace(OLD, NEW)
    guard.close()
    with Guard(path) as again:
        held = again.read()
        is_renamed = fails > 3 or (fails == 3 and is_done)
        assert held == (NEW if is_renamed else OLD)
        again.replace(held, NEW)
        assert again.read() == NEW


def test_new_folders_are_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch)
    Guard(tmp_path / "a" / "b" / "guard").close()
    assert calls.names == [f"fsync {tmp_path.name}", "fsync a"]


def open_files() -> list[str]:
    return sorted(str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())


def test_no_second_lock_file_is_left_open(path: Path) -> None:
    before = open_files()
    with Guard(path), pytest.raises(GuardBusy):
        Guard(path)
    assert open_files() == before
