"""Which log `bench logs` shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.launch.logs import find_log, tail
from bench.results import RunFolder
from bench.suite import Suite

Make = Callable[..., Suite]


def test_log_is_that_of_the_process_which_trained_the_run(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite()
    one, other = suite.runs()[:2]
    folder = tmp_path / suite.name / "jobs" / "a"
    folder.mkdir(parents=True)
    for task, run in enumerate((other, one)):  # two processes of one job
        (folder / f"7_{task}_log.err").write_text(f"10:00:00 run {run.id} (seed 0) begins\n")
        RunFolder(tmp_path, run.id).start(run, {"job": "7"})
    assert find_log(suite, tmp_path, one.id[:8]).name == "7_1_log.err"
    assert find_log(suite, tmp_path, other.id).name == "7_0_log.err"
    assert tail(find_log(suite, tmp_path, one.id), 5).endswith("begins")


def test_no_log_is_said(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite()
    [run, *_] = suite.runs()
    for asked, message in [
        ("", "no job of this suite has written a log yet"),
        ("nonsense", "the suite has no such run"),
        (run.id, "no job has begun it yet"),
    ]:
        with pytest.raises(BenchError, match=message):
            find_log(suite, tmp_path, asked)
    RunFolder(tmp_path, run.id).start(run, {"job": "7"})
    with pytest.raises(BenchError, match="its log is gone"):
        find_log(suite, tmp_path, run.id)
