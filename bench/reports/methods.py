"""The methods section of a paper, written out for one suite: only what was done, with what it cites.

Prose is plain text with citations as ``[@key]`` (see :mod:`bench.reports.references`), which becomes Markdown
and LaTeX alike. Versions come from the run folders, so whoever writes the report does not matter.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.datasets import BuiltInOptions, DatasetOptions, OnDisk
from bench.launch.submission import read_all
from bench.metrics import Metric
from bench.progress import watched
from bench.reports.answer import cautions
from bench.reports.formats import counted, listed
from bench.reports.references import bibtex, cited, in_full, in_words, render
from bench.reports.render.latex import breakable
from bench.reports.render.markdown import escaped
from bench.reports.schema import Report
from bench.reports.tuning import tuning_in_words, untuned
from bench.results.folder import RunFolder
from bench.statistics.stopping import Outcome
from bench.suite import Suite

MOST_NAMED = 30
"""Choices of one kind that are written out with their options; more belong into a table."""
_SOURCES = {"brier": "brier1950", "ece": "guo2017", "auroc": "hanley1982"}
"""Where metrics are from."""
_RECIPE: Mapping[str, Callable[[Any], str]] = {
    "epochs": lambda epochs: f"for {counted(epochs, 'epoch')}",
    "batch_size": lambda size: f"in batches of {size}",
    "optimizer": lambda choice: f"by {_described(choice)}",
    "schedule": lambda choice: f"with a learning rate by the schedule {_described(choice)}",
    "augment": lambda choices: (
        f"augmented by {listed([*map(_described, choices)])}" if choices else "without augmentation"
    ),
    "mix": lambda choice: f"with batches mixed by {_described(choice)}",
    "precision": lambda name: f"in {name}",
    "accumulate": lambda count: f"with the gradients of {count} batches in each step",
    "clip": lambda clip: (
        "with gradients clipped by " + listed([f"{k} ({v:g})" for k, v in clip.items() if v is not None])
    ),
    "no_decay": lambda _: "without weight decay on norms and biases",
    "layer_decay": lambda share: f"with {share:g} times the learning rate from each layer to the one before",
    "ema": lambda decay: f"scored by an exponential moving average of the weights (decay {decay:g})",
    "freeze": lambda parts: f"with {listed([*parts])} frozen",
    "frozen_statistics": lambda which: f"with {which} statistics of frozen norms",
    "stop_early": lambda stop: (
        f"and ended early after {counted(stop['patience'], 'epoch')} without a better validation metric"
    ),
    "validation": lambda share: f"with {100 * share:g} % of the training images held out for validation",
}
"""What is said of a recipe that all trainings share."""


def paper(suite: Suite, results: Path, report: Report) -> dict[str, str]:
    """``methods.md``, ``methods.tex`` and the ``references.bib`` of exactly what they cite."""
    sections = {
        "Trainings": _trainings(suite, report),
        "Tuning": tuning_in_words(suite, report),
        "Metrics": _metrics(suite, report),
        "Comparisons": _comparisons(suite, report),
        "Ranks": _ranks(report),
        "Software": _software(suite, results),
    }
    written = {heading: " ".join(said) for heading, said in sections.items() if said}
    keys = cited(" ".join(written.values()))
    markdown, latex = [f"# Methods: {escaped(report.question)}"], []
    for heading, text in written.items():
        in_brackets = render(text, lambda keys: f"({'; '.join(map(in_words, keys))})", escaped)
        markdown.append(f"**{heading}.** {in_brackets}")
        commands = render(text, lambda keys: f"\\cite{{{','.join(keys)}}}", breakable)
        latex.append(f"\\paragraph{{{heading}.}} {commands}")
    if keys:
        markdown += ["## References", "\n".join(f"- {escaped(in_full(key))}" for key in keys)]
    return {
        "methods.md": "\n\n".join(markdown) + "\n",
        "methods.tex": "\n\n".join(latex) + "\n",
        "references.bib": bibtex(keys),
    }


# ------------------------------------------------------------------------------------------------- the prose


def _trainings(suite: Suite, report: Report) -> list[str]:
    cells = [untuned(suite, cell) for cell in suite.cells]
    fewest, *more = sorted({len(cell.seeds) for cell in suite.cells})
    seeds = f"{fewest} to {more[-1]} random seeds" if more else counted(fewest, "random seed")
    return [
        *cautions(report),
        f"We trained {_choices('model', suite.labels('models'), [c['model'] for c in cells])} "
        f"on {_choices('data set', suite.labels('datasets'), [c['dataset'] for c in cells])} "
        f"with {_choices('loss', suite.labels('losses'), [c['loss'] for c in cells])}, "
        f"{'' if suite.zip or suite.exclude else 'each combination '}from {seeds}: "
        f"{counted(sum(c.planned for c in report.cells), 'training')} in all.",
        *_paired(suite),
        *_own_parts(suite),
        *_noise(suite),
        _recipe([cell["recipe"] for cell in cells if "trainer" not in cell], suite),
        *_own_trainers(suite, cells),
    ]


def _paired(suite: Suite) -> list[str]:
    """What trainings with the same seed share, where bench itself trains."""
    if not suite.ours("models"):
        return []
    if suite.tune is not None:
        return [
            "Trainings with the same data set, model and seed draw all that is random from the same streams: "
            "two losses at the same setting differ in the loss alone, or in options of its own."
        ]
    anew = [
        "Each seed drew training, validation and test images anew from the whole data set, in the numbers "
        "that it comes with [@bouthillier2021]."
    ] * (suite.splits == "per_seed")
    if _same_for_losses(suite):
        return [
            *anew,
            "Trainings with the same data set, model and seed share the split of the data, the initial "
            "weights, the order of the batches, augmentation and dropout, and differ in the loss alone.",
        ]
    return [
        *anew,
        "Trainings with the same data set, model and seed draw all that is random from the same streams, and "
        "differ in the loss and in what its recipe changes.",
    ]


def _own_trainers(suite: Suite, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Who trained instead, what it was told, and what pairs its runs."""
    if not suite.trainers:
        return []
    models = [entry.label for entry in suite.models if suite.trainer_of(entry) is not None]
    recipes = [cell["recipe"] for cell in cells if "trainer" in cell]
    shared = {key: value for key, value in recipes[0].items() if all(r.get(key) == value for r in recipes)}
    which = "They" if not suite.ours("models") else listed(models)
    told = (
        f", told {listed([f'{key} {json.dumps(value)}' for key, value in shared.items()])}" if shared else ""
    )
    return [
        f"{which} were trained by {listed([trainer.label() for trainer in suite.trainers])}{told}. Trainings "
        "with the same data set, model and seed were given the same seed; what they share by it is their "
        "trainer's affair, as is which epoch counts."
    ]


