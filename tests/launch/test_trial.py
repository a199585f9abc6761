"""What is tried before anything is submitted, by a process of its own, and once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from helpers import states

from bench.errors import BenchError
from bench.launch.pack import Pack
from bench.launch.stop import StopFlag
from bench.launch.trial import guess_seconds, try_first_calls
from bench.launch.worker import work
from bench.results.folder import RunFolder
from bench.suite import Suite, load

Make = Callable[..., Suite]
Write = Callable[..., Path]
Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with a loss that can be called, and others that cannot."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"own_of_launch_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(
        "import os\nfrom torch.nn.functional import cross_entropy as fine\n"
        "def split(logits, target):\n    print('not an answer')\n    return fine(logits, target), 1\n"
        "def deadly(logits, target):\n    os._exit(3)\n"
        "def works(logits, target):\n    return fine(logits, target)\n"
    )
    return name


def test_a_wrong_loss_is_refused_before_anything_is_begun(
    bench: Bench, write_suite: Write, own: str, tmp_path: Path
) -> None:
    path = write_suite(losses=["ce", f"{own}:split", "torch.nn:MSELoss"], seeds=3)
    for verb in ("plan", "run"):
        status, _, said = bench(verb, path)
        assert status == 2
        lines = [line for line in said.splitlines() if "losses: " in line]
        assert [line.count("small: losses:") for line in lines] == [1, 1]  # once, whatever the seeds
        assert f"{own}:split: it returns a tuple of 2" in lines[0]
        assert "torch.nn:MSELoss" in lines[1]
        assert "target: one_hot" in lines[1]
    assert not list((tmp_path / "results" / "runs").glob("*/run.json"))


def test_so_is_a_recipe_that_holds_for_no_such_model(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(recipe={"epochs": 1, "batch_size": 100, "freeze": ["nowhere"]}, losses="ce")
    with pytest.raises(BenchError, match=r"^recipe.freeze: 'nowhere' is no parameter of [^\n]*$"):
        try_first_calls(suite.runs(), tmp_path, (), lambda words: None)


def test_what_was_tried_is_not_tried_again(
    make_suite: Make, own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    suite = make_suite(losses=["ce", f"{own}:works"], seeds=50)
    said: list[str] = []
    try_first_calls(suite.runs(), tmp_path, [str(tmp_path)], said.append)
    assert said == ["trying the first call of 1 models and losses"]
    monkeypatch.setattr("bench.launch.trial._ask", lambda *given: pytest.fail("asked again"))
    try_first_calls(suite.runs(), tmp_path, [str(tmp_path)], said.append)
    assert len(said) == 1


def test_nobody_waits_for_what_is_our_own(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.launch.trial._ask", lambda *given: pytest.fail("asked"))
    try_first_calls(make_suite().runs(), tmp_path, (), pytest.fail)


def test_a_process_that_dies_is_no_verdict_and_the_next_is_tried(
    make_suite: Make, own: str, tmp_path: Path
) -> None:
    suite = make_suite(losses=[f"{own}:deadly", f"{own}:split"], baseline=None)
    said: list[str] = []
    with pytest.raises(BenchError, match=r"^losses: .*:split: it returns a tuple"):
        try_first_calls(suite.runs(), tmp_path, [str(tmp_path)], said.append)
    assert f"vgg5-tiny × {own}:deadly could not be tried here: the process died" in said[1]


def test_a_guess_is_of_the_right_size(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(seeds=1, recipe={"epochs": 4, "batch_size": 20})
    twice = make_suite(seeds=1, recipe={"epochs": 4000, "batch_size": 20})
    runs = {("digits", "few"): suite.runs()[0], ("digits", "many"): twice.runs()[0]}
    seconds = guess_seconds(runs, tmp_path, "cpu", (), lambda said: None)
    assert 100 < seconds["digits", "many"] / seconds["digits", "few"] < 10_000


class Never:
    """No signal is listened to."""

    raised = False

    def __call__(self) -> bool:
        return False

    before_step = __call__


def test_the_head_of_a_job_fails_a_run_with_the_same_words(
    write_suite: Write, own: str, tmp_path: Path
) -> None:
    """A launcher of another version may have submitted it; other runs go on."""
    suite = load(write_suite(losses=["ce", f"{own}:split"], seeds=1))
    results = tmp_path / "results"
    pack = Pack(
        results=results,
        data=tmp_path,
        device="cpu",
        runs=list(suite.runs()),
        search_path=[str(tmp_path)],
        git=None,
        launcher=None,
    )
    work(pack, cast(StopFlag, Never()))
    assert states(suite, results) == ["done", "failed"]
    failure = RunFolder(results, suite.runs()[1].id).failure()
    assert failure is not None
    assert failure.reason.startswith(f"losses: {own}:split: it returns a tuple of 2")
