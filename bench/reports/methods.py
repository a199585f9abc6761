"""The methods section of a paper, written out for one suite: only what was done, with what it cites.

Prose is plain text with citations as ``[@key]`` (see :mod:`bench.reports.references`), which becomes Markdown
and LaTeX alike. Versions come from the run folders, so whoever writes the report does not matter.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.datasets import DatasetOptions
from bench.launch.submission import read_all
from bench.progress import watched
from bench.reports.documents import Report, Sequential
from bench.reports.latex import breakable
from bench.reports.references import bibtex, cited, in_full, in_words, render
from bench.reports.text import SCALED_DOWN, escaped
from bench.results import RunFolder
from bench.statistics.stopping import Outcome
from bench.suite import Suite

MOST_NAMED = 30
"""Choices of one kind that are written out with their options; more belong into a table."""


def paper(suite: Suite, results: Path, report: Report) -> dict[str, str]:
    """``methods.md``, ``methods.tex`` and the ``references.bib`` of exactly what they cite."""
    sections = {
        "Trainings": " ".join(_trainings(suite, report)),
        "Accuracy": " ".join(_accuracy(suite, report)),
        "Differences": " ".join(_differences(report)),
        "Verdicts": " ".join(_verdicts(report)),
        "Ranks": " ".join(_ranks(report)),
        "Software": " ".join(_software(suite, results)),
    }
    written = {heading: text for heading, text in sections.items() if text}
    keys = cited(" ".join(written.values()))
    markdown = [f"# Methods: {escaped(report.question)}"]
    latex = []
    for heading, text in written.items():
        markdown.append(f"**{heading}.** {render(text, _in_brackets, escaped)}")
        latex.append(f"\\paragraph{{{heading}.}} {render(text, _command, breakable)}")
    if keys:
        markdown += ["## References", "\n".join(f"- {escaped(in_full(key))}" for key in keys)]
    return {
        "methods.md": "\n\n".join(markdown) + "\n",
        "methods.tex": "\n\n".join(latex) + "\n",
        "references.bib": bibtex(keys),
    }


def _in_brackets(keys: Sequence[str]) -> str:
    return f"({'; '.join(map(in_words, keys))})"


def _command(keys: Sequence[str]) -> str:
    return f"\\cite{{{','.join(keys)}}}"


# ------------------------------------------------------------------------------------------------- the prose


def _trainings(suite: Suite, report: Report) -> list[str]:
    cells = [json.loads(cell.text) for cell in suite.cells]
    counts = {len(cell.seeds) for cell in suite.cells}
    seeds = _number(min(counts), "random seed")
    if len(counts) > 1:
        seeds = f"{min(counts)} to {max(counts)} random seeds"
    said = [SCALED_DOWN] if report.scaled_down else []
    said += [
        f"We trained {_listed('model', suite.labels('models'), [c['model'] for c in cells])} "
        f"on {_listed('data set', suite.labels('datasets'), [c['dataset'] for c in cells])} "
        f"with {_listed('loss', suite.labels('losses'), [c['loss'] for c in cells])}, "
        f"{'' if suite.zip or suite.exclude else 'each combination '}from {seeds}: "
        f"{_number(sum(c.planned for c in report.cells), 'training')} in all.",
        "Trainings with the same data set, model and seed share the split of the data, the initial weights, "
        "the order of the batches, augmentation and dropout, and differ in the loss alone."
        if _same_for_losses(suite)
        else "Trainings with the same data set, model and seed draw all that is random from the same "
        "streams, and differ in the loss and in what its recipe changes.",
        *_noise(suite),
        _recipe([cell["recipe"] for cell in cells], _same_for_losses(suite)),
    ]
    done = sum(cell.n for cell in report.cells)
    failed = sum(cell.failed for cell in report.cells)
    if not report.complete:
        planned = sum(cell.planned for cell in report.cells)
        ended = f", and {failed} failed" if failed else ""
        said.append(
            f"INCOMPLETE: {done} of these {planned} trainings had finished when this was written{ended}; "
            "those that had not are missing from all numbers, and numbers may still change."
        )
    return said


def _noise(suite: Suite) -> list[str]:
    """Which labels are wrong on purpose, and what was drawn for that."""
    noisy = [
        (entry.label, options)
        for entry in suite.datasets
        if isinstance(options := entry.choice.options, DatasetOptions) and options.label_noise
    ]
    if not noisy:
        return []
    shares = _and(f"{100 * o.label_noise:g} % of {label} (noise seed {o.noise_seed})" for label, o in noisy)
    held_out = ", those of the held-out validation images among them" * (suite.selection == "validation")
    return [
        f"Training labels were replaced by another class, chosen uniformly: {shares}{held_out}. Which ones, "
        "and by what, depends on the data set and its noise seed alone, and is the same for every loss, "
        "model and seed of a training; test labels stay as they are."
    ]


def _same_for_losses(suite: Suite) -> bool:
    """Whether recipes differ between data sets or models at most."""
    recipes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for cell in suite.cells:
        recipes[cell.dataset, cell.model].add(json.dumps(json.loads(cell.text)["recipe"], sort_keys=True))
    return all(len(found) == 1 for found in recipes.values())


def _recipe(recipes: Sequence[Mapping[str, Any]], same_for_losses: bool) -> str:
    keys = dict.fromkeys(key for recipe in recipes for key in recipe)
    shared: dict[str, Any] = {
        key: recipes[0].get(key) for key in keys if all(r.get(key) == recipes[0].get(key) for r in recipes)
    }
    other = [key.replace("_", " ") for key in keys if key not in shared]
    parts = []
    if "epochs" in shared:
        parts.append(f"for {_number(shared['epochs'], 'epoch')}")
    if "batch_size" in shared:
        parts.append(f"in batches of {shared['batch_size']}")
    if "optimizer" in shared:
        parts.append(f"by {_described(shared['optimizer'])}")
    if "schedule" in shared:
        parts.append(f"with a learning rate by the schedule {_described(shared['schedule'])}")
    if "augment" in shared:
        transforms = _and(map(_described, shared["augment"]))
        parts.append(f"augmented by {transforms}" if transforms else "without augmentation")
    if shared.get("mix"):
        parts.append(f"with batches mixed by {_described(shared['mix'])}")
    if "precision" in shared:
        parts.append(f"in {shared['precision']}")
    said = f"Each was trained {', '.join(parts)}." if parts else ""
    if other:
        what = _and(other)
        said += (
            f" Data sets or models differ in {what}, which all losses of each share."
            if same_for_losses
            else f" The trainings did not share {what}, so a difference may be due to more than the loss."
        )
    return said.strip()


def _accuracy(suite: Suite, report: Report) -> list[str]:
    share = {json.loads(cell.text)["recipe"]["validation"] for cell in suite.cells}
    held_out = f"{100 * share.pop():g} %" if len(share) == 1 else "a part"
    sizes: dict[str, int] = {c.dataset: c.test_images for c in report.cells if c.test_images}
    images = _and(f"{size:,} of {name}" for name, size in sizes.items())
    said = [
        "The accuracy of a training is the share of the test images that it classifies correctly"
        + (f" ({images})" if images else "")
        + ", "
        + {
            "last": "after its last epoch: no epoch was chosen.",
            "validation": f"after the epoch with the best accuracy on {held_out} of the training images that "
            "were held out; the test images had no part in the choice.",
            "test": "after the epoch with the best accuracy on these same test images.",
        }[suite.selection],
    ]
    if report.optimistic:
        said.append(
            "OPTIMISTIC: an epoch chosen on the test set has an accuracy there that is too high to expect on "
            "new images, and a loss whose accuracy varies more from epoch to epoch gains more by the choice."
        )
    return [*said, "We report means and standard deviations over seeds."]


def _differences(report: Report) -> list[str]:
    tested = [c for c in report.comparisons if c.p is not None]
    if not tested:
        return []
    percent = f"{100 * (1 - report.alpha):g} %"
    pairs = sorted({c.n for c in tested})
    lacking = [c for c in report.comparisons if c.missing]
    said = [
        f"Every loss was compared with {report.baseline}, seed by seed; a difference is the mean over "
        f"{pairs[0]}{f' to {pairs[-1]}' if len(pairs) > 1 else ''} pairs of trainings.",
    ]
    if lacking:
        said.append(
            f"In {_number(len(lacking), 'comparison')} some pairs are missing, as one or both of their "
            "trainings are; none was made up."
        )
    said.append(
        f"Its {percent} interval and two-sided p on these test images are those of Student's t over seeds "
        "[@student1908]."
        if report.sequential is None
        else f"Its {percent} interval on these test images is that of a confidence sequence [@wang2023], "
        "which holds at all numbers of seeds at once."
    )
    if any(c.low_new_images is not None for c in tested):
        said.append(
            "A second interval takes the test images for a sample as well, by the crossed analysis of "
            "variance of seeds and images [@dorfman1992; @obuchowski1995]"
            + (" with Hillis's degrees of freedom [@hillis2007]." if not report.sequential else ".")
            + (" It spans as many standard errors as the confidence sequence." if report.sequential else "")
        )
    if any(c.p_sign_flip is not None for c in tested):
        said.append("We also give p by sign flips of the differences [@fisher1935; @pagano1983].")
    if any(c.g_z is not None for c in tested):
        said.append(
            "Effect sizes are means in standard deviations of the differences, corrected for small samples "
            "[@hedges1981]."
        )
    if any(c.superiority is not None for c in tested):
        said.append(
            "The chance that a loss beats the baseline with the same new seed has Clopper and Pearson's "
            "interval [@clopper1934]."
        )
    return said


def _added(report: Report, made: Sequential) -> list[str]:
    """Where seeds are added until decided: the rule, as it was stated before the first seed."""
    bar = f"{made.bar:g}" if len(report.comparisons) == 1 else f"K/α = {made.bar:g}"
    closed = Counter(c.stopped for c in report.comparisons)
    ends = {
        Outcome.DIFFERENCE: "by a difference",
        Outcome.EQUIVALENT: "by equivalence",
        Outcome.FUTILE: "for futility",
        Outcome.LARGEST: "at the largest number of seeds",
    }
    ended = [f"{closed[end]} ended {words}" for end, words in ends.items() if closed[end]]
    if closed[Outcome.OPEN]:
        ended.append(f"{closed[Outcome.OPEN]} {'is' if closed[Outcome.OPEN] == 1 else 'are'} still open")
    equivalence = (
        f"otherwise equivalent where two one-sided tests at {report.alpha:g}, not adjusted for the other "
        f"comparisons and spent over the looks [@lan1983], place the difference within ±{report.margin:g} "
        "points [@schuirmann1987]; "
    )
    return [
        "The design is sequential: seeds were added to a comparison until it was decided, with looks planned "
        f"at {_and(map(str, made.looks))} seeds. We call a loss superior or inferior to the baseline where "
        f"the e-value of the paired t-test [@hendriksen2021] reaches {bar}"
        + ("" if len(report.comparisons) == 1 else f" (K = {len(report.comparisons)} comparisons)")
        + f", so that the chance of any false alarm at any look is at most {report.alpha:g} [@ville1939]; "
        f"{equivalence if report.margin else ''}otherwise undecided.",
        "A comparison was given up where even the most favourable true difference would have been decided "
        f"by {made.looks[-1]} seeds with a chance below {made.futility:g} [@lan1982].",
        f"Of {_number(len(report.comparisons), 'comparison')}, "
        + _and(ended)
        + f", after {_number(max((c.looks or 0 for c in report.comparisons), default=0), 'look')} at most.",
    ]


def _ranks(report: Report) -> list[str]:
    if not report.rankings:
        return []
    most = max(len(ranking.datasets) for ranking in report.rankings)
    return [
        f"Over {_number(most, 'data set')}, which are the sample there, the losses were ranked by their "
        "correct answers on each, and average ranks compared by Friedman's test with Iman and Davenport's "
        "correction, with the baseline's by z with Holm's adjustment, and with each other by Nemenyi's "
        "critical difference [@demsar2006]."
    ]


def _verdicts(report: Report) -> list[str]:
    if not report.comparisons:
        return []
    if report.sequential is not None:
        return _added(report, report.sequential)
    methods = {c.adjusted_by for c in report.comparisons}
    source = {"westfall-young": " [@westfall1993]", "holm": " [@holm1979]"}
    adjusted = [source[name] for name in source if name in methods]
    family = _number(len(report.comparisons), "comparison")
    one = len(report.comparisons) == 1
    said = [
        "There is one comparison, so p is adjusted for no others."
        if one
        else f"All {family} of a loss with the baseline, over all models and data sets, are one family."
    ]
    if adjusted:
        resting = "The p that its verdict rests on is" if one else "The adjusted p that verdicts rest on are"
        said.append(f"{resting} by {report.adjusted_by or 'a step-down procedure'}{adjusted[0]}.")
    return [
        *said,
        "We call a loss superior or inferior to the baseline where that p is below "
        f"{report.alpha:g}; otherwise equivalent where two one-sided tests at {report.alpha:g}, not "
        f"adjusted, place the difference within ±{report.margin:g} points [@schuirmann1987]; otherwise "
        "undecided.",
    ]


def _software(suite: Suite, results: Path) -> list[str]:
    """From what each finished run noted when it was begun for the last time."""
    folders = (RunFolder(results, run.id) for cell in suite.cells for run in cell.runs)
    done = [folder for folder in folders if folder.done]
    last = [(folder.info().get("attempts") or [{}])[-1] for folder in watched(done, "reading versions")]
    names = {"torch": "PyTorch", "python": "Python", "bench": "bench"}
    versions = {key: _versions(names[key], [attempt.get(key) for attempt in last]) for key in names}
    if versions["torch"]:
        versions["torch"] += " [@paszke2019]"
    used = _and(filter(None, versions.values()))
    said = [f"Trainings ran with {used}."] if used else []
    commits = [(attempt.get("git") or {}).get("commit") for attempt in last]
    if commit := _versions("commit", [value and value[:10] for value in commits]):
        dirty = any((attempt.get("git") or {}).get("dirty") for attempt in last)
        said.append(f"The code was that of {commit}{', with changes not committed' if dirty else ''}.")
    if device := _versions("", [attempt.get("device") for attempt in last]):
        said.append(f"They ran on {device}.")
    submitted = _submitted(results / suite.name / "jobs")
    if any(folder.run_id in submitted for folder in done):
        said.append("Slurm [@yoo2003] queued them, submitted through submitit [@submitit].")
    return said


# ---------------------------------------------------------------------------------------------- its material


def _submitted(jobs: Path) -> set[str]:
    """Ids of the runs that were given to Slurm."""
    contents = [folder.content for folder in read_all(jobs)]
    return {run for content in contents if content.job for runs in content.runs for run in runs}


def _versions(name: str, found: Iterable[str | None]) -> str:
    """``PyTorch 2.8`` or ``PyTorch 2.7 (3 trainings) and 2.8 (57)``; empty where nothing is known."""
    counts = Counter(value for value in found if value)
    if len(counts) <= 1:
        return f"{name} {next(iter(counts))}".strip() if counts else ""
    known = [f"{value} ({_number(counts[value], 'training')})" for value in sorted(counts)]
    return f"{name} {_and(known)}".strip()


def _listed(kind: str, labels: Sequence[str], resolved: Sequence[Mapping[str, Any]]) -> str:
    """``the model a and b``: with every option, in the order of the suite, where they are not too many."""
    plural = {"model": "models", "data set": "data sets", "loss": "losses"}
    known = list({json.dumps(value, sort_keys=True): value for value in resolved}.values())
    if len(known) != len(labels) or len(labels) > MOST_NAMED:
        return f"{len(labels)} {plural[kind]}" if len(labels) > 1 else f"the {kind} {labels[0]}"
    words = []
    for label, value in zip(labels, known, strict=True):
        described = _described(value)
        name = value["name"]
        own = described if label == name or label.startswith(f"{name}(") else f"{label}, which is {described}"
        words.append(own)
    return f"the {kind if len(words) == 1 else plural[kind]} {_and(words)}"


def _described(choice: Mapping[str, Any]) -> str:
    """A choice with all its options: ``adam (lr 0.02, betas 0.9 and 0.999)``."""
    options = [
        f"{key} {_value(value)}"
        for key, value in choice.items()
        if key not in ("name", "source") and value is not None
    ]
    return f"{choice['name']} ({', '.join(options)})" if options else str(choice["name"])


def _value(value: Any) -> str:
    if isinstance(value, list):
        return _and(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _and(words: Iterable[str]) -> str:
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last
