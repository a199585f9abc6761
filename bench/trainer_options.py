"""What a suite may say of who trains: nothing (bench does), a function of the user's own, or a program.

:mod:`bench.trainers` trains accordingly. A command is a list of words with :mod:`~bench.placeholders`.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from bench.errors import unknown
from bench.placeholders import check_placeholders
from bench.registry import Choice, ForeignOptions, Options, Strict, choose, describe, explain, split_choice


class Best(Strict):
    """The row that is best by another column."""

    best: str


def _pattern(text: str) -> str:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ValueError(f"found {text!r}, which is no regular expression: {error}") from None
    if not pattern.groups:
        raise ValueError(f"found {text!r}, expected a group around the number: 'accuracy: ([0-9.]+)'")
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class Reading(Strict):
    """Where a program leaves its result."""

    file: str | None = None
    """In its folder: ``.csv``, ``.tsv``, ``.jsonl``, ``.json`` or ``.npz``. May have placeholders."""
    stdout: Pattern | None = None
    """A regular expression: its last match on standard output, whose group is the number. Groups called
    ``correct`` and ``total`` are counts."""
    column: str | None = None
    """Of a table, or the key of a JSON document (``a.b`` for one in another)."""
    row: Annotated[Literal["last", "first"] | Best, BeforeValidator(lambda value: _row(value))] = "last"
    metric: str | None = None
    """What the number is. Default: the first metric of the suite."""
    unit: Literal["percent", "fraction"] | None = None
    """Of that number, where the metric is a share. Default: fraction, and 93.4 is refused."""
    validation: str | None = None
    """The column of the same number on validation images."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.stdout is None):
            raise ValueError(
                "expected either file: (in the program's folder) or stdout: (a regular expression)"
            )
        kind = (self.file or "").rpartition(".")[2].lower()
        if self.file is not None and (self.file.startswith("/") or ".." in self.file.split("/")):
            raise ValueError(f"file: found '{self.file}', expected a path within the program's folder")
        if self.file is not None and kind not in FORMS:
            raise ValueError(f"file: found '{self.file}', expected one that ends in .{', .'.join(FORMS)}")
        check_placeholders(self.file)
        if kind in TABLES and self.column is None:
            raise ValueError(f"column: is missing: which column of {self.file} is the result?")
        if self.column is not None and kind not in (*TABLES, "json"):
            raise ValueError(f"column: found '{self.column}', which only a table or a JSON document has")
        if self.row != "last" and kind not in TABLES:
            raise ValueError(f"row: found {describe(self.row)}, which only a table has")
        if isinstance(self.row, Best) and self.row.best == self.column:
            raise ValueError(
                f"row: best: found '{self.column}', which is the result itself: the best row of test results "
                "is chosen on the test images; expected the column of the validation images"
            )
        if self.validation is not None and self.column is None:
            raise ValueError("validation: names a column, so the result must be one, too: column: is missing")
        if self.column is None and self.stdout is None and (self.metric or self.unit):
            raise ValueError("metric and unit: are of one number; this file says itself what it holds")
        return self

    @property
    def is_number(self) -> bool:
        """Whether one number comes back, of one metric."""
        return self.column is not None or (self.stdout is not None and not self.is_count)

    @property
    def is_count(self) -> bool:
        """Whether standard output has counts."""
        return self.stdout is not None and {"correct", "total"} <= {*re.compile(self.stdout).groupindex}


TABLES = ("csv", "tsv", "jsonl")
FORMS = (*TABLES, "json", "npz")


def _row(value: Any) -> Any:
    if value in ("best", "max", "min"):
        raise ValueError(
            f"found '{value}': the best row of test results is chosen on the test images; expected last, "
            "first, or {best: COLUMN} with the column of the validation images"
        )
    if isinstance(value, str) and value not in ("last", "first"):
        raise ValueError(unknown("row", value, ("last", "first", "{best: COLUMN}")))
    return value


