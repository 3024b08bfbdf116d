"""What a terminal is told: text made safe, colours only where they are wanted, long reasons folded.

Standard library and `core` only: the verifier uses it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import Final, TextIO

from wattseal.core.verdict import EXIT_UNREADABLE

MIN_WIDTH: Final = 60
_CODES: Final = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "magenta": "35", "dim": "2"}


def clean(text: str) -> str:
    """The text without anything that could move a cursor or hide a line: files come from strangers."""
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in text)


def tolerate(stream: TextIO) -> None:
    """Let a stream that cannot show a sign show a question mark instead of failing."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def told(command: str, run: Callable[[], int]) -> int:
    """The exit code of a command, or 2 where nobody could be told its answer: no reader, or a full disk.

    Without this Python would end with a traceback and the exit code of a no.
    """
    try:
        code = run()
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            # Python flushes once more at its end, and must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        with contextlib.suppress(OSError):
            reason = error.strerror or error
            print(f"wattseal {command}: the answers cannot be written: {reason}", file=sys.stderr, flush=True)
        return EXIT_UNREADABLE
    return code


class Terminal:
    """Where lines go. Colours and folding only on a terminal; NO_COLOR (no-color.org) switches colours off."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        tolerate(self._stream)
        self._is_terminal = self._stream.isatty()
        self._colours = self._is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def paint(self, text: str, *styles: str) -> str:
        """The text in these styles, or as it is."""
        if not self._colours or not styles:
            return text
        return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"

    def line(self, text: str = "") -> None:
        """One line. Whatever came from a file must have gone through `clean`."""
        print(text, file=self._stream)

    def folded(self, head: str, width: int, text: str) -> None:
        """A painted head of `width` columns and a text that, on a terminal, goes on under itself."""
        columns = shutil.get_terminal_size().columns - width
        lines = [text]
        if self._is_terminal and columns >= MIN_WIDTH - width:
            lines = textwrap.wrap(text, columns, break_on_hyphens=False) or [""]
        self.line(head + lines[0])
        for rest in lines[1:]:
            self.line(" " * width + rest)
