"""The job that adds seeds while nobody watches, where Slurm is in trouble: tests/slurm has the real one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from executor import FakeExecutor

from bench.launch import continuation
from bench.launch.arrays import Cluster
from bench.launch.continuation import Continue
from bench.launch.ended import Ended
from bench.launch.executors import Job, Trouble
from bench.launch.profile import Profile
from bench.launch.status import status
from bench.launch.submission import Continuation, SubmissionFolder, read_all
from bench.launch.submitter import Submitter
from bench.suite import load

Write = Callable[..., Path]
ADDED = {"start": 2, "step": 2, "max": 6, "until": "decided"}


@pytest.fixture
def told(write_suite: Write, tmp_path: Path) -> Continuation:
    profile = tmp_path / "profile.yaml"
    profile.write_text("{}")
    common = {"results": tmp_path, "data": tmp_path, "profile": profile, "search_path": []}
    return Continuation(suite=write_suite(seeds=ADDED), scale="full", since=100.0, **common)


def test_trouble_with_slurm_is_waited_out(told: Continuation, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, waits = [], []

    def step(self: Submitter) -> None:
        assert self.began == 100.0
        steps.append(self)
        if len(steps) < 4:
            raise Trouble("scontrol did not answer")

    monkeypatch.setattr(Submitter, "step", step)
    monkeypatch.setattr(Submitter, "continue_later", lambda self: True)
    monkeypatch.setattr(continuation.time, "sleep", waits.append)
    continuation.go_on(told)
    assert len(steps) == 4
    assert waits == [30, 60, 120]


def test_the_next_job_knows_since_when_what_is_cancelled_stays_cancelled(told: Continuation) -> None:
    executor = FakeExecutor()
    suite = load(told.suite)
    greedy = Profile(
        gpus=4, time=5000, sbatch={"mem-per-gpu": "8G", "exclusive": True, "reservation": "mine"}
    )
    place = told.results, told.data, greedy, told.profile
    there = Cluster(executor, suite, *place, [], lambda said: None, told.suite)
    submitter = Submitter(there, suite.runs(), told.since, {}, first=False)
    assert not submitter.continue_later()  # nothing trains
    submitter.arrays = ["7"]
    assert submitter.continue_later()
    [folder] = read_all(there.jobs)
    assert folder.content.continuation is not None
    assert folder.content.continuation.since == told.since
    [(request, jobs)] = executor.requests
    profile = request.profile
    assert (request.after, jobs) == (["7"], 1)
    assert (profile.gpus, profile.memory, profile.time, profile.sbatch) == (
        0,
        "2G",
        60,
        {"reservation": "mine"},
    )


def test_why_no_seeds_are_added_is_said(told: Continuation, capsys: pytest.CaptureFixture[str]) -> None:
    suite, executor = load(told.suite), FakeExecutor()
    folder = SubmissionFolder.intend_to_continue(told.results / suite.name / "jobs", suite.name, told)
    folder.content.job = "9"
    folder.write()
    executor.states["9"] = Job("9", "COMPLETED", ended=time.time())
    text = told.suite.read_text()
    told.suite.write_text("question: [")
    Continue(folder.path)()
    ended = Ended.read(folder.path, "9")
    assert ended is not None
    assert ended.message is not None
    assert "not valid YAML" in ended.message
    assert ended.message in capsys.readouterr().err
    told.suite.write_text(text)
    [job] = status(suite, told.results, executor).jobs
    assert "could not do its work" in job.why
    assert "not valid YAML" in job.why
