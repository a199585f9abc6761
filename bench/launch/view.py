"""The progress of a suite on standard error: a live table on a terminal, lines elsewhere.

A line a loss × model says how many of its seeds are done, how they did so far, and how far those that train
are. There are no verdicts: looking is not deciding.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bench.cells import Cell, Search
from bench.disk import Damaged
from bench.errors import BenchError
from bench.launch.grouping import Kind
from bench.progress import console, duration
from bench.results.folder import RunFolder
from bench.suite import Suite
from bench.visible import visible

LINE_SECONDS = 10.0, 60.0  # between lines where there is no terminal: at first, and after a while
LOOK_SECONDS = 1.0  # between two looks, at least
DRAW_SECONDS = 0.5  # between two pictures on a terminal
GUESS_SECONDS = 15.0  # of training, after which a run is timed by a few steps where none has finished
MOST_LOOKING = 0.05  # share of the time that may go into looking at run folders, however many there are
MOST_LINES = 24  # of cells, on a terminal that does not say how high it is


@dataclass
class _Row:
    """The progress of one cell."""

    cell: Cell
    left: list[RunFolder]
    """Runs that have neither finished nor failed."""
    training: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of those that have begun: run id → the last finished epoch; empty before the first."""
    values: list[float] = field(default_factory=list)
    """Accuracies of finished runs that have one."""
    failed: int = 0

    @property
    def epochs(self) -> int:
        """Epochs of each run; 0: not known for this trainer."""
        epochs = self.cell.recipe.get("epochs", 0)
        return epochs if isinstance(epochs, int) else 0

    @property
    def done(self) -> int:
        """Finished seeds."""
        return len(self.cell.seeds) - len(self.left) - self.failed

    def share_left(self) -> float:
        """Runs that are left, less what those that train have done."""
        epochs = sum(int(line.get("epoch", 0)) for line in self.training.values())
        return len(self.left) - (epochs / self.epochs if self.epochs else 0.0)


