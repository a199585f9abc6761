"""The progress of a run under a trainer of the user's own: ``metrics.jsonl``, for views and MLflow."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from bench.results.folder import RunFolder


class Diary:
    """One line an epoch; an epoch logged again, by a resumed run, replaces those from there on."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.lines = folder.metrics()

    @property
    def epoch(self) -> int | None:
        """The last epoch that was logged."""
        return int(self.lines[-1]["epoch"]) if self.lines else None

    def log(self, epoch: int | None, metrics: Mapping[str, Any]) -> None:
        """Add the line of an epoch, counted from 1; what is no finite number is left out.

        Args:
            epoch: None: the next one.

        Raises:
            ValueError: epochs are counted from 1.
        """
        last = self.epoch or 0
        epoch = last + 1 if epoch is None else int(epoch)
        if not 0 < epoch < 2**31:
            raise ValueError(f"epoch: found {epoch}, expected epochs that are counted from 1")
        numbers = {str(key): _number(value) for key, value in metrics.items() if key not in ("epoch", "time")}
        line = {"epoch": epoch, "time": time.time()}
        line |= {name: number for name, number in numbers.items() if number is not None}
        if epoch > last:
            self.lines.append(line)
            self.folder.append_metrics(line)
        else:
            self.lines = [*(one for one in self.lines if one["epoch"] < epoch), line]
            self.folder.write_metrics(self.lines)

    def replace(self, rows: list[dict[str, Any]]) -> None:
        """Say what a table says that the program keeps itself: a row an epoch."""
        for number in range(len(rows)):
            before = self.lines[number] if number < len(self.lines) else None
            values = {name: value for name, value in rows[number].items() if name not in ("epoch", "time")}
            numbers = {name: value for name, v in values.items() if (value := _number(v)) is not None}
            if before is None or {**before, **numbers} != before:
                self.log(number + 1, numbers)


def _number(value: Any) -> float | int | None:
    """A finite number, whatever library it is of, or a text that says one."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value if abs(value) < 2**63 else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
