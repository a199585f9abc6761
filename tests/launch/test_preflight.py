"""What is checked before a hundred jobs fail over it: names, and results that cannot be believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import finish_run

from bench.errors import BenchError
from bench.launch.preflight import check_names, prepare, set_aside_damaged
from bench.results.folder import RunFolder
from bench.suite import Suite

Make = Callable[..., Suite]


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ("own_of_preflight:skil", "small: metrics: 'own_of_preflight:skil' cannot be imported"),
        (
            {"own_of_preflight:skill": {"k": 1}},
            "small: metrics: metric 'own_of_preflight:skill' with k=1: Ty",
        ),
        ("own_of_preflight:skill", None),
        (["nll", "macro_f1"], None),
    ],
)
def test_metrics_of_one_s_own_can_be_called(
    make_suite: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: object,
    complaint: str | None,
) -> None:
    (tmp_path / "own_of_preflight.py").write_text("def skill(predictions):\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    suite = make_suite(metrics=asked)
    if complaint is None:
        check_names(suite)
        return
    with pytest.raises(BenchError, match=complaint):
        check_names(suite)


@pytest.mark.parametrize(("metrics", "kept"), [("accuracy", True), (["accuracy", "nll"], False)])
def test_only_damage_to_what_is_measured_is_trained_again(
    make_suite: Make, tmp_path: Path, metrics: object, kept: bool
) -> None:
    suite = make_suite(metrics=metrics)
    first, second, *_ = suite.runs()
    for run in (first, second):
        finish_run(run, tmp_path, correct=90)
    path = RunFolder(tmp_path, first.id).path / "predictions.npz"
    path.write_bytes(path.read_bytes()[:-1])
    said: list[str] = []
    set_aside_damaged(suite, tmp_path, said.append)
    assert RunFolder(tmp_path, first.id).done == kept
    assert RunFolder(tmp_path, second.id).done
    assert [f"{path}: its content is not what the run wrote" in line for line in said] == [True] * (not kept)


@pytest.mark.parametrize(
    ("name", "found"),
    [("a%j", "%j"), ("%a", "%a"), ("%4t", "%4t"), ("x%%", "%%"), ("100%", None), ("5% of", None)],
)
def test_results_where_no_log_could_be_found_again_are_refused(
    make_suite: Make, tmp_path: Path, name: str, found: str | None
) -> None:
    suite = make_suite()
    if found is None:
        prepare(suite, [], tmp_path / name, tmp_path, print, retry_failed=False)
        return
    with pytest.raises(BenchError, match=f"found '{found}' in the path"):
        prepare(suite, [], tmp_path / name, tmp_path, print, retry_failed=False)
