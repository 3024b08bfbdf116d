"""Tables and progress for people, both by Rich."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from wattseal.cli.terminal import clean


def show_table(heads: Sequence[str], rows: Iterable[Sequence[object]], nothing: str) -> None:
    """A table on stdout, or the words `nothing`. A head that begins with ">" is of numbers, set to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head.removeprefix(">"), justify="right" if head.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(clean("" if cell is None else str(cell)) for cell in row))
    # Wide where nobody looks: what a script cuts into columns must not be folded.
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 400)
    if table.row_count:
        console.print(table)
    else:
        print(nothing)


@contextmanager
def progress(what: str, *, shown: bool = True) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr while the block runs; the block calls it with (done, of how many or None). Only on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not shown or not console.is_terminal, transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
