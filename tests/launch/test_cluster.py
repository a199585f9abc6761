"""What a launcher makes of what Slurm says, without a Slurm: tests/slurm has the real one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.launch import slurm
from bench.launch.cluster import LOST_SECONDS, Cluster, Submitter
from bench.launch.packing import kinds, pack
from bench.launch.profile import Profile, load_profile
from bench.launch.queue import Look, explain
from bench.launch.submission import Submission, SubmissionFolder, read_all
from bench.suite import Suite

Make = Callable[..., Suite]


@pytest.fixture
def submitter(make_suite: Make, tmp_path: Path) -> Submitter:
    suite = make_suite()
    said: list[str] = []
    cluster = Cluster(suite, tmp_path, tmp_path, Profile(), tmp_path / "p.yaml", [], said.append)
    return Submitter(cluster, time.time(), {}, first=True)


def submitted(submitter: Submitter, job: slurm.Job) -> SubmissionFolder:
    runs = [[run.id for run in submitter.cluster.suite.runs()]]
    content = Submission(name="n", created=time.time(), parallel=1, runs=runs, gpus=1, job=job.id)
    folder = SubmissionFolder(submitter.cluster.jobs / "one", content)
    folder.write()
    submitter.look = Look([folder], {job.id: job})
    return folder


def test_job_that_the_controller_has_lost_is_given_up_after_a_while(submitter: Submitter) -> None:
    job = slurm.Job("7", slurm.UNKNOWN, contradictory=True)
    submitted(submitter, job)
    assert not submitter._give_up()
    assert read_all(submitter.cluster.jobs)[0].content.given_up == {}
    submitter.contradictory["7"] -= LOST_SECONDS + 1
    assert submitter._give_up()
    [folder] = read_all(submitter.cluster.jobs)
    assert folder.content.given_up == {"7": slurm.LOST}
    lost = slurm.Job("7", slurm.LOST)
    assert not lost.alive
    assert "its controller does not know it" in explain(folder, lost)


@pytest.mark.parametrize("reason", ["launch failed requeued held", "launch_failed_requeued_held"])
def test_job_that_a_node_could_not_start_is_given_up(
    submitter: Submitter, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    cancelled: list[str] = []
    monkeypatch.setattr(slurm, "cancel", cancelled.extend)
    submitted(submitter, slurm.Job("7", "PENDING", reason=reason))
    assert submitter._give_up()
    assert cancelled == ["7"]
    [folder] = read_all(submitter.cluster.jobs)
    assert folder.content.given_up == {"7": slurm.LAUNCH_FAILED}
    assert "could not be started by its node" in explain(folder, slurm.Job("7", slurm.LAUNCH_FAILED))


def test_job_that_its_owner_holds_is_left_alone(submitter: Submitter) -> None:
    submitted(submitter, slurm.Job("7", "PENDING", reason="JobHeldUser"))
    assert not submitter._give_up()


@pytest.mark.parametrize("job", [slurm.Job("7", slurm.UNKNOWN), slurm.Job("7", "RUNNING")])
def test_silence_is_no_loss(submitter: Submitter, job: slurm.Job) -> None:
    submitted(submitter, job)
    submitter.contradictory["7"] = time.time() - 2 * LOST_SECONDS  # it was, and Slurm has fallen silent since
    assert not submitter._give_up()
    assert submitter.contradictory == {}


def test_packs_fill_a_share_of_the_time_limit(make_suite: Make) -> None:
    suite = make_suite(seeds=20)
    runs, kind_of = suite.runs(), kinds(suite)
    [kind] = set(kind_of.values())
    profile = Profile(time=10, fill=0.5)

    def sizes(seconds: float, **changes: int) -> list[int]:
        return [len(p) for p in pack(runs, kind_of, {kind: seconds}, profile.model_copy(update=changes))]

    assert sizes(30) == [10] * 4  # 5 minutes of 30 s each
    assert sizes(30, workers=2) == [20] * 2
    assert sizes(10_000) == [1] * 40  # longer than the limit: it goes on where it was
    assert sizes(0.001, jobs=8) == [5] * 8  # nobody idle
    assert [run for p in pack(runs, kind_of, {kind: 30}, profile) for run in p] == list(runs)


@pytest.mark.parametrize(
    ("text", "minutes"), [("4:00:00", 240), ("90", 90), ("1-12", 2160), ("1-00:30:00", 1470), ("0:30", 1)]
)
def test_times_are_read_as_slurm_reads_them(tmp_path: Path, text: str, minutes: int) -> None:
    (tmp_path / "p.yaml").write_text(f"time: {text}\n")
    assert load_profile(tmp_path / "p.yaml").time == minutes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partitoin: main", "p.yaml: unknown key 'partitoin'; .*did you mean 'partition'"),
        ("time: soon", "p.yaml: time: found 'soon', expected minutes"),
        ("gpus: -1", "p.yaml: gpus: found -1"),
        ("[1, 2]", "p.yaml: found a list of 2, expected a mapping"),
        ("a: [", "p.yaml, line 2: not valid YAML"),
    ],
)
def test_wrong_profiles_get_one_message(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.yaml").write_text(text + "\n")
    with pytest.raises(BenchError, match=message):
        load_profile(tmp_path / "p.yaml")


def test_profiles_that_come_with_bench_are_read() -> None:
    found = sorted((Path(__file__).parents[2] / "slurm").glob("*.yaml"))
    assert len(found) == 4
    for path in found:
        assert load_profile(path).time > 0


def test_no_slurm_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BenchError, match="there is no Slurm on this machine"):
        slurm.require()
