"""What columns of results are usually called: methods, seeds, scores; and what names say no number is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from bench.metrics import lower_is_better

Role = Literal[
    "method", "fold", "repeat", "seed", "image", "accuracy", "correct", "total", "dataset", "model", "epoch",
    "metric",
]  # fmt: skip
Columns = Mapping[Role, str]

USUAL: dict[Role, tuple[str, ...]] = {
    "method": (
        *("method", "loss", "loss_function", "loss_func", "criterion", "objective", "algorithm", "algo"),
        *("approach", "variant", "technique", "strategy", "treatment", "condition", "arm", "optimizer"),
        *(
            "framework",
            "scheme",
            "optimiser",
            "classifier",
            "clf",
            "estimator",
            "learner",
            "regressor",
            "system",
            "model",
            "network",
            "net",
            "backbone",
            "architecture",
            "arch",
        ),
        *("config", "configuration", "setting", "setup", "experiment", "name", "group", "run_name"),
    ),
    "fold": ("fold", "cv_fold", "fold_id", "fold_index", "fold_idx", "split", "cv_split", "cv", "resample"),
    "repeat": ("repeat", "repetition", "rep", "cv_repeat"),
    "seed": (
        *("seed", "random_seed", "rng_seed", "random_state", "run", "repeat", "repetition", "rep", "trial"),
        *("replicate", "replication", "resample", "iteration", "iter", "run_number", "run_idx", "rs"),
    ),
    "image": ("image", "image_id", "example", "example_id", "sample", "sample_id", "item"),
    "accuracy": ("accuracy", "acc", "test_accuracy", "test_acc", "accuracy_test", "acc_test", "top1", "acc1"),
    "correct": ("correct", "n_correct", "num_correct", "test_correct"),
    "total": ("total", "n_total", "n_test", "test_images", "num_images", "n_images", "images", "test_size"),
    "dataset": ("dataset", "data_set", "data", "task", "benchmark", "problem", "corpus", "env", "game"),
    "model": ("model", "architecture", "arch", "network", "backbone", "net"),
    "epoch": ("epoch", "step", "global_step", "training_iteration", "iteration", "iter", "_step"),
}
"""As :func:`plain` writes them; the first that a table has is taken."""

WIDE: tuple[Role, ...] = ("fold", "repeat", "seed", "total", "dataset", "model")
"""Roles of columns beside those of the methods."""
BASELINES = ("baseline", "ce", "cross_entropy", "crossentropy", "cross_entropy_loss", "control", "reference")
"""What a baseline is usually called, as :func:`plain` writes it."""
SPLITS = ("split", "cv_split", "cv")
"""Names of columns of folds that as often hold words: train, test."""
OF_A_RUN = ("name", "group", "experiment", "run_name", "config", "configuration", "setting", "setup")
"""Names of methods that are as often those of single runs, all different."""
LOSSES = {
    *("mae", "mse", "l1", "l2", "huber", "rmse", "log_loss", "hinge", "dice", "focal", "gce", "sce", "bce"),
    *("kl", "nll", "logcosh", "brier", "iou", "triplet", "contrastive"),
}
"""Metrics by name that are losses to train with as well."""

_PREFIX = re.compile(
    r"^(params?|metrics?|config|tags?|hparams?|hyper_?parameters?|args|cfg|summary|settings|user_attrs|mlflow)"
    r"[./:]+",
    re.IGNORECASE,
)
"""Under which MLflow, W&B and Hydra file what a run has."""
_WEKA = re.compile(r"^key_")
_UNIT = re.compile(r"\s*[(\[]\s*(%|pct|percent|in %)\s*[)\]]|\s*%\s*$", re.IGNORECASE)
_KIND = re.compile(r"_(name|type|class|fn|func|target|id)_*$")
"""At the end of the name of what is named."""
_ACCURACY = re.compile(r"\b(acc|accuracy|accuracies|(top|acc) ?\d+|percent correct)\b")
_NO_SHARE = re.compile(r"\b(balanced|macro|std|sd|gap|err|error|loss|var|sem|rank|time)\b")
"""In names of what is no share of the images, though it is of accuracy."""
_TRAINING = re.compile(r"^loss$|(^|_)train")
_COST = re.compile(
    r"(^|_)(run)?(time|duration|latency|seconds?|minutes|hours|memory|flops|energy|speed)(_|$)"
)
_SETTING = re.compile(
    r"(^|_)(lr|learning_rate|weight_decay|wd|momentum|dropout|batch(_?size)?|bs|epochs?|steps?|iterations?"
    r"|num_\w+|n_\w+|hidden\w*|depth|width|layers?|alpha|beta|gamma|lambda|temperature|warmup|params|year"
    r"|timestamp|index|id|rank|patience|fold|seed|version|created|wall_time|max_depth|\w*size|parameters"
    r"|iter|rank_test_\w+)$"
)
"""Names of numbers that nobody compares methods by, and that are none themselves."""


def plain(name: str) -> str:
    """A name in lower case, its words joined by ``_``."""
    return re.sub(r"\W+", "_", name.strip().casefold())


def stem(name: str) -> str:
    """The same without unit and without what exports put in front: ``val_acc`` of ``metrics.valAcc (%)``."""
    name, before = _UNIT.sub("", name.strip()), ""
    while before != name:
        before, name = name, _PREFIX.sub("", name)
    return _WEKA.sub("", plain(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)).strip("_"))


def spellings(name: str) -> tuple[str, ...]:
    """All that a column may be looked up by, the surest first."""
    short = stem(name)
    return plain(name), short, _KIND.sub("", short).strip("_"), short.replace("_", "")


def is_baseline(name: str) -> bool:
    """Whether a method is called as a baseline: ``ce``, ``ResNet (baseline)``, ``Baseline [3]``."""
    marked = re.search(r"^baseline\s*[(\[]|[(\[]\s*baseline\s*[)\]]$", name.strip().casefold())
    return plain(name).strip("_") in BASELINES or bool(marked)


def is_accuracy(name: str) -> bool:
    """Whether this is what a share of right answers is called."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", " ", name).casefold()
    return bool(_ACCURACY.search(words)) and not _NO_SHARE.search(words) and not lower_is_better(name)


def is_score(name: str) -> bool:
    """Whether this is what a result is called, and no loss to train with."""
    return is_accuracy(name) or (lower_is_better(name) is not None and stem(name) not in LOSSES)


def is_setting(name: str) -> bool:
    """Whether this is what a setting of a run is called, or a number that says nothing of it."""
    return bool(_SETTING.search(stem(name)))


def is_of_training(name: str) -> bool:
    """Whether this was measured while training, by its name."""
    return bool(_TRAINING.search(stem(name)))


def is_cost(name: str) -> bool:
    """Whether this is time, memory or the like."""
    return bool(_COST.search(stem(name)))


def preference(name: str) -> tuple[int, ...]:
    """Of several accuracies, which stands for a run: on test images, of all answers, the first guess."""
    words = set(re.split(r"[_\W]+", stem(name)))
    split = 0 if "test" in words else 3 if "train" in words or "training" in words else 1
    split += bool(words & {"val", "valid", "validation", "dev", "eval", "evaluation"})
    return split, bool(re.search(r"(top|acc)_?(5|10)\b", stem(name))), bool(words & {"ema", "swa"})
