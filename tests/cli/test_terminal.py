"""Colours and folding only where somebody looks."""

from __future__ import annotations

import io

import pytest

from wattseal.cli.terminal import Terminal


class Screen(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_on_a_terminal() -> None:
    screen = Screen()
    terminal = Terminal(screen)
    assert terminal.paint("yes", "green") == "\x1b[32myes\x1b[0m"
    terminal.folded("head ", 5, "word " * 20)
    lines = screen.getvalue().splitlines()
    assert lines[0].startswith("head word")
    assert all(line.startswith("     word") for line in lines[1:])
    assert len(lines) > 1
    assert max(map(len, lines)) <= 60


def test_into_a_file() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    assert terminal.paint("yes", "green") == "yes"
    terminal.folded("head ", 5, "word " * 20)
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_without_colours(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert Terminal(Screen()).paint("yes", "green") == "yes"


def test_a_stream_that_cannot_show_a_sign() -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii")
    Terminal(stream).line("✔ yes")
    stream.flush()
    assert written.getvalue() == b"? yes\n"