class View:
    """The runs of a suite as they train, and the time left. Call it to bring it up to date.

    Args:
        suite: whose runs are shown.
        results: where they lie.
        guess: seconds a run, by data set and model, from a few steps here. Called in a thread of its own, and
            only where training takes long enough to ask.
    """

    def __init__(
        self, suite: Suite, results: Path, guess: Callable[[], Mapping[Kind, float]] | None = None
    ) -> None:
        self.console = console()
        self.results = results
        self.began = time.monotonic()
        self._guess = guess
        self._guessed: Mapping[Kind, float] = {}
        self._timed: dict[Kind, list[float]] = defaultdict(list)
        self._last_line, self._wait, self._last = self.began, LINE_SECONDS[0], ""
        self._next_picture = self.began
        self.ask(suite)
        self.live = Live(console=self.console, auto_refresh=False, get_renderable=self._shown)

    def __enter__(self) -> View:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._look()
        self.live.stop()

    def __call__(self) -> None:
        """Look at the runs that were not finished at the last look, and show how things stand.

        It may be called as often as one likes: it looks so often only that other work is not held up.
        """
        now = time.monotonic()
        if now >= self._next_look:
            self._look()
        if self._guess is not None and now - self.began > GUESS_SECONDS:
            threading.Thread(target=self._ask_for_time, args=(self._guess,), daemon=True).start()
            self._guess = None
        if self.console.is_terminal:
            if now >= self._next_picture:
                self.live.refresh()
                self._next_picture = now + DRAW_SECONDS
        elif now - self._last_line > self._wait and (line := self._summary()) != self._last:
            self._last_line, self._wait, self._last = now, min(1.5 * self._wait, LINE_SECONDS[1]), line
            self.say(line)

    def ask(self, suite: Suite) -> None:
        """Show how these runs stand: more than before, where seeds are added until decided."""
        cells, results = suite.every_cell, self.results
        self.rows = [_Row(cell, [RunFolder(results, run.id) for run in cell.runs]) for cell in cells]
        self.planned = sum(len(row.left) for row in self.rows)
        self._look()

    def say(self, message: str) -> None:
        """One line for the person, above the live view."""
        self.console.print(visible(message), highlight=False, markup=False, soft_wrap=True)

    @property
    def failed(self) -> int:
        """Runs that have failed."""
        return sum(row.failed for row in self.rows)

    @property
    def left(self) -> int:
        """Runs that have neither finished nor failed."""
        return sum(len(row.left) for row in self.rows)

    def _look(self) -> None:
        began = time.monotonic()
        try:
            begun = set(os.listdir(self.results / "runs"))
        except FileNotFoundError:
            begun = set()
        # A run that is done or failed needs no second look.
        for row in self.rows:
            row.left = [one for one in row.left if one.run_id not in begun or self._goes_on(row, one)]
        now = time.monotonic()
        self._next_look = now + max((now - began) * (1 / MOST_LOOKING - 1), LOOK_SECONDS)

    def _ask_for_time(self, guess: Callable[[], Mapping[Kind, float]]) -> None:
        if self.seconds_left() is None:
            with contextlib.suppress(BenchError, OSError):  # whoever trains says what is wrong
                self._guessed = guess()

    def _goes_on(self, row: _Row, folder: RunFolder) -> bool:
        """Note how a run that has begun stands; returns whether it is still to be finished."""
        if folder.done or folder.failed:
            row.training.pop(folder.run_id, None)
            if folder.done:
                self._note_result(row, folder)
            else:
                row.failed += 1
            return False
        if folder.claimed:
            epochs = folder.metrics()
            row.training[folder.run_id] = epochs[-1] if epochs else {}
        else:
            row.training.pop(folder.run_id, None)
        return True

    def _note_result(self, row: _Row, folder: RunFolder) -> None:
        try:
            result = folder.result()
        except Damaged:
            return
        if result is None:
            return
        if result.accuracy is not None:
            row.values.append(result.accuracy)
        if result.seconds:
            self._timed[row.cell.key[:2]].append(result.seconds)

    def seconds_left(self) -> float | None:
        """About how long it will take, as many at a time as train now; None: nobody knows yet."""
        timed = {kind: sum(seconds) / len(seconds) for kind, seconds in self._timed.items()}
        each = {**self._guessed, **timed}
        waiting = [row for row in self.rows if row.left]
        if any(row.cell.key[:2] not in each for row in waiting):
            return None
        training = sum(len(row.training) for row in self.rows)
        return sum(row.share_left() * each[row.cell.key[:2]] for row in waiting) / max(training, 1)

    def _summary(self) -> str:
        finished = self.planned - self.left - self.failed
        failed = f", {self.failed} failed" if self.failed else ""
        seconds = self.seconds_left()
        estimate = f", about {duration(seconds)} left" if seconds is not None and self.left else ""
        return f"{finished} of {self.planned} runs done{failed}, {self.left} to go{estimate}"

    def _shown(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("loss", no_wrap=True, overflow="ellipsis")
        title = "model" if self._one_dataset else "data set × model"
        table.add_column(title, no_wrap=True, overflow="ellipsis")
        for name in ("seeds", "accuracy so far", "training"):
            table.add_column(name, no_wrap=True)
        room = max((self.console.size.height or MOST_LINES) - 6, 4)
        rows = self._most_interesting(room)
        for row in rows:
            dataset, model, loss = map(visible, row.cell.key)
            table.add_row(
                Text(f"{loss} (trials)" if isinstance(row.cell, Search) else loss),
                Text(model if self._one_dataset else f"{dataset} × {model}"),
                Text(f"{row.done}/{len(row.cell.seeds)}" + f", {row.failed} failed" * bool(row.failed)),
                Text(f"{100 * sum(row.values) / len(row.values):.2f} %" if row.values else ""),
                Text("; ".join(_training(row))),
            )
        hidden = len(self.rows) - len(rows)
        more = [Text(f"and {hidden} more", style="dim")] if hidden else []
        took = duration(time.monotonic() - self.began)
        return Group(table, *more, Text(f"{self._summary()}, {took} so far", style="bold"))

    @property
    def _one_dataset(self) -> bool:
        return len({row.cell.dataset for row in self.rows}) < 2

    def _most_interesting(self, room: int) -> Sequence[_Row]:
        """As many as there is room for, in the suite's order: those that train first of all."""
        if len(self.rows) <= room:
            return self.rows
        ranked = sorted(self.rows, key=lambda row: (not row.training, not row.left, not row.values))
        chosen = {id(row) for row in ranked[:room]}
        return [row for row in self.rows if id(row) in chosen]


def _training(row: _Row) -> Iterator[str]:
    """How far runs are that train: ``epoch 3 of 20, 12,300 images/s``."""
    for line in [*row.training.values()][:2]:
        total = f" of {row.epochs}" if row.epochs else ""
        rate = line.get("images_per_second")
        epoch = int(line.get("epoch", 0)) + 1
        progress = f"epoch {min(epoch, row.epochs or epoch)}{total}"
        yield f"{progress}, {rate:,.0f} images/s" if isinstance(rate, (int, float)) else progress
    if len(row.training) > 2:
        yield f"{len(row.training) - 2} more"