def _noise(suite: Suite) -> list[str]:
    """Which labels are wrong on purpose, and what was drawn for that."""
    noisy = [
        (entry.label, options)
        for entry in suite.datasets
        if isinstance(options := entry.choice.options, DatasetOptions) and options.label_noise
    ]
    if not noisy:
        return []
    held_out = ", those of the held-out validation images among them" * (suite.selection == "validation")
    said = []
    for kind, by in (("symmetric", "another class, chosen uniformly"), ("pair_flip", "the next class")):
        shares = [
            f"{100 * options.label_noise:g} % of {label} (noise seed {options.noise_seed})"
            for label, options in noisy
            if getattr(options, "noise_kind", "symmetric") == kind
        ]
        if shares:
            said.append(f"Training labels were replaced by {by}: {listed(shares)}{held_out}.")
    said[-1] += (
        " Which ones, and by what, depends on the data set and its noise seed alone, and is the same for "
        "every loss, model and seed of a training; test labels stay as they are."
    )
    return said


def _own_parts(suite: Suite) -> list[str]:
    """What is particular about the images of data sets."""
    tails = [
        f"{label} by a factor of {options.long_tail:g}"
        for label, options in ((entry.label, entry.choice.options) for entry in suite.datasets)
        if isinstance(options, BuiltInOptions) and options.long_tail is not None
    ]
    said = (
        [f"Training images per class fall exponentially: {listed(tails)}; test images stay."] if tails else []
    )
    if suite.selection == "validation" and any(isinstance(e.choice.options, OnDisk) for e in suite.datasets):
        said.append("Where a data set has a validation split of its own, that was used, and none held out.")
    return said


