"""The model card of exported weights: which run made them, what that is worth, and how they are loaded.

The first lines are metadata as Hugging Face reads it; the rest is for people.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.checkpoints.reading import EXPORTED
from bench.checkpoints.repetition import Weights, machine
from bench.datasets import FIRST_LABELS, Form
from bench.design import as_it_stands
from bench.disk import write_atomically
from bench.errors import BenchError
from bench.reports.comparison import report
from bench.reports.documents import Comparison, Report
from bench.reports.loading import loading
from bench.reports.text import escaped, points
from bench.results import Result
from bench.run import Resolved, Run
from bench.statistics.proportions import wilson
from bench.suite import Suite

_SELECTION = {
    "last": "the last epoch",
    "validation": "the epoch with the best accuracy on a validation split of the training images",
    "test": "the epoch with the best accuracy on the test images themselves: OPTIMISTIC",
}


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
    made = report(as_it_stands(suite, results), results)
    cell = next(cell for cell in suite.cells if run.text == cell.text)
    key = (cell.dataset, cell.model, cell.loss)
    found = (c for c in made.comparisons if (c.dataset, c.model, c.loss) == key)
    return Standing(made, next(found, None))


def check_output(folder: Path) -> None:
    """Raise BenchError where an export would land among files of somebody's, such as another README.md."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    ours = {EXPORTED, "README.md"} if EXPORTED in there else set()
    if others := sorted(there - ours - {WORK}):
        shown = ", ".join(others[:5]) + (" …" if len(others) > 5 else "")
        raise BenchError(
            f"--output: {folder}: found {shown}; expected a new folder, or one of an earlier export"
        )


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
        f"These weights were made on {escaped(_where(weights))}.",
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(run: Run, resolved: Resolved, weights: Weights) -> str:
    result = weights.result
    name = resolved.dataset.name
    metric = {"type": "accuracy", "value": round(result.accuracy, 6), "name": "test accuracy"}
    content = {
        "library_name": "timm" if resolved.model.name.startswith("timm/") else "pytorch",
        "pipeline_tag": "image-classification",
        "datasets": [name],
        "metrics": ["accuracy"],
        "model-index": [
            {
                "name": f"{resolved.model.name}-{run.id}",
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"type": name, "name": resolved.dataset.label(), "split": "test"},
                        "metrics": [metric],
                    }
                ],
            }
        ],
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
        f"{points(again.accuracy, 3)} %; the run itself, {stored.correct:,}, {points(stored.accuracy, 3)} %. "
        "What follows is the repetition's."
    )


def _result(resolved: Resolved, result: Result) -> str:
    low, high = wilson(result.correct, result.total)
    return (
        "## Result\n\n"
        f"{result.correct:,} of {result.total:,} test images correct: **{points(result.accuracy, 3)} %** "
        f"(Wilson's 95 % interval {points(low, 3)} to {points(high, 3)} %, for this network on new images), "
        f"after epoch {result.epoch} of {resolved.recipe.epochs}. What counts is "
        f"{_SELECTION[resolved.selection]}. "
        f"Negative log-likelihood {result.nll:.4f}, Brier score {result.brier:.4f}, expected calibration "
        f"error {points(result.ece, 2)} %.\n\n"
        "One run: how much another seed would change is not in this number."
    )


def _verdict(standing: Standing) -> str:
    made, found = standing.report, standing.comparison
    lines = [f"## Verdict\n\nSuite `{made.suite}`: {escaped(made.question)}"]
    baseline = escaped(made.baseline)
    if found is None:
        lines.append(f"Its loss, {baseline}, is the baseline that the others are compared with.")
    elif found.delta is None or found.low is None or found.high is None:
        lines.append(
            f"{escaped(found.loss)} against {baseline}: **{found.verdict.value}**, with {found.n} pairs."
        )
    else:
        p = "—" if found.p_adjusted is None else f"{found.p_adjusted:.4f}"
        lines.append(
            f"{escaped(found.loss)} against {baseline}, over {found.n} pairs of runs: "
            f"**{found.verdict.value}**. Mean difference {points(found.delta, 3, '+')} points, "
            f"{100 * (1 - made.alpha):g} % interval {points(found.low, 3, '+')} to "
            f"{points(found.high, 3, '+')} on these test images, adjusted p {p}, equivalence margin "
            f"±{made.margin:g} points. That is about the two losses; these weights are one run of them."
        )
    if not made.complete:
        lines.append("The suite was not finished when this was written, and its verdicts may still change.")
    return "\n\n".join(lines)


def _outputs(dataset: str, form: Form) -> str:
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (form.mean, form.std))
    said = [f"Images are normalised by mean {mean} and standard deviation {std}, as above."]
    if dataset.startswith("emnist-"):
        said.append("They stay transposed, as torchvision returns them.")
    first = FIRST_LABELS.get(dataset)
    as_in_files = f", the label {first} of the data set's files" if first else ""
    said.append(f"Output 0 of {form.classes} is the first class{as_in_files}.")
    return " ".join(said)


def _where(weights: Weights) -> str:
    """Device and versions."""
    known = weights.machine
    versions = [f"{name} {known[name]}" for name in ("python", "bench") if name in known]
    return ", ".join([machine(known), *versions])
