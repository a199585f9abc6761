"""Which column of somebody's table is which: given by name, or guessed from the usual names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import pandas as pd

from bench.errors import BenchError, unknown
from bench.metrics import lower_is_better

Role = Literal[
    "method", "fold", "repeat", "seed", "image", "accuracy", "correct", "total", "dataset", "model", "metric"
]
Columns = Mapping[Role, str]

USUAL: dict[Role, tuple[str, ...]] = {
    "method": ("method", "loss", "loss_function", "criterion", "algorithm", "approach", "variant", "model"),
    "fold": ("fold", "cv_fold", "fold_id", "fold_index", "split", "cv_split", "cv"),
    "repeat": ("repeat", "repetition", "rep", "cv_repeat"),
    "seed": ("seed", "random_seed", "random_state", "run", "repeat", "repetition", "trial"),
    "image": ("image", "image_id", "example", "example_id", "sample", "sample_id", "item"),
    "accuracy": ("accuracy", "acc", "test_accuracy", "test_acc", "accuracy_test", "acc_test", "top1", "acc1"),
    "correct": ("correct", "n_correct", "num_correct", "test_correct"),
    "total": ("total", "n_total", "n_test", "test_images", "num_images", "n_images", "images", "test_size"),
    "dataset": ("dataset", "data_set", "data", "task", "benchmark"),
    "model": ("model", "architecture", "arch", "network", "backbone"),
}
"""As :func:`plain` writes them; the first that a table has is taken."""

WIDE: tuple[Role, ...] = ("fold", "repeat", "seed", "total", "dataset", "model")
"""Roles of columns beside those of the methods."""
BASELINES = ("baseline", "ce", "cross_entropy", "crossentropy", "cross_entropy_loss", "control", "reference")
"""What a baseline is usually called, as :func:`plain` writes it."""

SPLITS = ("split", "cv_split", "cv")
"""Names of columns of folds that as often hold words: train, test."""

_ACCURACY = re.compile(r"\b(acc|accuracy|accuracies|(top|acc) ?\d+)\b")
_NO_SHARE = re.compile(r"\b(balanced|macro|std|sd|gap)\b")
"""In names of what is no share of the images, though it is of accuracy."""
_TRAINING = re.compile(r"^loss$|(^|_)train")
_COST = re.compile(
    r"(^|_)(run)?(time|duration|latency|seconds?|minutes|hours|memory|flops|energy|speed)(_|$)"
)


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
    said: str
    """Form and columns; which of them were guessed, and which are not used."""
    by_fold: bool = False
    """Whether runs are folds of a cross-validation: in the column of that role, or else the rows."""


def find_layout(source: str, table: pd.DataFrame, request: Request) -> Layout:
    """Long form where there is a column of methods and one of scores, else wide form.

    Args:
        source: what messages call the table.

    Raises:
        BenchError: a given column that is not there, a table that is neither long nor wide, or several
            numbers of which any could be meant.
    """
    names, metrics = [name for name in table.columns if name], request.metrics
    given = {role: name for role in USUAL if (name := request.columns.get(role)) is not None}
    columns, wide = (_guessed(table, given, roles, metrics) for roles in (tuple(USUAL), WIDE))
    words, scores = columns.get("method"), tuple(Score(name, _kind(name, {})) for name in metrics)
    taken = {*metrics} & {*names} or columns.keys() - {*WIDE, "method"} or "method" in given
    others = [] if taken or words not in (None, wide.get("model")) else names
    methods = tuple(name for name in others if name not in wide.values() and _numbers(table[name]).any())
    # 'mae' may be a metric or a method: that, beside one that is no metric, or where nothing else could be.
    alone = words is None and {*names} <= {*wide.values(), *methods}
    known = all(lower_is_better(name) is not None and plain(name) not in BASELINES for name in methods)
    is_wide = len(methods) > 1 and len(metrics) < 2 and (alone or not known)
    for role, name in [*given.items(), *(("metric", name) for name in metrics if not is_wide)]:
        if name not in names:
            raise BenchError(f"{source}: --{role}-column: {unknown('column', name, table.columns)}")
    form = "wide form, a column a method" if is_wide else "long form"
    columns, by_fold = _by_fold(source, wide if is_wide else columns, given, request)
    if not is_wide:
        methods, scores = (), _scores(source, table, columns, given, request)
    if not is_wide and (words is None or not scores):
        missing = "methods" if words is None else "accuracies or correct answers"
        raise BenchError(
            f"{source}: no column of {missing} among {', '.join(table.columns)}; expected method, seed, and "
            "accuracy or correct and total (long form), or a column a method and a row a seed (wide form); "
            "name columns with --method-column, --metric-column, …"
        )
    roles = {role: name for role, name in columns.items() if role not in ("accuracy", "correct")}
    pairs = [*roles.items(), *((score.kind, score.column) for score in scores if not methods)]
    told, used = {*given.values(), *metrics}, {*(name for _, name in pairs), *methods}
    said = [f"{role} = '{name}'{'' if name in told else ' (guessed)'}" for role, name in pairs]
    unused = [name for name in names if name not in used]
    if unused:
        said.append(f"not used: {', '.join(unused[:10])}{' …' if len(unused) > 10 else ''}")
    return Layout(roles, scores, methods, ", ".join([form, *said]), by_fold)


def plain(name: str) -> str:
    """A name in lower case, its words joined by ``_``."""
    return re.sub(r"\W+", "_", name.strip().casefold())


def _guessed(
    table: pd.DataFrame, given: Columns, roles: Iterable[Role], metrics: Sequence[str]
) -> dict[Role, str]:
    columns = {role: given[role] for role in roles if role in given}
    names = {plain(name): name for name in reversed(table.columns)}
    for role in roles:
        if role == "repeat" and "fold" not in columns:
            continue  # what is repeated there are seeds
        for name in (names.get(usual) for usual in USUAL[role] if role not in columns):
            if name is None or name in (*columns.values(), *metrics):
                continue
            if role == "fold" and plain(name) in SPLITS and not _numbered(table[name]):
                continue
            # A loss that was measured is called 'loss' as well: names are no fractions.
            measured = plain(name) == "loss" and _numbers(table[name]).mean() > 0.5
            if not (role in ("method", "dataset", "model") and (measured or _fractions(table[name]))):
                columns[role] = name
                break
    return columns


def _by_fold(source: str, columns: Columns, given: Columns, request: Request) -> tuple[dict[Role, str], bool]:
    """The same roles, and whether runs are folds: then what would tell seeds apart tells repeats apart."""
    known = dict(columns)
    if request.folds is not None and "fold" not in known and "seed" in known:
        known["fold"] = known.pop("seed")
    by_fold = request.folds is not None or "fold" in known
    if "repeat" in known and "fold" not in known:
        raise BenchError(f"{source}: --repeat-column: repeats of what? Give --fold-column too")
    if {"repeat", "seed"} <= given.keys() & known.keys() and by_fold:
        raise BenchError(
            f"{source}: --repeat-column and --seed-column: found both, expected the one that tells repeats "
            "of a fold apart"
        )
    if by_fold and not request.paired:
        found = "--folds" if request.folds is not None else f"column '{known['fold']}'"
        raise BenchError(
            f"{source}: --unpaired: {found} says that runs are folds, which are the same images for all "
            "methods, and compared in pairs; expected one or the other"
        )
    seed = known.pop("seed", None) if "fold" in known else None
    if seed is not None and ("repeat" not in known or "seed" in given):
        known["repeat"] = seed
    return known, by_fold


def _scores(
    source: str, table: pd.DataFrame, columns: Columns, given: Columns, request: Request
) -> tuple[Score, ...]:
    """What is compared: what is asked for, else accuracy, else the one number that has a metric's name."""
    sized = request.total_images is not None or not columns.keys().isdisjoint(("total", "image"))
    kind: Role = "correct" if "correct" in columns and (sized or "accuracy" not in columns) else "accuracy"
    names = list(request.metrics)
    if kind in (given if names else columns) and columns[kind] not in names:
        names.insert(0, columns[kind])
    if not names and "method" in columns:
        names = _known(table, columns.values())
        if len(names) > 1:
            raise BenchError(
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
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", " ", name).casefold()
    if _ACCURACY.search(words) and not _NO_SHARE.search(words) and not lower_is_better(name):
        return "accuracy"
    return "correct" if plain(name) in USUAL["correct"] else "metric"


def _known(table: pd.DataFrame, taken: Iterable[str]) -> list[str]:
    """Columns of numbers with the name of a metric; of training, only where there is none of a result."""
    found = [
        name
        for name in table.columns
        if name not in taken and lower_is_better(name) is not None and _numbers(table[name]).any()
    ]
    results = [name for name in found if not _TRAINING.search(plain(name))]
    return results if any(not _COST.search(plain(name)) for name in results) else found


def _numbers(column: pd.Series[Any]) -> pd.Series[bool]:
    """Which are numbers: a stray word between them is worth a message."""
    return pd.to_numeric(column, errors="coerce").notna()


def _numbered(column: pd.Series[Any]) -> bool:
    """Whether there are several whole numbers and nothing else: words may say train and test."""
    values = pd.to_numeric(column, errors="coerce")
    return bool((values.notna() & (values % 1 == 0)).all()) and values.min() < values.max()


def _fractions(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 != 0).any())
