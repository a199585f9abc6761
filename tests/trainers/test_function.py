"""Functions that train: what they are told, how they stop, and what they may return."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from own_trainer import Stop, attempt, reason

from bench.errors import BenchError
from bench.launch.preflight import check_names
from bench.results.folder import RunFolder
from bench.results.reading import frame
from bench.suite import Suite, load
from bench.versions import digests

Write = Callable[..., Path]


@pytest.fixture
def by(
    write_suite: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any
) -> Callable[..., Suite]:
    """A suite that a function of a module of its own trains."""
    monkeypatch.syspath_prepend(str(tmp_path))
    number = iter(range(9))

    def make(body: str, *, options: Any = None, **changes: Any) -> Suite:
        name = f"own_trainer_{abs(hash(request.node.name)) % 10**9}_{next(number)}"
        (tmp_path / f"{name}.py").write_text(
            f"import json\nimport numpy as np\ndef train(job, **options):\n{body}"
        )
        some = {"datasets": "pixels", "models": "net", "losses": "ce", "seeds": 1, "recipe": None}
        trainer = f"{name}:train" if options is None else {f"{name}:train": options}
        return load(write_suite(**{**some, "baseline": None, **changes}, trainer=trainer))

    yield make  # type: ignore[misc]
    for name in [name for name in sys.modules if name.startswith("own_trainer_")]:
        del sys.modules[name]
    sys.meta_path[:] = [finder for finder in sys.meta_path if not hasattr(finder, "modules")]


COUNTS = "    return {'correct': 9, 'total': 10}\n"


def test_a_job_says_what_is_to_be_trained(by: Any, tmp_path: Path) -> None:
    suite = by(
        "    told = [job.dataset.name, job.model.options, job.loss.name, job.loss.options]\n"
        "    told += [job.recipe, job.seed]\n"
        "    told += [job.derive('init'), job.device, job.folder.is_dir(), job.should_stop(), options]\n"
        f"    open({str(tmp_path / 'told.json')!r}, 'w').write(json.dumps(told))\n"
        "    job.log(epoch=1, loss=np.float32(0.5), note='no number'); job.log(loss=0.25)\n" + COUNTS,
        options={"depth": 3},
        models={"net": {"width": 2}},
        losses={"focal": {"gamma": 2}},
        recipe={"lr": 0.1},
        seeds=[5],
    )
    check_names(suite)
    folder = attempt(suite, tmp_path / "results")
    assert folder.done, reason(folder)
    run = suite.runs()[0]
    assert json.loads((tmp_path / "told.json").read_text()) == [
        *("pixels", {"width": 2}, "focal", {"gamma": 2}, {"lr": 0.1}, 5),
        *(run.derive("init") % 2**31, "cpu", True, False, {"depth": 3}),
    ]
    assert [(line["epoch"], line["loss"]) for line in folder.metrics()] == [(1, 0.5), (2, 0.25)]
    assert not folder.work.exists()


def test_seeds_pair_and_losses_do_not(by: Any) -> None:
    suite = by(COUNTS, losses=["ce", "mae"], seeds=2)
    one, other = (cell.runs[0] for cell in suite.cells)
    assert one.derive("init") == other.derive("init")
    assert one.derive("init") != one.derive("order")
    assert one.derive("init") != suite.cells[0].runs[1].derive("init")


def test_one_that_is_told_to_stop_goes_on_in_its_folder(by: Any, tmp_path: Path) -> None:
    suite = by(
        "    state = job.folder / 'result.json'\n"  # whose presence means nothing here
        "    done = json.loads(state.read_text()) if state.exists() else 0\n"
        "    while done < 5:\n"
        "        if job.should_stop(): return None\n"
        "        done += 1; state.write_text(json.dumps(done)); job.log(epoch=done)\n"
        "    return {'correct': done, 'total': 10}\n"
    )
    results = tmp_path / "results"
    folder = attempt(suite, results, stop=Stop(after=3))
    assert not folder.done
    assert not folder.failed
    assert (folder.work / "result.json").read_text() == "3"
    assert attempt(suite, results).done
    assert [line["epoch"] for line in folder.metrics()] == [1, 2, 3, 4, 5]


def test_an_epoch_that_is_told_again_replaces_what_came_after(by: Any, tmp_path: Path) -> None:
    suite = by("    for k in (1, 2, 3, 2): job.log(epoch=k, loss=k)\n" + COUNTS)
    assert [line["epoch"] for line in attempt(suite, tmp_path / "results").metrics()] == [1, 2]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "returned what is no result: found nothing, expected labels with predictions"),
        ("0.93", "found 0.93, expected labels with predictions"),
        ("{}", "found a mapping with no keys, expected labels"),
        (
            "{'accuracy': 93.5}",
            "accuracy: found 93.5, expected a fraction from 0 to 1: divide percent by 100",
        ),
        ("{'accuracy': float('nan')}", "accuracy: found nan, expected a finite number"),
        (
            "{'acuracy': 0.9}",
            "metric 'accuracy' cannot be had: what came back is acuracy alone; did you mean",
        ),
        ("{'labels': ['a'], 'predictions': ['b']}", "expected classes, whole numbers .*; give their numbers"),
        ("{'labels': [1, 2], 'predictions': [1]}", "predictions: found 1 of them for 2 labels"),
        ("{'labels': [-1], 'predictions': [1]}", "labels: found -1 to -1, expected classes from 0"),
        ("{'labels': [], 'predictions': []}", "labels"),
        ("{'predictions': [1]}", "found predictions, expected labels with either predictions or"),
        ("{'labels': [0], 'probabilities': [[2., -1.]]}", "of image 0 .*are these logits"),
        ("{'correct': 1.5, 'total': 2}", "correct: found 1.5, expected a whole number"),
        ("{'correct': 1, 'total': 2, 'validation': {'correct': 1}}", "validation: total: is missing"),
        ("{'correct': 10**400, 'total': 10**401}", "correct: found 1.*, expected a whole number of images"),
        ("{'correct': 10**20, 'total': 10**21}", "correct: found 1.*, expected a whole number of images"),
        ("{'accuracy': 10**400}", "accuracy: found 1.*, expected a finite number"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("__import__('sys').exit(2)", r"trainer '.*:train' called sys.exit\(2\)"),
    ],
)
def test_what_is_no_result_fails_the_run(by: Any, tmp_path: Path, returned: str, message: str) -> None:
    folder = attempt(by(f"    return {returned}\n"), tmp_path / "results")
    assert re.search(message, reason(folder)), reason(folder)


def test_anything_that_is_an_array_will_do(by: Any, tmp_path: Path) -> None:
    suite = by(
        "    import torch\n"
        "    p = torch.tensor([[.9, .1], [.2, .8]], dtype=torch.bfloat16, requires_grad=True)\n"
        "    return {'labels': torch.tensor([0., 0.]), 'probabilities': p, 'f2': 0.5,\n"
        "            'validation': {'labels': [1, 1], 'predictions': np.array([1, 0])}}\n"
    )
    folder = attempt(suite, tmp_path / "results")
    assert folder.done, reason(folder)
    result = folder.result(check_details=True)
    assert result is not None
    assert (result.correct, result.total, result.values) == (1, 2, {"f2": 0.5})
    assert result.validation == {"accuracy": 0.5}
    assert result.brier is not None
    assert "probabilities" not in folder.predictions(result).details


def test_a_function_that_cannot_be_called_so_is_refused_before_training(by: Any, tmp_path: Path) -> None:
    suite = by(COUNTS)
    [trainer] = suite.trainers
    module = trainer.name.partition(":")[0]  # type: ignore[union-attr]
    (tmp_path / f"{module}.py").write_text("def train(): pass\ndef other(job): pass\n")
    sys.modules.pop(module, None)
    with pytest.raises(BenchError, match=r"trainer: trainer '.*' with no options: TypeError"):
        check_names(suite)


def test_code_is_part_of_the_identity_and_comments_are_not(by: Any, tmp_path: Path) -> None:
    suite = by(COUNTS)
    file = next(tmp_path.glob("own_trainer_*.py"))
    before = file.read_text()
    file.write_text(before + "# a word\n")
    assert load(tmp_path / "small.yaml").runs()[0].id == suite.runs()[0].id
    file.write_text(before.replace("9", "8"))
    edited = load(tmp_path / "small.yaml")
    assert edited.runs()[0].id != suite.runs()[0].id
    assert digests.of_suite(edited).keys() == {file.stem}


LABELS = """
    labels = np.arange(20) % 4
    if {other}: labels = labels[::-1].copy()
    guess = labels.copy(); guess[:job.seed + 1] += 1
    return {{'labels': labels, 'predictions': guess}}