def _same_for_losses(suite: Suite) -> bool:
    """Whether recipes differ between data sets or models at most."""
    recipes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for cell in suite.cells:
        recipes[cell.dataset, cell.model].add(json.dumps(untuned(suite, cell)["recipe"], sort_keys=True))
    return all(len(found) == 1 for found in recipes.values())


def _recipe(recipes: Sequence[Mapping[str, Any]], suite: Suite) -> str:
    if not recipes:
        return ""
    unused = () if suite.selection == "validation" else ("validation",)
    keys = dict.fromkeys(key for recipe in recipes for key in recipe if key not in unused)
    shared: dict[str, Any] = {
        key: recipes[0].get(key) for key in keys if all(r.get(key) == recipes[0].get(key) for r in recipes)
    }
    other = [key.replace("_", " ") for key in keys if key not in shared]
    parts = [say(shared[key]) for key, say in _RECIPE.items() if shared.get(key) is not None]
    said = f"Each was trained {', '.join(parts)}." if parts else ""
    if other:
        what = listed(other)
        said += (
            f" Data sets or models differ in {what}, which all losses of each share."
            if _same_for_losses(suite)
            else f" The trainings did not share {what}, so a difference may be due to more than the loss."
        )
    return said.strip()


def _metrics(suite: Suite, report: Report) -> list[str]:
    sizes = {c.dataset: c.test_images for c in report.cells if c.test_images}
    images = listed([f"{size:,} of {name}" for name, size in sizes.items()])
    first, *others = (metric.name for metric in suite.metrics)
    which = "All test images" if suite.splits == "given" else "All test images of its seed"
    return [
        f"{which} count{f' ({images})' if images else ''}.",
        *map(_meaning, suite.metrics),
        *([f"{first} alone decides; secondary: {listed(others)}."] if others else []),
        "We report means and standard deviations over seeds"
        f"{' of the retrained winners' * (suite.tune is not None)}.",
    ]


def _meaning(metric: Metric) -> str:
    """What it is: a metric's file begins with it."""
    what, kind = "what code of our own computes", metric.measure_type
    if kind is not None:
        [sentence, *_] = (sys.modules[kind.__module__].__doc__ or what).splitlines()
        what = sentence[:1].lower() + sentence[1:].rstrip(".")
    source = _SOURCES.get(metric.choice.name)
    cite = f" [@{source}]" if source else ""
    better = "higher" if metric.higher_is_better else "lower"
    return f"{_named(metric.name, metric.choice.describe())}: {what}{cite}; {better} is better."


