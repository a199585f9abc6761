"""How far something is that takes longer than a person waits in silence: on standard error."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")

SILENT_SECONDS = 2.0  # that something may take without a word
BAR_SECONDS = 0.1  # between changes of the bar on a terminal
LINE_SECONDS = 10.0  # between lines where there is no terminal


def watched(items: Collection[Item], doing: str) -> Iterator[Item]:
    """Go through items, and show how far that is once it has taken two seconds.

    Args:
        doing: what happens to them, as in "reading results".
    """
    due = time.monotonic() + SILENT_SECONDS
    with contextlib.ExitStack() as stack:
        show = None
        for number, item in enumerate(items):
            yield item
            if time.monotonic() >= due:
                show = show or _Display(doing, len(items), stack)
                due = time.monotonic() + show(number + 1)


def console() -> Console:
    """Standard error. In a notebook, too: lines of text, and neither an output of the cell nor a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    return Console(stderr=True, force_jupyter=False, force_terminal=False) if console.is_jupyter else console


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class _Display:
    """A bar that goes away at the end, or lines. rich is imported here: quick commands do without."""

    def __init__(self, doing: str, total: int, shown: contextlib.ExitStack) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.doing = doing
        self.total = total
        self.console = console()
        if self.console.is_terminal:
            columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.bar = shown.enter_context(Progress(*columns, console=self.console, transient=True))
            self.task = self.bar.add_task(doing, total=total)

    def __call__(self, done: int) -> float:
        """Show it; returns in how many seconds to do so again."""
        if self.console.is_terminal:
            self.bar.update(self.task, completed=done)
            return BAR_SECONDS
        self.console.print(f"{self.doing}: {done:,} of {self.total:,}", highlight=False)
        return LINE_SECONDS
