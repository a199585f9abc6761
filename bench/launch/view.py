"""What a person sees while a suite trains: on standard error, alive on a terminal, in lines elsewhere."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.progress import console
from bench.results import RunFolder
from bench.suite import Suite
from bench.visible import visible

LINE_SECONDS = 10.0  # between lines where there is no terminal
MOST_LOOKING = 0.05  # share of the time that may go into looking at run folders, however many there are


class View:
    """Cells, runs done, failed and left, and the time left. Call it to bring it up to date."""

    def __init__(self, suite: Suite, results: Path) -> None:
        self.console = console()
        self.results = results
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("runs {task.completed:.0f}/{task.total:.0f}{task.fields[failed]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.task = self.progress.add_task(suite.name, failed="")
        self._last_line = time.monotonic()
        self.ask(suite)

    def __enter__(self) -> View:
        if self.console.is_terminal:
            self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._look()
        self()
        self.progress.stop()

    def __call__(self) -> None:
        """Look at the runs that were not finished at the last look, and show how things stand.

        It may be called as often as one likes: it looks so often only that other work is not held up.
        """
        if time.monotonic() >= self._next_look:
            self._look()
        if not self.console.is_terminal and time.monotonic() - self._last_line > LINE_SECONDS:
            self._last_line = time.monotonic()
            self.say(self._summary())

    def ask(self, suite: Suite) -> None:
        """Show how these runs stand: more than before, where seeds are added until decided."""
        self.cells = [[RunFolder(self.results, run.id) for run in cell.runs] for cell in suite.every_cell]
        self.planned = sum(len(cell) for cell in self.cells)
        self.failed = 0
        self._look()

    def say(self, message: str) -> None:
        """One line for the person, above the live view."""
        self.console.print(visible(message), highlight=False, markup=False, soft_wrap=True)

    def _look(self) -> None:
        began = time.monotonic()
        try:
            begun = set(os.listdir(self.results / "runs"))
        except FileNotFoundError:
            begun = set()
        # Failed runs are counted once; a run that is done or failed needs no second look.
        for position, cell in enumerate(self.cells):
            still = []
            for folder in cell:
                if folder.run_id not in begun:
                    still.append(folder)
                elif folder.done:
                    continue
                elif folder.failed:
                    self.failed += 1
                else:
                    still.append(folder)
            self.cells[position] = still
        self.left = sum(len(cell) for cell in self.cells)
        complete = sum(not cell for cell in self.cells)
        failed = f" [red]{self.failed} failed[/red]" if self.failed else ""
        self.progress.update(
            self.task,
            description=f"cells {complete}/{len(self.cells)}",
            completed=self.planned - self.left,
            total=self.planned,
            failed=failed,
        )
        now = time.monotonic()
        self._next_look = now + (now - began) * (1 / MOST_LOOKING - 1)

    def _summary(self) -> str:
        done = self.planned - self.left - self.failed
        failed = f", {self.failed} failed" if self.failed else ""
        remaining = self.progress.tasks[0].time_remaining
        estimate = f", about {remaining:.0f} s left" if remaining else ""
        return f"{done} of {self.planned} runs done{failed}, {self.left} to go{estimate}"