def _comparisons(suite: Suite, report: Report) -> list[str]:
    """How it was judged is said by the report itself; here with its sources."""
    every = [*report.comparisons, *report.secondary.comparisons]
    if all(c.p is None for c in every):
        return [report.method]
    margin, made = bool(report.margin), report.sequential
    said = [report.method] if made is None else ["The design is sequential.", report.method, _ended(report)]
    if lacking := [c for c in report.comparisons if c.missing]:
        said.append(
            f"In {counted(len(lacking), 'comparison')} some pairs are missing, as one or both of their "
            "trainings are; none was made up."
        )
    if report.optimistic:
        said.append("Values of such an epoch are better than is to be expected on new images.")
    else:
        equivalent = "; otherwise equivalent where the tests for that say so" if margin else ""
        said.append(
            f"We call a loss superior or inferior to {report.baseline} where its interval excludes 0"
            f"{equivalent}; otherwise undecided. A verdict is about this test set alone"
            + (
                ", and about losses that are tuned with that budget."
                if report.tuning is not None
                else " unless an interval on new images, for all comparisons at once, agrees with it; about "
                "sound runs where some have collapsed; and about the runs that finished where some have "
                "failed, unless it holds with those ranked last."
            )
        )
    if family := report.secondary.comparisons:
        # Where no verdict is given, or none of these ends a comparison, nothing is called equivalent.
        called = made is None and not report.optimistic
        limits = listed(
            [f"within ±{m.within} of {m.name}" for m in report.metrics[1:] if m.margin and called]
        )
        said.append(
            "Secondary metrics decide nothing; p is adjusted over their "
            f"{counted(len(family), 'comparison')} alone, by {report.secondary.adjusted_by}"
            f"{f', and equivalent means {limits}' if limits else ''}."
        )
    wider = {c.metric for c in every if c.new_images}
    jackknifed = [m.name for m in suite.metrics if m.name in wider and m.over_images is False]
    adjusted = {c.adjusted.by for c in every}
    looks = made is not None and made.rule == "planned"
    sources = {
        "Student's t [@student1908]": made is None and report.splits == "given",
        "the unbiased best of T [@tang2020] and the jackknife of such sums [@arvesen1969]": bool(suite.tune),
        "rotations of residuals [@langsrud2005; @solari2014]": "rotations" in adjusted and len(every) > 1,
        "group-sequential boundaries from flips of whole seeds [@lan1983; @kim1987; @westfall1993]": looks,
        "the corrected resampled t-test [@nadeau2003] and its Bayesian form [@benavoli2017]": bool(
            report.splits == "per_seed"
        ),
        "maxT by flips of whole seeds [@westfall1993]": "flips" in adjusted and not looks,
        "confidence sequences [@wang2023]": "e-value" in adjusted,
        "e-values of the paired t-test [@hendriksen2021], valid whenever one stops [@ville1939]": "e-value"
        in adjusted,
        "stopping for futility [@lan1982]": made is not None and not looks,
        "stopping for futility by predictive power [@spiegelhalter1986]": looks,
        "spending of α over looks [@lan1983]": made is not None and margin and not looks,
        "the median absolute deviation, by which runs are flagged [@hampel1974]": any(
            c.collapse for c in every
        ),
        "the worst-rank analysis of failed runs [@lachin1999]": any(c.failures for c in every),
        "the crossed analysis of variance [@dorfman1992; @obuchowski1995]": bool(wider),
        f"jackknife pseudo-values of images for {listed(jackknifed)} [@dorfman1992]": bool(jackknifed),
        "Hillis's degrees of freedom [@hillis2007]": bool(wider),
        "sign flips [@fisher1935; @pagano1983]": any(c.flips for c in every),
        "Holm's adjustment [@holm1979]": any(c.failures for c in every),
        "two one-sided tests [@schuirmann1987]": any(m.margin for m in report.metrics),
        "effect sizes corrected for small samples [@hedges1981]": any(c.effects for c in every),
        "intervals for the chance of beating the baseline [@clopper1934]": any(c.superiority for c in every),
    }
    used = listed([source for source, used in sources.items() if used])
    said.append(f"This rests on {used}.")
    return said + [
        f"{m.name} has no interval for new images: {m.no_interval}." for m in suite.metrics if m.no_interval
    ]


def _ended(report: Report) -> str:
    """How the comparisons of a sequential design have ended."""
    known = [c.sequence for c in report.comparisons if c.sequence is not None]
    closed = Counter(found.outcome for found in known)
    ends = {
        **{Outcome.DIFFERENCE: "by a difference", Outcome.EQUIVALENT: "by equivalence"},
        **{Outcome.FUTILE: "for futility", Outcome.LARGEST: "at the largest number of seeds"},
    }
    ended = [f"{closed[end]} ended {words}" for end, words in ends.items() if closed[end]]
    count, looks = len(report.comparisons), max((found.looks or 0 for found in known), default=0)
    if still := count - sum(closed[end] for end in ends):
        ended.append(f"{still} {'is' if still == 1 else 'are'} still open")
    return f"Of {counted(count, 'comparison')}, {listed(ended)}, after {counted(looks, 'look')} at most."