class Following(Strict):
    """Where a program says how far it is."""

    file: str | None = None
    """A table in its folder, a row an epoch."""
    stdout: str | None = None
    """``json``: lines that are JSON mappings; else a regular expression with named groups."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.stdout is None):
            raise ValueError("expected either file: (a table in the program's folder) or stdout:")
        if self.file is not None and self.file.rpartition(".")[2].lower() not in TABLES:
            raise ValueError(f"file: found '{self.file}', expected one that ends in .{', .'.join(TABLES)}")
        check_placeholders(self.file)
        if self.stdout not in (None, "json"):
            assert self.stdout is not None
            if not re.compile(_pattern(self.stdout)).groupindex:
                raise ValueError(
                    f"stdout: found {self.stdout!r}, expected json, or named groups: 'loss (?P<loss>[0-9.]+)'"
                )
        return self


def _words(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f"found {describe(value)}, expected a list of words: [{', '.join(value.split())}]")
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"found {describe(value)}, expected a list of words")
    words = []
    for word in value:
        if isinstance(word, bool) or not isinstance(word, (str, int, float)):
            hint = '; a placeholder needs quotes: "{seed}"' if isinstance(word, Mapping) else ""
            raise ValueError(f"found {describe(word)} among its words, expected text{hint}")
        words.append(str(word))
    for word in words:
        if "\0" in word:
            raise ValueError(f"found {word!r}, and no word of a command holds a zero byte")
        check_placeholders(word)
    return tuple(words)


def _signal(name: str) -> str:
    names = {one.name for one in signal.Signals} - {"SIGKILL", "SIGSTOP"}
    full = name if name.startswith("SIG") else f"SIG{name}"
    if full not in names:
        raise ValueError(unknown("signal", name, names))
    return full


class Handling(Strict):
    """How a program is stopped, and followed: no part of what its result depends on."""

    stop: Annotated[str, AfterValidator(_signal)] = "SIGTERM"
    """The signal that tells it to save its state and end."""
    grace: float = Field(30.0, gt=0)
    """Seconds after which it is killed, if it has not."""
    progress: Following | None = None


def handling_key(described: Mapping[str, Any]) -> str:
    """What tells programs apart whose handling may differ: their description, but for their code."""
    return json.dumps({k: v for k, v in described.items() if k not in ("name", "source")}, sort_keys=True)


class Command(Handling):
    """A program that trains."""

    command: Annotated[tuple[str, ...], BeforeValidator(_words)]
    """Its words, with placeholders. No shell reads them."""
    result: Reading
    code: Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)] = ()
    """Files and folders beside the suite that belong to it, too."""
    gpus: int | None = Field(None, ge=0, le=64)
    """On each node. Default: as many as a worker of the profile, or of this machine, has: one, if any."""
    nodes: int = Field(1, ge=1, le=10_000)

    @property
    def handling(self) -> Handling:
        """How it is stopped and followed."""
        return Handling(stop=self.stop, grace=self.grace, progress=self.progress)

    def describe(self, metric: str, program: tuple[str, str] | None) -> dict[str, Any]:
        """What the result of a run depends on: not how it is stopped, nor what is shown meanwhile.

        Args:
            metric: what a number is, where nobody says.
            program: key and digest of its files.
        """
        result = self.result.model_dump(mode="json", exclude_defaults=True)
        if self.result.is_number:
            result.setdefault("metric", metric)
        described: dict[str, Any] = {"command": [*self.command], "result": result}
        if self.gpus is not None:
            described["gpus"] = self.gpus
        if self.nodes > 1:
            described["nodes"] = self.nodes
        if program is None:
            return {"name": "command", **described}
        return {"name": f"{program[0]}:command", "source": program[1], **described}

    def label(self) -> str:
        """What texts call it."""
        return called(self.command)


def called(command: Sequence[str]) -> str:
    """What texts call a program: ``python train.py`` is train.py."""
    scripts = [word for word in command if re.fullmatch(r"[\w./~-]*[\w-]\.\w+", word)]
    return (scripts or [*command])[0].rpartition("/")[2]


Trainer = Choice | Command
TRAINERS: Mapping[str, type[Options]] = {"module:callable": ForeignOptions}


def choose_trainer(value: Any) -> Trainer:
    """A function, ``module:callable`` or ``{module:callable: {option: value}}``; or a mapping with a command.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, (Choice, Command)):
        return value
    if isinstance(value, Mapping) and not any(":" in str(key) for key in value) and "name" not in value:
        try:
            return Command.model_validate(value)
        except ValidationError as error:
            raise ValueError("; ".join(explain(error))) from None
    name, _ = split_choice("trainer", value)
    if ":" not in name:
        raise ValueError(
            f"found '{name}', expected a function as module:callable, or a mapping with command and result"
        )
    return choose("trainer", value, TRAINERS)
