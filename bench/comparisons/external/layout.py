"""Which column of somebody's table is which: given by name, or guessed from the usual names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import pandas as pd

from bench.comparisons.external.guessing import guess_columns, guess_metrics, numeric
from bench.comparisons.external.names import (
    LOSSES,
    USUAL,
    WIDE,
    Columns,
    Role,
    is_accuracy,
    is_baseline,
    is_score,
    is_setting,
    plain,
    stem,
)
from bench.errors import BenchError, unknown


class Unclear(BenchError):
    """Nobody could say which column is which: its columns are to be shown, and what would work."""


@dataclass(frozen=True)
class Request:
    """What is asked of a table."""

    baseline: str | None = None
    """None: the one method with a usual name for it."""
    alpha: float = 0.05
    margin: float | None = None
    """Of the metric that decides, in its unit; None: .1 points of accuracies, and none of other numbers."""
    paired: bool = True
    """Without, each row may be a run of its own."""
    folds: int | None = None
    """Of how many folds the seeds are; None: they are seeds, unless there is a column of folds."""
    total_images: int | None = None
    """Test images of every run, where no column says it."""
    percent: bool | None = None
    """Whether accuracies are percentages; None: by their size."""
    columns: Mapping[str, str | None] = field(default_factory=dict)
    """Role → name; None: guessed."""
    metrics: Sequence[str] = ()
    """Columns of any numbers, the first of which decides; none: guessed. Of the wide form: what it holds."""
    lower_is_better: bool | None = None
    """None: by the metric's name."""
    epoch: str | None = None
    """Where a run has a row an epoch: ``last``, ``best``, ``best:COLUMN`` or a number; None: asked for."""
    where: Mapping[str, str] = field(default_factory=dict)
    """Column → value: only rows that have it."""
    decimal: str | None = None
    """What stands before decimals of numbers that are written as words; None: guessed."""
    transpose: bool | None = None
    """Whether its rows are what columns should be; None: by the names of the columns."""
    runs: int | None = None
    """Of how many runs each mean ± deviation is, where no column says it."""
    spread: str | None = None
    """Behind ±: ``sd``, or ``se`` for standard errors; None: by the column's name, else ``sd``."""

    @classmethod
    def of(cls, options: Mapping[str, Any], **more: Any) -> Request:
        """What options of these names ask; those of columns are called as roles, with ``_column`` or not.

        Args:
            options: more than these do not matter.
            more: fields, before what options say.
        """
        # 'epoch' says which of them, so that its column is always called 'epoch_column': the last one counts.
        columns = {
            role: options[name] for role in USUAL for name in (role, f"{role}_column") if name in options
        }
        metric = options.get("metric_column", options.get("metric")) or ()
        arguments = {one.name: options[one.name] for one in fields(cls) if one.name in options}
        arguments |= {
            "paired": not options["unpaired"],
            "columns": columns,
            "metrics": (metric,) if isinstance(metric, str) else tuple(metric),
        }
        return cls(**arguments | more)


def conditions(texts: Sequence[str]) -> dict[str, str]:
    """What ``--where NAME=VALUE`` says.

    Raises:
        BenchError: there is no ``=``.
    """
    for text in texts:
        if "=" not in text:
            raise BenchError(f"--where: found '{text}', expected NAME=VALUE")
    return {name.strip(): value.strip() for name, _, value in (text.partition("=") for text in texts)}


class Score(NamedTuple):
    """A column of numbers to be compared."""

    column: str
    kind: Role

    @property
    def name(self) -> str:
        """What tables call it."""
        return "accuracy" if self.kind == "correct" else self.column


@dataclass(frozen=True)
class Layout:
    """How a table is to be read."""

    columns: Columns
    scores: tuple[Score, ...]
    """The first decides. Wide form: what all methods' columns hold, if somebody said so."""
    methods: tuple[str, ...]
    """Wide form: a column a method. Empty in the long form."""
    words: str
    """Form and columns; which of them were guessed, and which are not used."""
    by_fold: bool = False
    """Whether runs are folds of a cross-validation: in the column of that role, or else the rows."""
    epoch: str | None = None
    """The column of epochs, where there is one."""
    guessed: tuple[str, ...] = ()
    """What was, where the name of a column is not that of its role, with the option that says otherwise."""