def _ranks(report: Report) -> list[str]:
    if not report.rankings:
        return []
    most = max(len(ranking.datasets) for ranking in report.rankings)
    every = [ranked for ranking in report.rankings for ranked in ranking.losses]
    first, baseline = report.metrics[0], report.baseline
    said = [
        f"Over {counted(most, 'data set')}, which are the sample there, the losses were ranked by "
        f"{first.name} on each, and average ranks compared by Friedman's test with Iman and "
        "Davenport's correction, with the baseline's by z with Holm's adjustment, and with each other by "
        "Nemenyi's critical difference [@demsar2006]."
    ]
    if any(ranked.wins is not None for ranked in every):
        region = f"within ±{first.within}" if first.margin else "none, as no margin was given"
        said.append(
            "We count the data sets on which the mean of a loss is better than, equal to and worse than that "
            f"of {baseline}, and give the probabilities of the Bayesian signed-rank test, whose region of "
            f"practical equivalence is {region} [@benavoli2017]."
        )
    if any(ranked.improvement is not None for ranked in every):
        resampled = any(ranked.improvement_low is not None for ranked in every)
        said.append(
            "The probability of improvement is that of any two runs on the same data set the one of the loss "
            f"is better than that of {baseline}, averaged over data sets"
            f"{', with the bootstrap over runs stratified by data set' * resampled} [@agarwal2021]."
        )
    return said


def _software(suite: Suite, results: Path) -> list[str]:
    """From what each finished run noted when it was begun for the last time."""
    folders = (RunFolder(results, run.id) for cell in suite.cells for run in cell.runs)
    done = [folder for folder in folders if folder.done]
    last = [(folder.info().get("attempts") or [{}])[-1] for folder in watched(done, "reading versions")]
    names = {"torch": "PyTorch", "python": "Python", "bench": "bench"}
    versions = {key: _versions(names[key], [attempt.get(key) for attempt in last]) for key in names}
    if versions["torch"]:
        versions["torch"] += " [@paszke2019]"
    used = listed([*filter(None, versions.values())])
    said = [f"Trainings ran with {used}."] if used else []
    commits = [(attempt.get("git") or {}).get("commit") for attempt in last]
    if commit := _versions("commit", [value and value[:10] for value in commits]):
        dirty = any((attempt.get("git") or {}).get("dirty") for attempt in last)
        said.append(f"The code was that of {commit}{', with changes not committed' if dirty else ''}.")
    if device := _versions("", [attempt.get("device") for attempt in last]):
        said.append(f"They ran on {device}.")
    contents = [folder.content for folder in read_all(results / suite.name / "jobs")]
    queued = {run for content in contents if content.job for runs in content.runs for run in runs}
    if any(folder.run_id in queued for folder in done):
        said.append("Slurm [@yoo2003] queued them, submitted through submitit [@submitit].")
    return said


def _versions(name: str, found: Iterable[str | None]) -> str:
    """``PyTorch 2.8`` or ``PyTorch 2.7 (3 trainings) and 2.8 (57)``; empty where nothing is known."""
    counts = Counter(value for value in found if value)
    if len(counts) <= 1:
        return f"{name} {next(iter(counts))}".strip() if counts else ""
    known = [f"{value} ({counted(counts[value], 'training')})" for value in sorted(counts)]
    return f"{name} {listed(known)}".strip()


def _choices(kind: str, labels: Sequence[str], resolved: Sequence[Mapping[str, Any]]) -> str:
    """``the model a and b``: with every option, in the order of the suite, where they are not too many."""
    plural = {"model": "models", "data set": "data sets", "loss": "losses"}
    known = list({json.dumps(value, sort_keys=True): value for value in resolved}.values())
    if len(known) != len(labels) or len(labels) > MOST_NAMED:
        return f"{len(labels)} {plural[kind]}" if len(labels) > 1 else f"the {kind} {labels[0]}"
    words = [_named(label, value) for label, value in zip(labels, known, strict=True)]
    return f"the {kind if len(words) == 1 else plural[kind]} {listed(words)}"


def _named(label: str, value: Mapping[str, Any]) -> str:
    """A choice with all its options, and what tables call it where that is something else."""
    known = label == value["name"] or label.startswith(f"{value['name']}(")
    return _described(value) if known else f"{label}, which is {_described(value)}"


def _described(choice: Mapping[str, Any]) -> str:
    """A choice with all its options: ``adam (lr 0.02, betas 0.9 and 0.999)``."""
    options = [
        f"{key} {_value(value)}"
        for key, value in choice.items()
        if key not in ("name", "source", "digest") and value is not None
    ]
    return f"{choice['name']} ({', '.join(options)})" if options else str(choice["name"])


def _value(value: Any) -> str:
    if isinstance(value, list):
        return listed([*map(_value, value)])
    return f"{value:g}" if isinstance(value, float) else str(value)
