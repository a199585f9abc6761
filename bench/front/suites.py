"""A suite in Python's hands: from a file, or made here."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cells import Cell
from bench.errors import BenchError
from bench.front.asking import modules_in
from bench.front.naming import folder_of, plain
from bench.registry import describe
from bench.runs import Run
from bench.source import Source

Item = str | Callable[..., Any] | Mapping[Any, Any]
"""What a suite names: a name, a function or class of a module, or one of these with its options."""
Items = Item | Sequence[Item]


class Suite:
    """What is compared, on what, with how many seeds, against which baseline.

    The keys are those of a suite file, and so are their values, but for functions and classes of a module,
    which may stand wherever a name may: ``losses=["ce", mine.brier, {mine.focal: {"gamma": 3}}]``. It is the
    same suite, with the same runs, as its file would be. ``name`` is needed, as no file gives it one. Modules
    are looked for in the working directory, and where they were imported from.

    Raises:
        BenchError: anything that does not hold, with the field.
    """

    if not TYPE_CHECKING:

        def __init__(self, **values: Any) -> None:
            content = {key: plain(value, f"bench.Suite: {key}") for key, value in values.items()}
            if "name" not in content:
                raise BenchError(
                    "bench.Suite: name: is missing; a suite file gives its own name, and one made in Python "
                    "says what the folder of its tables and its MLflow experiment are called: name='mine'"
                )
            folders = [Path.cwd(), *filter(None, map(folder_of, _callables(content)))]
            self._read(Source(content, None, tuple(dict.fromkeys(folders))))

    else:  # last, as what reads docstrings without importing takes the last

        def __init__(
            self,
            *,
            name: str,
            question: str,
            datasets: Items,
            models: Items,
            losses: Items,
            seeds: int | Sequence[int] | Mapping[str, Any],
            baseline: str = ...,
            zip: Sequence[str] = ...,
            exclude: Mapping[str, Any] | Sequence[Mapping[str, Any]] = ...,
            recipe: Mapping[str, Any] = ...,
            trainer: str | Callable[..., Any] | Mapping[str, Any] | None = ...,
            selection: str = ...,
            splits: str = ...,
            vary: str | Sequence[str] = ...,
            tune: Mapping[str, Any] | None = ...,
            tuned_for: str = ...,
            metrics: Items = ...,
            analysis: Mapping[str, Any] = ...,
            keep_weights: bool = ...,
            keep_probabilities: bool = ...,
        ) -> None: ...

    def _read(self, source: Source) -> None:
        self._source = source
        with modules_in(source.search_path):
            self._suite = source.suite()

    @classmethod
    def of(cls, source: Source) -> Suite:
        """What a source asks for.

        Raises:
            BenchError: anything that does not hold, with file and field.
        """
        suite = cls.__new__(cls)
        suite._read(source)
        return suite

    @property
    def source(self) -> Source:
        """What it says, as plain data, and where that comes from."""
        return self._source

    @property
    def name(self) -> str:
        """Names the folder of its tables."""
        return self._suite.name

    @property
    def question(self) -> str:
        """What it asks."""
        return self._suite.question

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Data set × model × loss, less what is excluded: with the user's own code as it was on reading."""
        return self._suite.cells

    def runs(self) -> tuple[Run, ...]:
        """Every run, each once, in the order in which they are trained; each knows its ``id``."""
        return self._suite.runs()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Suite) and self._asked == other._asked

    @property
    def _asked(self) -> tuple[Any, ...]:
        """All that it asks, wherever it was written."""
        asked = self._suite
        return dict(asked), asked.until, asked.margins, self.runs()

    def __hash__(self) -> int:
        return hash((self.name, self.runs()))

    def __repr__(self) -> str:
        file = "" if self._source.file is None else f", from {self._source.file}"
        return f"<bench.Suite '{self.name}': {self.question} ({len(self.runs()):,} runs{file})>"


def load(path: str | os.PathLike[str]) -> Suite:
    """Read and check a suite file.

    Raises:
        BenchError: there is no such file, or something in it does not hold: with file and field.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise BenchError(f"bench.load: found {describe(path)}, expected the path of a suite file")
    source = Source.of(Path(path))
    suite = Suite.of(source)  # whose messages name the path as it was given
    assert source.file is not None
    suite._source = replace(source, file=source.file.absolute())  # wherever the program goes from here
    return suite


def _callables(said: Any) -> Iterator[str]:
    """All that may be a ``module:callable``."""
    if isinstance(said, dict):
        for key, value in said.items():
            yield from _callables(key)
            yield from _callables(value)
    elif isinstance(said, list):
        for value in said:
            yield from _callables(value)
    elif isinstance(said, str) and re.fullmatch(r"[\w.]+:\w+", said):
        yield said