def find_layout(source: str, table: pd.DataFrame, request: Request) -> Layout:
    """Long form where there is a column of methods and one of scores, else wide form.

    A table of which some number is called as a result is long, whatever else it has: it is then asked which
    column holds the methods.

    Args:
        source: what messages call the table.

    Raises:
        BenchError: a given column that is not there.
        Unclear: a table that is neither long nor wide, or several numbers of which any could be meant.
    """
    names, metrics = [name for name in table.columns if name], request.metrics
    stated = {role: name for role in USUAL if (name := request.columns.get(role)) is not None}
    columns, wide = (guess_columns(table, stated, roles, metrics) for roles in (tuple(USUAL), WIDE))
    epoch = columns.pop("epoch", None)
    words, scores = columns.get("method"), tuple(Score(name, _kind(name, {})) for name in metrics)
    taken = {*metrics} & {*names} or columns.keys() - {*WIDE, "method"} or "method" in stated
    rest = [] if taken or words not in (None, wide.get("model")) else names
    roles_of = {*wide.values(), epoch}
    methods = tuple(name for name in rest if name not in roles_of and numeric(table[name]).any())
    is_wide = len(methods) > 1 and len(metrics) < 2 and _are_methods(methods, names, words, wide)
    is_wide = is_wide and not _groups(table, {*roles_of, *methods, words})
    for role, name in [*stated.items(), *(("metric", name) for name in metrics if not is_wide)]:
        if name not in names:
            raise BenchError(f"{source}: --{role}-column: {unknown('column', name, table.columns)}")
    if is_wide:
        wide |= _first_words(table, wide, methods)
    if not is_wide and "fold" in columns and "seed" in columns and "seed" not in stated:
        keys = [columns[role] for role in ("dataset", "model", "method", "fold") if role in columns]
        if not table.duplicated(keys).any():
            del columns["seed"]  # one a fold: they tell no repeats apart
    form = "wide form, a column a method" if is_wide else "long form"
    columns, by_fold = _by_fold(source, wide if is_wide else columns, stated, request)
    if not is_wide:
        methods, scores = (), _scores(source, table, columns, stated, request)
    if not is_wide and (words is None or not scores):
        missing = "methods" if words is None else "accuracies or correct answers"
        raise Unclear(
            f"{source}: no column of {missing} is known by its name; expected method, seed, and accuracy or "
            "correct and total (long form), or a column a method and a row a seed (wide form); name columns "
            "with --method-column, --seed-column, --metric-column, …"
        )
    roles = {role: name for role, name in columns.items() if role not in ("accuracy", "correct")}
    pairs = [*roles.items(), *((score.kind, score.column) for score in scores if not methods)]
    fixed, used = {*stated.values(), *metrics}, {*(name for _, name in pairs), *methods}
    phrases = [f"{role} = '{name}'{'' if name in fixed else ' (guessed)'}" for role, name in pairs]
    guessed = [
        f"{role}: column '{name}' (guessed; --{role}-column says otherwise)"
        for role, name in pairs
        if name not in fixed and plain(name) != role
    ]
    unused = [name for name in names if name not in used]
    if unused:
        phrases.append(f"not used: {', '.join(unused[:10])}{' …' if len(unused) > 10 else ''}")
    return Layout(roles, scores, methods, ", ".join([form, *phrases]), by_fold, epoch, tuple(guessed))