"""


@pytest.mark.parametrize(
    ("other", "left_out", "said"),
    [
        ("job.seed == 2 and job.loss.name == 'mae'", ["mae 2"], "1 are left out"),
        ("job.seed % 2", [], "all are compared, by seed"),  # a split of its own for every seed
    ],
)
def test_predictions_for_other_images_are_not_compared(
    by: Any, tmp_path: Path, other: str, left_out: list[str], said: str
) -> None:
    suite = by(LABELS.format(other=other), losses=["ce", "mae"], seeds=4)
    results = tmp_path / "results"
    for run in suite.runs():
        attempt(suite, results, run)
    rows = frame(results, suite.cells)
    odd = rows[rows.state == "other data"]
    assert [f"{row.loss} {row.seed}" for row in odd.itertuples()] == left_out
    assert all("for other images" in row.reason for row in odd.itertuples())
    assert said in " ".join(rows.attrs["data"])


def test_a_failed_run_keeps_its_folder_and_goes_on_from_it(by: Any, tmp_path: Path) -> None:
    suite = by(
        "    (job.folder / 'here').touch()\n"
        "    if len(list(job.folder.iterdir())) < 2: (job.folder / 'there').touch(); raise OSError('once')\n"
        + COUNTS
    )
    results = tmp_path / "results"
    folder = attempt(suite, results)
    assert "OSError: once" in reason(folder)
    folder.forget_failure()
    assert attempt(suite, results).done


def test_metrics_by_name_decide(by: Any, tmp_path: Path) -> None:
    from bench.reports.build import report

    suite = by(
        "    return {'accuracy': 0.5 + job.seed / 100 + 0.1 * (job.loss.name == 'mae'), 'nll': 1.0}\n",
        losses=["ce", "mae"],
        seeds=6,
        metrics=["accuracy", "nll"],
    )
    results = tmp_path / "results"
    for run in suite.runs():
        attempt(suite, results, run)
    made = report(suite, results)
    assert [cell.mean for cell in made.cells] == pytest.approx([0.525, 0.625])
    assert made.comparisons[0].delta == pytest.approx(0.1)
    assert made.cells[0].correct is None
    assert "accuracy: its trainer gave one number a run: no interval for new images" in made.notes
    assert RunFolder(results, suite.runs()[0].id).result().correct is None  # type: ignore[union-attr]
