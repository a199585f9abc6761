"""Seeds until decided: what a suite asks for, as results come in, and what becomes of it in a report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import finish_run, flats
from scipy import stats

from bench.comparisons import agreement_file
from bench.comparisons.analysis import analyse
from bench.errors import BenchError
from bench.reports.build import report, report_and_agreement
from bench.reports.document import document
from bench.reports.figures import draw
from bench.reports.html import page
from bench.reports.html.runs import list_runs
from bench.reports.methods import paper
from bench.reports.render.markdown import markdown
from bench.reports.schema import Report
from bench.results.folder import RunFolder
from bench.results.reading import frame
from bench.scale import tiny
from bench.sequential_design import SequentialDesign, as_it_stands, stopping_plan
from bench.statistics.sequential import evidence
from bench.statistics.stopping import FUTILITY, PREDICTIVE, Outcome, Rule
from bench.statistics.verdicts import Word
from bench.suite import Suite

Make = Callable[..., Suite]
ADDED = {"start": 4, "step": 4, "max": 16, "until": "decided"}
LIKE = {"ce": 0, "min_ent": 60, "mix_ent": 0}
"""How much better each loss is, in images of 1,000; all but it is noise of the seed."""


WHENEVER = {**ADDED, "looks": "whenever"}


@pytest.fixture(params=[ADDED, WHENEVER], ids=["planned", "whenever"])
def suite(make_suite: Make, request: pytest.FixtureRequest) -> Suite:
    return make_suite(losses=[*LIKE], seeds=request.param, analysis={"margin": 1.5})


def finish(suite: Suite, results: Path, noise: float = 8.0) -> int:
    """Make up what the suite asks for now; returns how many runs that were."""
    made = 0
    for cell in as_it_stands(suite, results).cells:
        for run in cell.runs:
            if not RunFolder(results, run.id).done:
                rng = np.random.default_rng([run.seed, len(cell.loss)])
                correct = 900 + LIKE[cell.loss] + round(noise * rng.standard_normal())
                finish_run(run, results, correct, 1000)
                made += 1
    return made


def asked(suite: Suite, results: Path) -> dict[str, int]:
    return {cell.loss: len(cell.seeds) for cell in as_it_stands(suite, results).cells}


def test_seeds_are_added_until_every_comparison_is_closed(suite: Suite, tmp_path: Path) -> None:
    steps = []
    while finish(suite, tmp_path):
        steps.append(asked(suite, tmp_path))
    assert steps[0] == {"ce": 8, "min_ent": 8, "mix_ent": 8}  # after four seeds, all is open
    standings = SequentialDesign(suite, tmp_path).standings()
    outcomes = {key[2]: found.outcome for key, found in standings.items()}
    assert outcomes["min_ent"] is Outcome.DIFFERENCE
    assert outcomes["mix_ent"] is Outcome.EQUIVALENT
    last = steps[-1]
    assert last["ce"] == max(last["min_ent"], last["mix_ent"]) > min(last["min_ent"], last["mix_ent"])


def test_a_fixed_number_of_seeds_is_left_as_it_is(make_suite: Make, tmp_path: Path) -> None:
    fixed = make_suite()
    assert as_it_stands(fixed, tmp_path) is fixed
    assert stopping_plan(fixed, tmp_path) is None


@pytest.mark.parametrize(
    ("looks", "rule"), [(None, Rule.PLANNED), ("planned", Rule.PLANNED), ("whenever", Rule.E_VALUE)]
)
def test_looks_are_planned_unless_a_suite_says_otherwise(
    make_suite: Make, tmp_path: Path, looks: str | None, rule: Rule
) -> None:
    seeds = ADDED if looks is None else {**ADDED, "looks": looks}
    plan = stopping_plan(make_suite(losses=[*LIKE], seeds=seeds), tmp_path)
    assert plan is not None
    assert (plan.rule, plan.comparisons, plan.margin) == (rule, 2, 0.001)
    assert plan.futility == (FUTILITY if rule is Rule.E_VALUE else PREDICTIVE)


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        ('{"sequential": {"rule": "planned"}}', Rule.PLANNED),
        ('{"sequential": {"rule": "whenever"}}', Rule.E_VALUE),
        ('{"sequential": {"looks": [4]}}', Rule.E_VALUE),  # of a report that knew no other rule
        ('{"sequential": null}', Rule.PLANNED),
        ("[]", Rule.PLANNED),
        ("{", Rule.PLANNED),
    ],
)
def test_a_suite_goes_on_by_the_rule_that_it_was_begun_with(
    make_suite: Make, tmp_path: Path, made: str, rule: Rule
) -> None:
    """What was looked at by e-values goes on with them; what a suite says itself comes first."""
    undecided = make_suite(losses=[*LIKE], seeds=ADDED)
    (tmp_path / undecided.name).mkdir()
    (tmp_path / undecided.name / "report.json").write_text(made)
    plan = stopping_plan(undecided, tmp_path)
    assert plan is not None
    assert (plan.rule, plan.adjusted_equivalence) == (rule, False)
    for looks, wanted in (("planned", Rule.PLANNED), ("whenever", Rule.E_VALUE)):
        plan = stopping_plan(make_suite(losses=[*LIKE], seeds={**ADDED, "looks": looks}), tmp_path)
        assert plan is not None
        assert (plan.rule, plan.adjusted_equivalence) == (wanted, True)


def test_damaged_results_hold_up_a_look_and_failed_runs_do_not(suite: Suite, tmp_path: Path) -> None:
    finish(suite, tmp_path)
    run = suite.cells[1].runs[2]
    path = RunFolder(tmp_path, run.id).path / "result.json"
    whole = path.read_bytes()
    path.write_bytes(b"{")
    assert asked(suite, tmp_path)["min_ent"] == 4
    path.unlink()
    assert asked(suite, tmp_path)["min_ent"] == 4
    RunFolder(tmp_path, run.id).fail("it broke")
    assert asked(suite, tmp_path)["min_ent"] == 8
    path.write_bytes(whole)
    assert asked(suite, tmp_path)["min_ent"] == 8


def test_remembering_results_changes_nothing(suite: Suite, tmp_path: Path) -> None:
    design = SequentialDesign(suite, tmp_path)
    while finish(suite, tmp_path):
        assert [c.seeds for c in design.now().cells] == [c.seeds for c in as_it_stands(suite, tmp_path).cells]


def test_seeds_that_others_have_trained_are_not_looked_at(suite: Suite, tmp_path: Path) -> None:
    while finish(suite, tmp_path):
        pass
    before = report(as_it_stands(suite, tmp_path), tmp_path)
    for cell in suite.cells:  # a larger suite has trained all of them, and they all say the opposite
        for run in cell.runs:
            if not RunFolder(tmp_path, run.id).done:
                finish_run(run, tmp_path, 900 - LIKE[cell.loss], 1000)
    after = report(as_it_stands(suite, tmp_path), tmp_path)
    assert after.comparisons == before.comparisons


def test_run_ids_are_those_of_a_fixed_number_of_seeds(make_suite: Make) -> None:
    added, fixed = make_suite(seeds=ADDED), make_suite(seeds=16)
    assert [run.id for run in added.runs()] == [run.id for run in fixed.runs()]


def test_seeds_cannot_be_left_out_of_such_a_suite(make_suite: Make) -> None:
    with pytest.raises(BenchError, match=r"exclude\.0\.seed: .* none can be left out"):
        make_suite(seeds=ADDED, exclude=[{"seed": 3}])
    assert len(make_suite(seeds=ADDED, losses=["ce", "mae"], exclude=[{"loss": "mae"}]).cells) == 1


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (
            {"start": 1, "step": 5, "max": 9},
            "seeds: start: found 1; input should be greater than or equal to 2",
        ),
        ({"start": 5, "step": 5, "max": 4}, "seeds: max: found 4, expected at least start, which is 5"),
        ({"start": 5, "stepp": 5, "max": 9}, "seeds: unknown key 'stepp'.*did you mean 'step'"),
        ({"start": 5, "max": 9}, "seeds: step: field required"),
        ({**ADDED, "looks": "often"}, "seeds: looks: found 'often'; input should be 'planned' or 'whenever'"),
        ({**ADDED, "until": "done"}, "seeds: until: found 'done'; input should be 'decided'"),
        ({"start": 2, "step": 1, "max": 999}, "seeds: step: found 1, which makes 998 looks; at most 200"),
        ("many", "found 'many', expected a number of seeds, a list of them, or {start: 5"),
    ],
)
def test_wrong_seeds(make_suite: Make, seeds: object, said: str) -> None:
    with pytest.raises(BenchError, match=f"(?i){said}"):
        make_suite(seeds=seeds)


# ------------------------------------------------------------------------------------------- the report


@pytest.fixture
def decided(suite: Suite, tmp_path: Path) -> tuple[Suite, Report]:
    while finish(suite, tmp_path):
        pass
    now = as_it_stands(suite, tmp_path)
    return now, report(now, tmp_path)


def differences(made: Report, loss: str) -> np.ndarray:
    """Seed by seed."""
    cells = {cell.loss: dict(zip(cell.seeds, cell.counts, strict=True)) for cell in made.cells}
    [n] = [c.n for c in made.comparisons if c.loss == loss]
    return np.array([cells[loss][s] - cells["ce"][s] for s in range(n)])


def test_verdicts_are_those_of_the_looks(decided: tuple[Suite, Report]) -> None:
    suite, made = decided
    assert made.complete
    better, same = flats(made.comparisons)
    assert better.verdict.split(" on ")[0] == "superior"
    assert same.verdict.split(" on ")[0] == "equivalent"
    assert (better.level, same.level) == (0.95, 0.9)
    assert (better.p_decided, same.p_decided) == (better.p_adjusted, same.p_equivalence)
    assert same.p_equivalence < 0.05
    assert max(abs(same.low), abs(same.high)) <= 0.015  # within the margin
    assert made.sequential is not None
    assert better.p_sign_flip is None
    assert suite.until is not None
    if suite.until.looks == "whenever":
        assert made.sequential.rule == "whenever"
        assert made.sequential.bar == 40  # two comparisons at .05
        assert better.e is not None
        assert better.e >= 40 > (same.e or 0)
        assert better.p == pytest.approx(1 / better.e)
        assert better.p_adjusted == pytest.approx(2 / better.e)
        assert better.adjusted_by == "e-value"
    else:
        assert made.sequential.rule == "planned"
        assert better.e is same.e is None
        assert better.p == pytest.approx(stats.ttest_1samp(differences(made, "min_ent"), 0).pvalue)
        assert better.p_adjusted <= 0.05 * (better.n / 16) ** 2
        assert same.p_adjusted is None  # before the last look it would be misread
        assert better.adjusted_by == "flips"


def test_intervals_stay_valid_and_nest(decided: tuple[Suite, Report]) -> None:
    suite, made = decided
    assert suite.until is not None
    for c in made.comparisons:
        d, interval = differences(made, c.loss), c.adjusted.interval
        assert interval is not None
        if suite.until.looks == "whenever":
            path = evidence(d, 1000, 0.05 / 2)
            assert (interval.low, interval.high) == pytest.approx((path.low[-1], path.high[-1]))
        else:
            t = stats.ttest_1samp(d, 0).confidence_interval(0.95)
            assert interval.low < t.low / 1000 < t.high / 1000 < interval.high
            assert interval.low + interval.high == pytest.approx(2 * d.mean() / 1000)
        assert c.new_images is not None
        assert c.new_images.interval is not None
        assert c.shown is not None
        assert c.new_images.interval.low <= c.shown.low + 1e-12
        assert c.shown.high <= c.new_images.interval.high + 1e-12
        assert c.new_images.p is None


def test_what_is_saved_is_counted(decided: tuple[Suite, Report]) -> None:
    suite, made = decided
    added = made.sequential
    assert added is not None
    assert added.looks == [4, 8, 12, 16]
    assert (added.runs, added.runs_fixed) == (len(suite.runs()), 48)
    assert added.runs_saved == 48 - added.runs
    assert added.run_hours == pytest.approx(added.runs * 3 / 3600)
    assert added.run_hours_saved == pytest.approx(added.runs_saved * 3 / 3600)
    assert added.closed == 2
    assert any(f"{added.runs} runs have ended" in note for note in made.notes)


def test_nothing_is_saved_while_a_comparison_is_open(suite: Suite, tmp_path: Path) -> None:
    finish(suite, tmp_path)
    made = report(as_it_stands(suite, tmp_path), tmp_path)
    assert not made.complete
    assert made.sequential is not None
    assert (made.sequential.closed, made.sequential.runs_saved) == (0, 0)
    assert {c.verdict for c in flats(made.comparisons)} == {"undecided"}
    assert {c.stopped for c in flats(made.comparisons)} == {"open"}


def test_comparisons_can_be_made_again_from_the_agreement(
    decided: tuple[Suite, Report], tmp_path: Path
) -> None:
    made, content = report_and_agreement(decided[0], tmp_path)
    (tmp_path / "agreement.npz").write_bytes(content)
    measured, baseline, design = agreement_file.load(tmp_path / "agreement.npz")
    assert analyse(measured, baseline, design).comparisons == made.comparisons


def test_those_of_secondary_metrics_can_be_made_again_too(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=[*LIKE], seeds=ADDED, metrics=["accuracy", "nll"], analysis={"margin": 2})
    while finish_nll(suite, tmp_path):
        pass
    made, content = report_and_agreement(as_it_stands(suite, tmp_path), tmp_path)
    (tmp_path / "agreement.npz").write_bytes(content)
    measured, baseline, design = agreement_file.load(tmp_path / "agreement.npz")
    first = analyse(measured[:1], baseline, design)
    others = analyse(measured[1:], baseline, design.secondary(first.standings))
    assert first.comparisons == made.comparisons
    assert others.comparisons == made.secondary.comparisons
    assert all(c.new_images and c.new_images.interval for c in others.comparisons)


def test_everything_that_people_read_says_how_seeds_were_added(
    decided: tuple[Suite, Report], tmp_path: Path
) -> None:
    suite, made = decided
    text = markdown(document(made).blocks(everything=True))
    headings = {line for line in text.splitlines() if line.startswith("| loss")}
    shown = {cell.strip() for line in headings for cell in line.split("|")}
    assert suite.until is not None
    whenever = suite.until.looks == "whenever"
    assert {"interval", "p", "verdict", "looks", "p adj.", "eq.", "on new images", "floor"} <= shown
    assert ("e" in shown) == whenever
    assert not {"finds", "p t", "flip"} & shown
    assert "would settle" not in text
    assert ("K/α for K = 2" in made.method) == whenever
    assert ("exceeds the boundary c of its look" in made.method) != whenever
    assert max(len(line) for line in text.splitlines() if line.startswith("|")) <= 100
    methods = paper(suite, tmp_path, made)
    assert "The design is sequential" in methods["methods.md"]
    assert "Student's t [" not in methods["methods.md"]
    assert "(Student 1908)" not in methods["methods.md"]
    assert "1 ended by a difference and 1 ended by equivalence" in methods["methods.md"]
    assert ("Grünwald" in methods["methods.md"]) == whenever
    assert (r"Gr{\"u}nwald" in methods["references.bib"]) == whenever
    assert ("DeMets" in methods["methods.md"]) or whenever
    html = page(made, list_runs(suite, tmp_path, frame(tmp_path, suite.cells), ""))
    assert ('data-key="e"' in html) == whenever
    assert 'data-key="looks"' in html
    assert 'data-key="p_sign_flip"' not in html
    assert json.loads(made.model_dump_json())["comparisons"][0]["stopped"] == "difference"


def test_evidence_is_drawn_seed_by_seed(decided: tuple[Suite, Report], tmp_path: Path) -> None:
    suite, made = decided
    drawn = draw(made, suite, tmp_path, tmp_path / "figures", ["svg"])
    assert suite.until is not None
    if suite.until.looks != "whenever":
        assert not [d for d in drawn.drawings if d.name == "evidence"]
        return
    [figure] = [d for d in drawn.drawings if d.name == "evidence"]
    assert f"reached it after {made.comparisons[0].n} seeds; mix_ent" in figure.alt


def test_a_comparison_that_was_given_up_says_so(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=[*LIKE], seeds={**ADDED, "max": 40}, analysis={"margin": 0.1})
    while finish(suite, tmp_path):
        pass
    made = report(as_it_stands(suite, tmp_path), tmp_path)
    futile = [c for c in made.comparisons if c.sequence and c.sequence.outcome is Outcome.FUTILE]
    assert futile
    assert all(c.verdict and c.verdict.word is Word.UNDECIDED for c in futile)
    text = " ".join(markdown(document(made).blocks(everything=False)).split())
    assert "the largest number would hardly decide it" in text


def test_without_a_margin_nobody_speaks_of_equivalence(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=[*LIKE], seeds=ADDED, analysis={"margin": 0})
    finish(suite, tmp_path)
    now = as_it_stands(suite, tmp_path)
    made = report(now, tmp_path)
    assert "equivalence" not in made.method
    methods = paper(now, tmp_path, made)["methods.md"]
    assert "equivalent" not in methods
    assert "2 are still open" in methods


def test_a_miniature_goes_all_the_way(suite: Suite, tmp_path: Path) -> None:
    small = tiny(suite)
    while finish(small, tmp_path):
        pass
    assert {*asked(small, tmp_path).values()} == {3}


# ----------------------------------------------------------------------------------------- other metrics


LUCK = 5
"""Draws of which none is so far out that it would be flagged, where there are no points to go by."""


def finish_nll(suite: Suite, results: Path, noise: float = 0.008) -> int:
    """As :func:`finish`, where min_ent has the *larger* loss, and no loss is more accurate."""
    made = 0
    for cell in as_it_stands(suite, results).cells:
        for run in cell.runs:
            if not RunFolder(results, run.id).done:
                rng = np.random.default_rng([run.seed, len(cell.loss), LUCK])
                nll = 0.3 + LIKE[cell.loss] / 1000 + noise * rng.standard_normal()
                finish_run(run, results, 900 + int(rng.integers(-2, 3)), 1000, nll=nll)
                made += 1
    return made


@pytest.mark.parametrize("seeds", [ADDED, WHENEVER], ids=["planned", "whenever"])
def test_seeds_are_added_until_another_first_metric_is_decided(
    make_suite: Make, tmp_path: Path, seeds: dict[str, object]
) -> None:
    metrics = ["nll", "accuracy"]
    suite = make_suite(losses=[*LIKE], seeds=seeds, metrics=metrics, analysis={"margin": 0.015})
    plan = stopping_plan(suite, tmp_path)
    assert plan is not None
    assert plan.margin == 0.015  # in its own unit, and no points
    steps = []
    while finish_nll(suite, tmp_path):
        steps.append(asked(suite, tmp_path))
    assert steps[0] == {"ce": 8, "min_ent": 8, "mix_ent": 8}
    outcomes = {key[2]: found.outcome for key, found in SequentialDesign(suite, tmp_path).standings().items()}
    assert outcomes == {"min_ent": Outcome.DIFFERENCE, "mix_ent": Outcome.EQUIVALENT}
    made = report(as_it_stands(suite, tmp_path), tmp_path)
    worse, same = flats(made.comparisons)
    assert [c.verdict.split()[0] for c in (worse, same)] == ["inferior", "equivalent"]
    assert {worse.metric, same.metric} == {"nll"}
    assert worse.delta > 0  # loss − baseline, never turned
    # As accuracy would have decided the very same numbers, turned round.
    counts = make_suite(name="counts", losses=[*LIKE], seeds=seeds, analysis={"margin": 1.5})
    for cell in counts.cells:
        for run in cell.runs:
            rng = np.random.default_rng([run.seed, len(cell.loss), LUCK])
            correct = round(1e6 * (0.7 - LIKE[cell.loss] / 1000 - 0.008 * rng.standard_normal()))
            finish_run(run, tmp_path / "counts", correct, 10**6)
    alike = report(as_it_stands(counts, tmp_path / "counts"), tmp_path / "counts")
    for c, d in zip(flats(made.comparisons), flats(alike.comparisons), strict=True):
        assert (c.n, c.stopped, c.looks) == (d.n, d.stopped, d.looks)
        assert c.verdict.split()[0] == d.verdict.split()[0]
        assert c.e == (d.e and pytest.approx(d.e, rel=1e-2))
        assert (c.low, c.high) == pytest.approx((-d.high, -d.low), abs=1e-5)


def test_a_secondary_metric_has_as_many_seeds_as_the_first_asked_for(
    suite: Suite, make_suite: Make, tmp_path: Path
) -> None:
    metrics = ["accuracy", "nll"]
    assert suite.until is not None
    seeds = {**ADDED, "looks": suite.until.looks} if suite.until.looks else ADDED
    both = make_suite(losses=[*LIKE], seeds=seeds, analysis={"margin": 1.5}, metrics=metrics)
    while finish(both, tmp_path):
        pass
    now = as_it_stands(both, tmp_path)
    made = report(now, tmp_path)
    first, beside = made.comparisons, made.secondary.comparisons
    assert [c.n for c in beside] == [c.n for c in first]
    assert [c.metric for c in beside] == ["nll", "nll"]
    assert {(c.sequence.looks, c.sequence.outcome) for c in beside if c.sequence} == {(None, None)}
    assert first == report(as_it_stands(suite, tmp_path), tmp_path).comparisons


def test_a_secondary_metric_is_judged_by_its_own_evidence(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=[*LIKE], seeds=ADDED, metrics=["accuracy", "nll"], analysis={"margin": 2})
    while finish_nll(suite, tmp_path):
        pass
    made = report(as_it_stands(suite, tmp_path), tmp_path)
    assert {c.stopped for c in flats(made.comparisons)} == {"equivalent"}
    worse, same = flats(made.secondary.comparisons)
    values = {cell.loss: np.array(cell.values) for cell in made.secondary.cells}
    d = np.rint((values["min_ent"] - values["ce"])[: worse.n] * 1e12).astype(np.int64)
    path = evidence(d, 10**12, 0.05 / 2, bounded=False)
    assert (worse.e, worse.adjusted_by) == (pytest.approx(path.e[-1], rel=1e-6), "e-value")
    assert worse.p_adjusted == pytest.approx(min(2 / path.e[-1], 1), rel=1e-6)
    assert (worse.low, worse.high) == pytest.approx((path.low[-1], path.high[-1]), abs=1e-9)
    assert worse.verdict.split()[0] == ("inferior" if worse.p_adjusted <= 0.05 else "undecided")
    assert same.verdict == "undecided"
    assert {c.seeds_to_decide for c in (worse, same)} == {None}
