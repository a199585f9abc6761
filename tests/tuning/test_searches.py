"""Trials that have ended: what is retrained, what is said, what a changed suite keeps."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import LR, TUNE, finish, finish_trials, tuned
from scipy import stats

from bench.comparisons.agreement_file import load as load_agreement
from bench.comparisons.analysis import analyse
from bench.launch.plan import plan
from bench.launch.status import status
from bench.launch.text import plan_text
from bench.preregistration import judged, state
from bench.preregistration.deviations import deviations
from bench.reports import build
from bench.reports.document import document
from bench.reports.methods import paper
from bench.reports.render.markdown import markdown
from bench.reports.schema import Report
from bench.results.folder import RunFolder
from bench.scale import tiny
from bench.sequential_design import SequentialDesign, as_it_stands
from bench.statistics.searches import pooled
from bench.suite import Suite
from bench.tracking.record import read_record
from bench.tuning.changed import kept
from bench.tuning.trials import Trial
from bench.tuning.winners import best_of


def rising(loss: str, setting: dict[str, Any]) -> tuple[float, int]:
    """Better with a larger rate, and focal better by some ten images of a hundred."""
    better = 10 + round(setting["loss.gamma"]) if loss == "focal" else 0
    return 0.3 + 5 * setting[LR], 30 + better + int(400 * setting[LR])


def settle(suite: Suite, results: Path) -> Suite:
    """Finish the winners, too."""
    now = as_it_stands(suite, results)
    for cell in now.cells:
        for run in cell.runs:
            finish(run, results, 0.8, 80 + run.seed)
    return now


def report(suite: Suite, results: Path) -> Report:
    return build.report(as_it_stands(suite, results), results)


def test_winners_are_trained_once_all_trials_have_ended(tmp_path: Path) -> None:
    suite = tuned()
    design = SequentialDesign(suite, tmp_path)
    assert [cell.waits for cell in design.now().cells] == [True, True]
    assert len(design.now().runs()) == 16
    finish_trials(suite, tmp_path, rising)
    last = suite.searches[1].runs[-1]
    aside = RunFolder(tmp_path, last.id).set_aside()
    assert [cell.waits for cell in design.now().cells] == [False, True]
    aside.rename(RunFolder(tmp_path, last.id).path)
    now = design.now()
    assert len(now.runs()) == 16 + 4
    for cell, search in zip(now.cells, suite.searches, strict=True):
        best = max(search.settings.values(), key=lambda setting: setting[LR])
        assert cell.recipe["optimizer"]["lr"] == best[LR]
        assert [run.seed for run in cell.runs] == [0, 1]


def test_settings_are_chosen_by_validation_and_never_by_the_test_set(tmp_path: Path) -> None:
    suite = tuned()
    finish_trials(suite, tmp_path, lambda loss, setting: (0.9 - 5 * setting[LR], int(900 * setting[LR])))
    now = as_it_stands(suite, tmp_path)
    least = min(setting[LR] for setting in suite.searches[0].settings.values())
    assert {cell.recipe["optimizer"]["lr"] for cell in now.cells} == {least}


def test_the_verdict_is_of_the_pooled_trials(tmp_path: Path) -> None:
    suite = tuned()
    finish_trials(suite, tmp_path, rising)
    settle(suite, tmp_path)
    made = report(suite, tmp_path)
    [found] = made.comparisons
    scores = [
        [rising(search.loss, {**search.settings[seed]}) for seed in search.seeds] for search in suite.searches
    ]
    ce, focal = ([[v for v, _ in of], [c / 100 for _, c in of]] for of in scores)
    expected = pooled(*focal, *ce, 2)
    assert found.difference == expected
    assert (found.n, found.unit) == (8, "trial")
    assert found.verdict is not None
    assert found.verdict.phrase == "superior on this test set"
    assert made.complete
    assert "focal is better than ce on this test set. Each loss was tuned with 2 trials." in made.answer
    assert [(cell.n, cell.planned) for cell in made.cells] == [(2, 2), (2, 2)]
    assert found.effects is None
    assert made.rankings == ()


def test_a_metric_of_which_less_is_better_keeps_its_own_direction(tmp_path: Path) -> None:
    suite = tuned(metrics=["accuracy", "nll"])
    finish_trials(suite, tmp_path, rising)
    settle(suite, tmp_path)
    made = report(suite, tmp_path)
    [secondary] = made.secondary.comparisons
    assert secondary.delta is not None
    first = suite.searches[0].runs[0]
    assert RunFolder(tmp_path, first.id).result() is not None


def test_the_file_beside_a_report_gives_the_same_comparisons(tmp_path: Path) -> None:
    suite = tuned(metrics=["accuracy", "nll"])
    finish_trials(
        suite, tmp_path, lambda loss, setting: None if setting[LR] > 0.03 else rising(loss, setting)
    )
    settle(suite, tmp_path)
    made, content = build.report_and_agreement(as_it_stands(suite, tmp_path), tmp_path)
    path = tmp_path / "agreement.npz"
    path.write_bytes(content)
    measured, baseline, design = load_agreement(path)
    assert analyse(measured[:1], baseline, design).comparisons == made.comparisons
    assert analyse(measured[1:], baseline, design).comparisons == made.secondary.comparisons


def test_trials_that_diverge_rank_last_with_the_score_of_a_guess(tmp_path: Path) -> None:
    suite = tuned()
    most = sorted(setting[LR] for setting in suite.searches[0].settings.values())[-2]

    def score(loss: str, setting: dict[str, Any]) -> tuple[float, int] | None:
        return None if loss == "focal" and setting[LR] >= most else rising(loss, setting)

    finish_trials(suite, tmp_path, score)
    settle(suite, tmp_path)
    made = report(suite, tmp_path)
    assert made.tuning is not None
    focal = made.tuning.searches[1]
    assert (focal.done, focal.failed) == (6, 2)
    assert made.tuning.guess == {"digits(train_size=200, test_size=100) · vgg5-tiny": 0.1}
    said = markdown(document(made).blocks(everything=False))
    assert "2 of 8 trials diverged or failed" in said
    values = [(rising("focal", {**s}), s[LR] < most) for s in suite.searches[1].settings.values()]
    expected = pooled(
        [v if sound else float("nan") for (v, _), sound in values],
        [c / 100 if sound else 0.1 for (_, c), sound in values],
        [rising("ce", {**s})[0] for s in suite.searches[0].settings.values()],
        [rising("ce", {**s})[1] / 100 for s in suite.searches[0].settings.values()],
        2,
    )
    assert made.comparisons[0].difference == expected


def test_a_loss_of_which_all_trials_failed_has_no_verdict(tmp_path: Path) -> None:
    suite = tuned()
    finish_trials(suite, tmp_path, lambda loss, s: None if loss == "focal" else rising(loss, s))
    now = settle(suite, tmp_path)
    assert [len(cell.runs) for cell in now.cells] == [2, 0]
    made = report(suite, tmp_path)
    assert made.complete
    assert made.comparisons[0].delta is None
    assert (
        made.comparisons[0].note == "all 8 trials of focal failed: it has no setting that could be compared"
    )
    said = markdown(document(made).blocks(everything=False))
    assert "all 8 trials failed: there is no setting to train, and no verdict" in " ".join(said.split())


def test_nothing_is_judged_before_all_trials_have_ended(tmp_path: Path) -> None:
    suite = tuned()
    assert report(suite, tmp_path).comparisons[0].delta is None
    finish_trials(suite, tmp_path, rising)
    last = suite.searches[1].runs[-1]
    RunFolder(tmp_path, last.id).set_aside()
    made = report(suite, tmp_path)
    assert not made.complete
    assert made.comparisons[0].note == "7 of 8 trials have ended with both losses: judged when all have"
    assert "15 of 20 runs are finished" in document(made).cautions[-1]
    assert made.tuning is not None
    assert made.tuning.searches[1].best is None


def test_a_trial_without_its_validation_score_is_not_there(tmp_path: Path) -> None:
    suite = tuned()
    finish_trials(suite, tmp_path, rising)
    folder = RunFolder(tmp_path, suite.searches[0].runs[3].id)
    (folder.path / "metrics.jsonl").unlink()
    made = report(suite, tmp_path)
    assert not made.complete
    assert any("it lacks validation_accuracy of epoch 2" in note for note in made.notes)


def test_the_best_setting_at_the_edge_is_said(tmp_path: Path) -> None:
    suite = tuned(tune={**TUNE, "space": {LR: {"log": [0.001, 0.1]}, "batch_size": {"int": [32, 34]}}})
    finish_trials(suite, tmp_path, lambda loss, setting: (setting["batch_size"] / 100, 50))
    settle(suite, tmp_path)
    made = report(suite, tmp_path)
    assert made.tuning is not None
    assert made.tuning.searches[0].edges["batch_size"] == "upper"
    said = " ".join(markdown(document(made).blocks(everything=False)).split())
    assert "lies at the upper edge of batch_size" in said


def test_status_and_plan_count_trials_and_winners(tmp_path: Path) -> None:
    suite = tuned()
    planned = plan(suite, tmp_path, 1, "cpu")
    assert (planned.runs.planned, planned.to_train) == (20, 20)
    assert planned.tuning is not None
    assert (planned.tuning.trainings, planned.tuning.retrainings) == (16, 4)
    finish_trials(suite, tmp_path, lambda loss, s: None if loss == "focal" else rising(loss, s))
    found = status(as_it_stands(suite, tmp_path), tmp_path)
    assert [(cell.done, cell.failed) for cell in found.searches] == [(8, 0), (0, 8)]
    assert [(cell.planned, cell.waiting) for cell in found.cells] == [(2, 2), (0, 0)]


def test_power_is_simulated_first_and_then_by_the_trials_themselves(tmp_path: Path) -> None:
    suite = tuned(tune={**TUNE, "budget": 1, "trials": 12})
    before = plan(suite, tmp_path, 1, "cpu").tuning
    assert before is not None
    assert not before.by_results
    assert [row.difference for row in before.finds] == [0.1, 0.25, 0.5, 1.0]
    assert before.finds[2].power == pytest.approx(0.85, abs=0.02)  # N/T = 12, as with 192 trials for 16
    finish_trials(suite, tmp_path, rising)
    after = plan(suite, tmp_path, 1, "cpu")
    assert after.tuning is not None
    assert after.tuning.by_results
    powers = [row.power for row in after.tuning.finds]
    assert powers == sorted(powers)
    assert "(by the finished trials)" in plan_text(after)


def test_a_suite_that_changes_after_its_search_keeps_what_is_as_it_was(tmp_path: Path) -> None:
    suite = tuned()
    state(suite, tmp_path, None)
    assert kept(suite, tmp_path) == []
    finish_trials(suite, tmp_path, rising)
    more = tuned(tune={**TUNE, "trials": 12})
    [said] = kept(more, tmp_path)
    assert "16 of 24 trials are as they were and count, 16 of them finished; 8 are new, and 0" in said
    assert "tune.trials 12, planned 8" in deviations(judged(suite), judged(more))
    added = tuned(losses=["ce", "focal", "mae"])
    assert "16 of 24 trials are as they were" in kept(added, tmp_path)[0]
    wider = tuned(tune={**TUNE, "space": {LR: {"log": [0.001, 1]}}})
    assert "0 of 16 trials are as they were" in kept(wider, tmp_path)[0]
    larger = tuned(tune={**TUNE, "trials": 12, "budget": 3})
    assert state(larger, tmp_path, None).judged == judged(suite)  # results have been seen
    assert any("16 of 24" in note for note in report(larger, tmp_path).notes)


def test_the_methods_section_says_what_checklists_ask_for(tmp_path: Path) -> None:
    suite = tuned()
    finish_trials(suite, tmp_path, lambda loss, s: None if s[LR] > 0.03 else rising(loss, s))
    now = settle(suite, tmp_path)
    written = paper(now, tmp_path, report(suite, tmp_path))
    said = written["methods.md"]
    for words in (
        "with a budget of 2 trials, the same for all, by random search (Bergstra and Bengio 2012)",
        "Search space (all losses: optimizer.adam.lr 0.001 to 0.1 (log); focal: gamma 0.5 to 3).",
        "chosen by accuracy on the validation split; the test set took part in no choice",
        "diverged or failed; they rank last",
        "All trials together took",
        "the unbiased best of T (Tang et al. 2020)",
    ):
        assert words in said
    assert "did not share" not in said  # that winners differ in what is tuned is what was asked for
    assert "lr 0.001," not in said
    assert "tang2020" in written["references.bib"]


def searches(count: int, **changes: Any) -> Suite:
    return tuned(tune={**{k: v for k, v in TUNE.items() if k != "trials"}, "design": "searches",
                       "searches": count}, **changes)  # fmt: skip


def test_the_winner_of_each_search_is_retrained_and_searches_are_compared(tmp_path: Path) -> None:
    suite = searches(8)
    assert [len(search.seeds) for search in suite.searches] == [16, 16]
    finish_trials(suite, tmp_path, rising)
    now = as_it_stands(suite, tmp_path)
    ce, focal = now.cells
    assert len(ce.runs) == len(focal.runs) == 16
    assert ce.seeds == focal.seeds
    rates = [setting[LR] for setting in suite.searches[0].settings.values()]
    for k, run in enumerate(ce.runs):
        assert run.resolve().recipe.optimizer.options.model_dump()["lr"] == max(rates[k // 2 * 2 :][:2])
    for cell in now.cells:
        for k, run in enumerate(cell.runs):
            finish(
                run, tmp_path, 0.8, 60 + 7 * (cell.loss == "focal") + k // 2 % 3 + k % 2 * (cell.loss == "ce")
            )
    made, content = build.report_and_agreement(now, tmp_path)
    [found] = made.comparisons
    means = [[sum(of) / 200 for of in zip(c.counts[::2], c.counts[1::2], strict=True)] for c in made.cells]
    differences = np.subtract(means[1], means[0])
    assert (found.n, found.unit) == (8, "search")
    assert found.delta == pytest.approx(differences.mean())
    assert found.difference is not None
    assert found.difference.se == pytest.approx(stats.sem(differences))
    assert made.complete
    path = tmp_path / "agreement.npz"
    path.write_bytes(content)
    measured, baseline, design = load_agreement(path)
    assert analyse(measured[:1], baseline, design).comparisons == made.comparisons
    assert "8 searches" in markdown(document(made).blocks(everything=True))


def test_one_search_gets_a_verdict_for_its_settings_only(tmp_path: Path) -> None:
    suite = searches(1, seeds=6)
    finish_trials(suite, tmp_path, rising)
    now = as_it_stands(suite, tmp_path)
    for cell in now.cells:
        for run in cell.runs:
            finish(
                run,
                tmp_path,
                0.8,
                70 + 9 * (cell.loss == "focal") + run.seed % (3 if cell.loss == "ce" else 2),
            )
    [found] = report(suite, tmp_path).comparisons
    assert found.verdict is not None
    assert found.verdict.phrase.startswith("superior for these settings only")
    assert found.n == 6


def test_trials_are_told_apart_in_mlflow(tmp_path: Path) -> None:
    suite = tuned()
    finish_trials(suite, tmp_path, rising)
    now = settle(suite, tmp_path)
    records = {}
    for cell in now.every_cell:
        run = cell.runs[1]
        record = read_record(RunFolder(tmp_path, run.id), run, cell, (cell.loss,))
        assert record is not None
        records[record.name] = (record.tags.get("bench.trial"), record.tags["cell"].endswith("· trials"))
    assert records == {
        **dict.fromkeys(["trial 1 · ce", "trial 1 · focal"], ("1", True)),
        **dict.fromkeys(["seed 1 · ce", "seed 1 · focal"], (None, False)),
    }


def test_the_document_holds_the_searches(tmp_path: Path) -> None:
    suite = tuned(tune={**TUNE, "trials": 16})
    finish_trials(suite, tmp_path, rising)
    settle(suite, tmp_path)
    made = json.loads(report(suite, tmp_path).model_dump_json())["tuning"]
    assert (made["budget"], made["trials"], made["tested"]) == (2, 16, [1, 2, 4])
    ce, focal = made["searches"]
    assert ce["budgets"] == [1, 2, 3, 4]
    assert ce["curve"] == sorted(ce["curve"])
    assert ce["curve"][1] == ce["best_of"]
    assert len(focal["settings"]) == 16
    assert set(focal["sensitivity"]) == {LR, "loss.gamma"}
    assert focal["sensitivity"][LR] > 0.7
    assert (ce["superior_from"], focal["superior_from"]) == (None, 1)


@pytest.mark.parametrize(
    ("tuned_for", "said"),
    [("ce", "recipe: chosen for ce, by the suite's word"), ("", "nobody said (tuned_for)")],
)
def test_without_a_search_the_report_says_whose_recipe_it_is(
    tmp_path: Path, tuned_for: str, said: str
) -> None:
    made = report(tuned(tune=None, tuned_for=tuned_for), tmp_path)
    assert made.tuning is None
    assert sum(said in note for note in made.notes) == 1


def test_a_miniature_is_tuned_with_few_trials() -> None:
    small = tiny(tuned(tune={**TUNE, "budget": 16, "trials": 96}))
    assert small.tune is not None
    assert (small.tune.budget, small.tune.trials, len(small.runs())) == (2, 8, 16)


def test_a_score_that_is_no_number_never_wins() -> None:
    trials = [
        Trial(k, k, f"run{k}", {}, "done", score) for k, score in enumerate([math.nan, 0.5, 0.7, math.nan])
    ]
    for higher, number in ((True, 2), (False, 1)):
        best = best_of(trials, higher_is_better=higher)
        assert best is not None
        assert best.number == number
    assert best_of(trials[:1], higher_is_better=True) is None
