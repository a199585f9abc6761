"""How far something is that takes long: on standard error, alive on a terminal, in lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SOON = 2.0  # seconds: what is over by then needs no progress
LINE_SECONDS = 10.0  # between lines where there is no terminal


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function to call with how many are done, and how many there are."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    progress = Progress(*columns, *times, console=console, transient=True)
    task = progress.add_task(what)
    next_line = time.monotonic() + SOON

    def show(done: int, total: int) -> None:
        nonlocal next_line
        progress.update(task, completed=done, total=total)
        if time.monotonic() > next_line:
            next_line = time.monotonic() + LINE_SECONDS
            if console.is_terminal:
                progress.start()
            else:
                console.print(f"{what} {done:,} of {total:,}", highlight=False, markup=False)

    try:
        yield show
    finally:
        if progress.live.is_started:
            progress.stop()
