"""The model card of exported weights: which run made them, what that is worth, and how they are loaded.

The first lines are metadata as Hugging Face reads it; the rest is for people.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.checkpoints.repetition import Weights, machine
from bench.comparisons.comparison import Comparison
from bench.datasets import FIRST_LABELS, Form
from bench.disk import write_atomically
from bench.errors import BenchError
from bench.reports.answer import cautions, sentence
from bench.reports.build import chosen_epoch, report
from bench.reports.formats import Scale, some
from bench.reports.groups import groups
from bench.reports.loading import loading
from bench.reports.render.markdown import escaped
from bench.reports.schema import Report
from bench.results.schema import Result
from bench.runs import Resolved, Run
from bench.sequential_design import as_it_stands
from bench.statistics.proportions import wilson
from bench.statistics.verdicts import Interval
from bench.suite import Suite
from bench.training.reading import EXPORTED

_PERCENT = Scale(100, 3)
WORK = ".repetition"
"""In the folder of an export, for as long as it takes to train a run again."""


@dataclass(frozen=True)
class Standing:
    """What a suite says of a run's loss."""

    report: Report
    comparison: Comparison | None
    """None: its loss is the baseline."""


def standing(suite: Suite, results: Path, run: Run) -> Standing:
    """Where the run's loss stands in a suite that asks for this run."""
    document = report(as_it_stands(suite, results), results)
    cell = next(cell for cell in suite.every_cell if run in cell.runs)
    return Standing(document, next((c for c in document.comparisons if c.key == cell.key), None))


def check_output(folder: Path) -> None:
    """Raise BenchError where an export would land among files of somebody's, such as another README.md."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    ours = {EXPORTED, "README.md"} if EXPORTED in names else set()
    if foreign := sorted(names - ours - {WORK}):
        expected = "expected a new folder, or one of an earlier export"
        raise BenchError(f"--output: {folder}: found {some(foreign, 5)}; {expected}")


def write_export(folder: Path, content: bytes, text: str) -> list[Path]:
    """Put weights and card into their folder, and what is left of a repetition out of it."""
    paths = [folder / EXPORTED, folder / "README.md"]
    write_atomically(paths[0], content)
    write_atomically(paths[1], text.encode())
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return paths


def card(run: Run, stored: Result, weights: Weights, form: Form, standing: Standing | None = None) -> str:
    """The text of ``README.md``.

    Args:
        stored: the run's own result.
        form: of the data set.
        standing: in the suite that the run was exported from, if any.
    """
    resolved = run.resolve()
    model, dataset, loss = (escaped(c.label()) for c in (resolved.model, resolved.dataset, resolved.loss))
    description = yaml.safe_dump(run.description, sort_keys=False, allow_unicode=True)
    versions = (f"{name} {version}" for name in ("python", "bench") if (version := weights.machine.get(name)))
    where = ", ".join([machine(weights.machine), *versions])
    parts = [
        _metadata(run, resolved, weights),
        f"# {model} on {dataset}, trained with {loss}",
        _origin(run, stored, weights),
        _result(resolved, weights.result),
        *([_verdict(standing)] if standing else []),
        f"## Loading\n\n```python\n{loading(resolved, form)}\n```",
        _outputs(resolved.dataset.name, form),
        f"## Training\n\nRun `{run.id}` of bench, and everything that its result depends on:",
        f"```yaml\n{description}```",
        f"These weights were made on {escaped(where)}.",
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(run: Run, resolved: Resolved, weights: Weights) -> str:
    result, name = weights.result, resolved.dataset.name
    assert result.accuracy is not None  # whoever has weights here was trained by bench itself
    tested = {
        "task": {"type": "image-classification"},
        "dataset": {"type": name, "name": resolved.dataset.label(), "split": "test"},
        "metrics": [{"type": "accuracy", "value": round(result.accuracy, 6), "name": "test accuracy"}],
    }
    content = {
        "library_name": "timm" if resolved.model.name.startswith("timm/") else "pytorch",
        "pipeline_tag": "image-classification",
        "datasets": [name],
        "metrics": ["accuracy"],
        "model-index": [{"name": f"{resolved.model.name}-{run.id}", "results": [tested]}],
        "bench": {
            **{"run": run.id, "seed": run.seed, "weights": weights.origin},
            **{"correct": result.correct, "total": result.total, "epoch": result.epoch},
            "selection": resolved.selection,
        },
    }
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---"


def _origin(run: Run, stored: Result, weights: Weights) -> str:
    where = f"run `{run.id}` (seed {run.seed})"
    if weights.origin == "kept":
        return f"The weights that {where} kept."
    if weights.origin == "repeated":
        return (
            f"The weights of {where}, which kept none: it was trained again, and gave the same prediction "
            f"for each of the {stored.total:,} test images as the run had stored."
        )
    again = weights.result
    return (
        f"**These are NOT the weights that made the result of {where}, but those of a repetition on another "
        f"machine.** It answers {again.correct:,} of {again.total:,} test images correctly, "
        f"{_PERCENT.value(again.accuracy)} %; the run itself, {stored.correct:,}, "
        f"{_PERCENT.value(stored.accuracy)} %. "
        "What follows is the repetition's."
    )


def _result(resolved: Resolved, result: Result) -> str:
    accuracy, nll, brier, ece = result.accuracy, result.nll, result.brier, result.ece
    assert result.correct is not None
    assert result.total is not None
    assert None not in (accuracy, nll, brier, ece)
    interval = Interval(*wilson(result.correct, result.total), 0.95)
    chooser = resolved.metric.label() if resolved.metric else "accuracy"
    return (
        f"## Result\n\n{result.correct:,} of {result.total:,} test images correct: accuracy "
        f"**{_PERCENT.value(accuracy)} %** (Wilson's 95 % interval {_PERCENT.interval(interval)} %, "
        f"for this network on new images), after epoch {result.epoch} of {resolved.recipe.epochs}. What "
        f"counts is {chosen_epoch(resolved.selection, chooser)}. nll (negative log-likelihood) "
        f"{nll:.4f}, brier (Brier score) {brier:.4f}, ece (expected calibration error) "
        f"{100 * (ece or 0):.2f} %."
        "\n\nOne run: how much another seed would change is not in this number."
    )


def _verdict(standing: Standing) -> str:
    report, comparison = standing.report, standing.comparison
    lines = [f"## Verdict\n\nSuite `{report.suite}`: {escaped(report.question)}"]
    baseline = escaped(report.baseline)
    if comparison is None:
        lines.append(f"Its loss, {baseline}, is the baseline that the others are compared with.")
    else:
        metric = report.metrics[0]
        scale = next(group.scale for group in groups(report, metric) if comparison in group.compared.values())
        word = comparison.verdict.phrase if comparison.verdict else "no verdict"
        words = escaped(sentence(comparison, metric, scale, report.alpha))
        lines.append(
            f"By {metric.name}: **{word}**. {words} That is about the two losses; these weights are one run "
            "of them."
        )
    return "\n\n".join([*lines, *cautions(report)])


def _outputs(dataset: str, form: Form) -> str:
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (form.mean, form.std))
    transposed = " They stay transposed, as torchvision returns them." * dataset.startswith("emnist-")
    first = FIRST_LABELS.get(dataset)
    as_in_files = f", the label {first} of the data set's files" if first else ""
    return (
        f"Images are normalised by mean {mean} and standard deviation {std}, as above.{transposed} Output 0 "
        f"of {form.classes} is the first class{as_in_files}."
    )