def _first_words(table: pd.DataFrame, wide: Mapping[Role, str], methods: Sequence[str]) -> dict[Role, str]:
    """What the first column of the wide form is, where its name does not say: data sets, unless numbered."""
    first = next((name for name in table.columns if name), "")
    words = table[first].astype(str)
    if {"dataset", "seed", "fold"} & wide.keys() or first in (*wide.values(), *methods):
        return {}
    if numeric(table[first]).any() or words.nunique() < 2:
        return {}
    if words.str.fullmatch(r"(?i)(seed|run|trial|rep|repeat|s|r)?[ _\-#]*\d+").all():
        return {"seed": first}
    return {"fold" if words.str.fullmatch(r"(?i)(fold|split|cv)[ _\-#]*\d+").all() else "dataset": first}


def _groups(table: pd.DataFrame, excluded: set[str | None]) -> bool:
    """Whether a first column of words that come again may hold the methods, whatever it is called."""
    first = next((name for name in table.columns if name), "")
    return first not in excluded and 1 < len(table[first].dropna().unique()) < len(table) / 2


def _are_methods(
    methods: Sequence[str], names: Sequence[str], words: str | None, wide: Mapping[Role, str]
) -> bool:
    """Whether columns of numbers are those of methods, and neither results nor settings of one.

    'mae' may be a metric or a method: that, beside one that is no metric, or where nothing else could be.
    """
    if any(map(is_baseline, methods)):
        return not any(is_accuracy(name) for name in methods)
    if any(is_score(name) or is_setting(name) for name in methods):
        return False
    alone = words is None and {*names} <= {*wide.values(), *methods}
    losses = [stem(name) in LOSSES for name in methods]
    return alone or not (any(losses) if words or "model" in wide else all(losses))


def _by_fold(
    source: str, columns: Columns, stated: Columns, request: Request
) -> tuple[dict[Role, str], bool]:
    """The same roles, and whether runs are folds: then what would tell seeds apart tells repeats apart."""
    roles = dict(columns)
    if request.folds is not None and "fold" not in roles and "seed" in roles:
        roles["fold"] = roles.pop("seed")
    by_fold = request.folds is not None or "fold" in roles
    if "repeat" in roles and "fold" not in roles:
        raise BenchError(f"{source}: --repeat-column: repeats of what? Give --fold-column too")
    if {"repeat", "seed"} <= stated.keys() & roles.keys() and by_fold:
        raise BenchError(
            f"{source}: --repeat-column and --seed-column: found both, expected the one that tells repeats "
            "of a fold apart"
        )
    if by_fold and not request.paired:
        origin = "--folds" if request.folds is not None else f"column '{roles['fold']}'"
        raise BenchError(
            f"{source}: --unpaired: {origin} says that runs are folds, which are the same images for all "
            "methods, and compared in pairs; expected one or the other"
        )
    seed = roles.pop("seed", None) if "fold" in roles else None
    if seed is not None and ("repeat" not in roles or "seed" in stated):
        roles["repeat"] = seed
    return roles, by_fold


def _scores(
    source: str, table: pd.DataFrame, columns: Columns, stated: Columns, request: Request
) -> tuple[Score, ...]:
    """What is compared: what is asked for, else accuracy, else the one number that has a metric's name."""
    sized = request.total_images is not None or not columns.keys().isdisjoint(("total", "image"))
    kind: Role = "correct" if "correct" in columns and (sized or "accuracy" not in columns) else "accuracy"
    names = list(request.metrics)
    if kind in (stated if names else columns) and columns[kind] not in names:
        names.insert(0, columns[kind])
    if not names and "method" in columns:
        names = guess_metrics(table, columns.values())
        if len(names) > 1:
            raise Unclear(
                f"{source}: which of its numbers is compared? Give --metric-column, once or more; allowed: "
                f"{', '.join(names)}"
            )
    scores = tuple(Score(name, _kind(name, columns)) for name in names)
    labels = [score.name for score in scores]
    if len({*labels}) < len(labels):
        raise BenchError(f"{source}: --metric-column: found {', '.join(labels)}; expected each metric once")
    return scores


def _kind(name: str, columns: Columns) -> Role:
    for kind in ("accuracy", "correct"):
        if name == columns.get(kind):
            return kind
    if is_accuracy(name):
        return "accuracy"
    return "correct" if stem(name) in USUAL["correct"] else "metric"
