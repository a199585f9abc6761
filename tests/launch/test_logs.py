"""Which log `bench logs` shows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.launch.logs import end_of_log, find_log, logs_of_runs, tail
from bench.results.folder import RunFolder
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


def write_log(jobs: Path, name: str, *parts: str) -> Path:
    path = jobs / f"{name}_log.err"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n")
    return path


def test_a_failed_run_shows_its_own_reason_and_trace(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite()
    one, other = suite.runs()[:2]
    for run, words in ((one, "first"), (other, "second")):
        folder = RunFolder(tmp_path, run.id)
        folder.start(run, {"job": "7"})
        folder.fail(f"ValueError: {words}", f"Traceback\n  frame\n  frame\nValueError: {words}\n")
    write_log(tmp_path / suite.name / "jobs", "a/7_0", f"10:00:00 run {other.id} failed", "second")
    path, text = end_of_log(suite, tmp_path, one.id[:8], 2)
    assert path == tmp_path / "runs" / one.id / "failure.json"
    assert text == "ValueError: first\n  frame\nValueError: first"
    RunFolder(tmp_path, one.id).forget_failure()
    RunFolder(tmp_path, one.id).fail("ValueError: again")  # before any job began it anew
    assert end_of_log(suite, tmp_path, one.id)[1] == "ValueError: again"
    assert end_of_log(suite, tmp_path)[1].endswith("second")


def test_a_run_that_did_not_fail_shows_its_own_lines(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite()
    one, other = suite.runs()[:2]
    log = write_log(
        *(
            tmp_path / suite.name / "jobs",
            "a/7_0",
            "submitit INFO starts",
            "09:59:59 2 processes side by side",
        ),
        *(f"10:00:00 run {one.id} (seed 0) begins", "11:00:00 a line of the user's own"),
        *(
            f"10:00:01 run {other.id} (seed 1) begins",
            f"10:00:02 run {other.id} failed",
            "Traceback",
            "theirs",
        ),
        *(f"10:00:03 run {one.id} ends its process", "mine"),
    )
    RunFolder(tmp_path, one.id).start(one, {"job": "7"})
    assert end_of_log(suite, tmp_path, one.id) == (
        log,
        f"10:00:00 run {one.id} (seed 0) begins\n11:00:00 a line of the user's own\n"
        f"10:00:03 run {one.id} ends its process\nmine",
    )
    assert end_of_log(suite, tmp_path, one.id, 1)[1] == "mine"


def test_a_run_that_is_tried_again_shows_the_last_job(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite()
    [run, *_] = suite.runs()
    jobs, folder = tmp_path / suite.name / "jobs", RunFolder(tmp_path, run.id)
    for day in ("20260101", "20260102"):  # a number of this machine's comes again
        write_log(jobs, f"{day}/7_0", f"10:00:00 run {run.id} (seed 0) begins", day)
        folder.start(run, {"job": "7"})
        folder.fail(f"failed on {day}")
    assert end_of_log(suite, tmp_path, run.id)[1] == "failed on 20260102"
    folder.forget_failure()
    assert end_of_log(suite, tmp_path, run.id)[1].endswith("20260102")
    assert logs_of_runs(suite, tmp_path)["7", run.id].parent.name == "20260102"


@pytest.mark.parametrize("job", ["7**", "**", "[7]", "*"])
def test_number_of_a_job_is_no_pattern(make_suite: Make, tmp_path: Path, job: str) -> None:
    suite = make_suite()
    run = suite.runs()[0]
    RunFolder(tmp_path, run.id).start(run, {"job": job})
    folder = tmp_path / suite.name / "jobs" / "a"
    folder.mkdir(parents=True)
    (folder / "7_0_log.err").write_text(f"10:00:00 run {run.id} (seed 0) begins\n")
    with pytest.raises(BenchError, match="its log is gone"):
        find_log(suite, tmp_path, run.id)


def test_what_is_no_log_is_not_waited_for(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite()
    run = suite.runs()[0]
    RunFolder(tmp_path, run.id).start(run, {"job": "7"})
    folder = tmp_path / suite.name / "jobs" / "a"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "7_0_log.err")
    (folder / "7_1_log.err").symlink_to("/dev/zero")
    (folder / "7_2_log.err").symlink_to("nowhere")
    with pytest.raises(BenchError, match="its log is gone"):
        find_log(suite, tmp_path, run.id)
    assert logs_of_runs(suite, tmp_path) == {}
    assert "it is no file" in tail(find_log(suite, tmp_path), 5)
