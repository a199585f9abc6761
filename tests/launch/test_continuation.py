"""The job that adds seeds while nobody watches, where Slurm is in trouble: tests/slurm has the real one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.launch import cluster, slurm
from bench.launch.continuation import Continuation, Continue
from bench.launch.profile import Profile
from bench.launch.queue import Look
from bench.launch.status import status
from bench.launch.submission import SubmissionFolder, read_all
from bench.launch.submitter import Cluster, Submitter
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
            raise slurm.SlurmTrouble("scontrol did not answer")

    monkeypatch.setattr(Submitter, "step", step)
    monkeypatch.setattr(Submitter, "continue_later", lambda self: True)
    monkeypatch.setattr(cluster.time, "sleep", waits.append)
    cluster.go_on(told)
    assert len(steps) == 4
    assert waits == [30, 60, 120]


def test_the_next_job_knows_since_when_what_is_cancelled_stays_cancelled(
    told: Continuation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    def submit(self: SubmissionFolder, profile: Profile, exclude: object, after: object) -> None:
        asked.update(profile=profile, after=after)
        self.content.job = "8"
        self.write()

    monkeypatch.setattr(SubmissionFolder, "submit", submit)
    suite = load(told.suite)
    greedy = Profile(
        gpus=4, time=5000, sbatch={"mem-per-gpu": "8G", "exclusive": True, "reservation": "mine"}
    )
    there = Cluster(suite, told.results, told.data, greedy, told.profile, [], lambda said: None, told.suite)
    submitter = Submitter(there, suite.runs(), told.since, {}, first=False)
    assert not submitter.continue_later()  # nothing trains
    submitter.arrays = ["7"]
    assert submitter.continue_later()
    [folder] = read_all(there.jobs)
    assert folder.content.continuation is not None
    assert folder.content.continuation.since == told.since
    profile = asked["profile"]
    assert isinstance(profile, Profile)
    assert asked["after"] == ["7"]
    assert (profile.gpus, profile.memory, profile.time, profile.sbatch) == (
        0,
        "2G",
        60,
        {"reservation": "mine"},
    )


def test_why_no_seeds_are_added_is_said(
    told: Continuation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = load(told.suite)
    folder = SubmissionFolder.intend_to_continue(told.results / suite.name / "jobs", suite.name, told)
    told.suite.write_text("question: [")
    reason = Continue(folder.path)()
    assert reason is not None
    assert "not valid YAML" in reason
    assert reason in capsys.readouterr().err
    folder.content.job = "9"
    monkeypatch.setattr(SubmissionFolder, "message", lambda self, job: reason)
    ended = slurm.Job("9", "COMPLETED", ended=time.time())
    monkeypatch.setattr("bench.launch.status.look", lambda jobs: Look([folder], {"9": ended}))
    [job] = status(suite, told.results).jobs
    assert "could not do its work" in job.why
    assert "not valid YAML" in job.why
