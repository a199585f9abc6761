"""What must hold of a suite as a whole, whichever keys it is made of. What does not is a ValueError."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import metrics
from bench.entries import AXES, KINDS
from bench.errors import unknown
from bench.registry import describe
from bench.space import MOST as MOST_TRIALS
from bench.space import SEEDS_OF_TRIALS

if TYPE_CHECKING:
    from bench.suite import Suite

RESERVED = ("runs", "code", "set-aside", "mlartifacts", "mlflow.db")
"""What else lies in the results folder, beside a folder a suite."""
NOT_SPLIT_ANEW = {
    "label_noise": "wrong labels would be tested on",
    "long_tail": "the long tail would be tested on",
    "crop_from": "training images are stored larger than those that test",
}
"""Options of data sets with which test images cannot be drawn anew, and why."""


def check(suite: Suite) -> None:
    """Raises:
    ValueError: the first thing that does not hold, with its key.
    """
    if suite.name in RESERVED:
        raise ValueError(
            f"name: '{suite.name}' is what results/ keeps something else in; give the suite another name"
        )
    if len(set(suite.seeds)) < len(suite.seeds):
        twice = sorted({seed for seed in suite.seeds if suite.seeds.count(seed) > 1})
        raise ValueError(f"seeds: found {', '.join(map(str, twice))} more than once")
    for axis in AXES:
        labels = suite.labels(axis)
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"{axis}: found '{label}' more than once; tell them apart with 'label'")
    if suite.baseline and suite.baseline not in suite.labels("losses"):
        raise ValueError(f"baseline: {unknown('loss', suite.baseline, suite.labels('losses'))}")
    _check_metrics(suite)
    if suite.until and suite.selection == "test":
        raise ValueError(
            "selection: found test; no verdict is given of epochs chosen on the test set, so that seeds "
            "would be added for ever: expected last or validation, or a fixed number of seeds"
        )
    if suite.until and suite.analysis.test != "rotations":
        raise ValueError(
            f"analysis.test: found {suite.analysis.test}; where seeds are added until decided, the looks "
            "judge: see seeds.looks"
        )
    _check_splits(suite)
    _check_tuning(suite)
    _check_zip(suite)
    _check_exclusions(suite)
    _check_trainers(suite)


def _check_metrics(suite: Suite) -> None:
    for position, metric in enumerate(suite.metrics):
        for earlier in suite.metrics[:position]:
            if metric.choice == earlier.choice:
                raise ValueError(f"metrics: found '{metric.choice.label()}' more than once")
            if metric.name == earlier.name:
                raise ValueError(
                    f"metrics: found '{metric.name}' more than once; tell them apart with 'label'"
                )
        if metric.name != metric.choice.name and metric.name in metrics.METRICS:
            raise ValueError(
                f"metrics: '{metric.name}' is the name of another metric than {metric.choice.name}, and "
                "no label for it"
            )
        if metric.needs_probabilities and not suite.keep_probabilities:
            raise ValueError(
                f"metrics: '{metric.name}' needs the probability of every class for each test image, "
                "which runs keep with keep_probabilities: true"
            )


def _check_splits(suite: Suite) -> None:
    if len(set(suite.vary)) < len(suite.vary):
        raise ValueError(f"vary: found {', '.join(suite.vary)}; each once")
    if suite.splits == "given":
        return
    if "split" not in suite.vary:
        raise ValueError(
            f"vary: found {', '.join(suite.vary)}, without split; splits: per_seed has each seed draw one"
        )
    if suite.until:
        raise ValueError(
            "seeds: found until: decided; with splits: per_seed test sets overlap, which the rules for "
            "adding seeds take no account of: expected a fixed number of seeds"
        )
    if suite.analysis.test != "rotations":
        raise ValueError(
            f"analysis.test: found {suite.analysis.test}; with splits: per_seed test sets overlap, so "
            "that whole seeds are not flipped: the corrected resampled t decides"
        )
    for entry in suite.datasets:
        for option, why in NOT_SPLIT_ANEW.items():
            if getattr(entry.choice.options, option, None):
                raise ValueError(f"splits: found per_seed, and {option} of {entry.label}: {why}")


def _check_tuning(suite: Suite) -> None:
    labels = suite.labels("losses")
    if suite.tuned_for and suite.tuned_for not in labels:
        raise ValueError(f"tuned_for: {unknown('loss', suite.tuned_for, labels)}")
    if (tune := suite.tune) is None:
        return
    if suite.tuned_for:
        raise ValueError(
            f"tuned_for: found {suite.tuned_for}, but with tune every loss is tuned; leave one of them out"
        )
    if suite.selection != "validation":
        why = "the test set takes part in no choice" if suite.selection == "test" else "settings are too"
        raise ValueError(
            f"selection: found {suite.selection}; with tune, the epoch and the setting are chosen on the "
            f"validation split, and there is nothing else that is honest to choose by ({why}): expected "
            "validation"
        )
    if suite.until:
        raise ValueError(
            "seeds: found until: decided; with tune the verdict rests on the trials, and no seed of the "
            "winners decides anything: expected a fixed number of seeds"
        )
    if suite.analysis.test != "rotations":
        raise ValueError(
            f"analysis.test: found {suite.analysis.test}; with tune the trials decide, and no seed is flipped"
        )
    if suite.splits != "given":
        raise ValueError(
            "splits: found per_seed; with tune each trial has a seed of its own, and all of them are to "
            "be tested on the same images: expected given"
        )
    if suite.trainers:
        raise ValueError(
            "tune: needs scores on a validation split for every epoch, which a trainer of your own does "
            "not give; tune with it, and compare what it found with `bench compare`"
        )
    if most := [seed for seed in suite.seeds if seed >= SEEDS_OF_TRIALS]:
        raise ValueError(
            f"seeds: found {most[0]}; seeds from {SEEDS_OF_TRIALS} on are those of trials, which are "
            "never those of the comparison"
        )
    if tune.design == "searches" and (large := [seed for seed in suite.seeds if seed >= MOST_TRIALS]):
        raise ValueError(
            f"seeds: found {large[0]}; with design: searches, seeds below {MOST_TRIALS} are expected, as "
            "larger ones are those of the second search and on"
        )
    for name in tune.losses:
        if not any(name in (entry.label, entry.choice.name) for entry in suite.losses):
            raise ValueError(f"tune.losses: {unknown('loss', name, labels)}")


def _check_zip(suite: Suite) -> None:
    if not suite.zip:
        return
    if len(set(suite.zip)) < len(suite.zip) or len(suite.zip) < 2:
        raise ValueError(f"zip: found {', '.join(suite.zip)}; expected two or three different axes")
    lengths = {axis: len(suite.labels(axis)) for axis in suite.zip}
    if len(set(lengths.values())) > 1:
        sizes = ", ".join(f"{length} {axis}" for axis, length in lengths.items())
        raise ValueError(f"zip: found {sizes}; zipped axes have equally many items")


def _check_exclusions(suite: Suite) -> None:
    for position, exclusion in enumerate(suite.exclude):
        for axis in AXES:
            kind = KINDS[axis]
            for label in getattr(exclusion, kind):
                if label not in suite.labels(axis):
                    raise ValueError(f"exclude.{position}.{kind}: {unknown(kind, label, suite.labels(axis))}")
        if exclusion.seed and suite.until:
            raise ValueError(
                f"exclude.{position}.seed: found {describe(exclusion.seed)}; where seeds are added until "
                "decided, none can be left out"
            )
        for seed in exclusion.seed:
            if seed not in suite.seeds:
                raise ValueError(f"exclude.{position}.seed: found {seed}, which is no seed of this suite")


def _check_trainers(suite: Suite) -> None:
    """What a seed decides is the affair of who trains."""
    if suite.trainers and suite.drawn:
        key = "splits: found per_seed" if suite.splits != "given" else f"vary: found {', '.join(suite.vary)}"
        raise ValueError(
            f"{key}; {suite.trainers[0].label()} trains, and what it makes of a seed is its own affair"
        )
