"""What a launcher makes of what Slurm says, without a Slurm: tests/slurm has the real one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from executor import FakeExecutor
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.launch.arrays import Cluster
from bench.launch.attempt import OUT_OF_MEMORY
from bench.launch.cluster import _leave, train_there
from bench.launch.ended import Ended
from bench.launch.executors import LAUNCH_FAILED, LOST, UNKNOWN, Job, Later, Limits, Request, Trouble
from bench.launch.executors.slurm import Slurm
from bench.launch.executors.slurm.states import _is_held_back
from bench.launch.grouping import in_packs, kinds
from bench.launch.lock import only_launcher
from bench.launch.needs import Needs
from bench.launch.pack import Pack, installed_versions
from bench.launch.profile import Profile, load_profile
from bench.launch.queue import Look, cancel, explain, look, note_ends
from bench.launch.stop import StopFlag
from bench.launch.submission import Submission, SubmissionFolder, read_all
from bench.launch.submitter import LOST_SECONDS, Submitter
from bench.launch.worker import Worker, check_versions
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite

Make = Callable[..., Suite]


@pytest.fixture
def submitter(make_suite: Make, tmp_path: Path) -> Submitter:
    suite = make_suite()
    said: list[str] = []
    place = tmp_path, tmp_path, Profile(), tmp_path / "p.yaml"
    cluster = Cluster(FakeExecutor(), suite, *place, [], said.append)
    return Submitter(cluster, suite.runs(), time.time(), {}, first=True)


def submitted(submitter: Submitter, job: Job) -> SubmissionFolder:
    runs = [[run.id for run in submitter.cluster.suite.runs()]]
    content = Submission(name="n", created=time.time(), parallel=1, runs=runs, gpus=1, job=job.id)
    folder = SubmissionFolder(submitter.cluster.jobs / "one", content)
    folder.write()
    submitter.look = Look([folder], {job.id: job})
    return folder


def test_job_that_the_controller_has_lost_is_given_up_after_a_while(submitter: Submitter) -> None:
    job = Job("7", UNKNOWN, missing=True)
    submitted(submitter, job)
    assert not submitter._give_up()
    assert read_all(submitter.cluster.jobs)[0].content.given_up == {}
    submitter.missing["7"] -= LOST_SECONDS + 1
    assert submitter._give_up()
    [folder] = read_all(submitter.cluster.jobs)
    assert folder.content.given_up == {"7": LOST}
    lost = Job("7", LOST)
    assert not lost.alive
    assert "its controller does not know it" in explain(folder, lost)


@pytest.mark.parametrize("reason", ["launch failed requeued held", "launch_failed_requeued_held"])
def test_job_that_a_node_could_not_start_is_given_up(submitter: Submitter, reason: str) -> None:
    held = Job("7", "PENDING", reason=reason, held_back=_is_held_back("PENDING", reason))
    submitted(submitter, held)
    assert submitter._give_up()
    assert fake(submitter).cancelled == ["7"]
    [folder] = read_all(submitter.cluster.jobs)
    assert folder.content.given_up == {"7": LAUNCH_FAILED}
    assert "could not be started by its node" in explain(folder, Job("7", LAUNCH_FAILED))


def test_job_that_its_owner_holds_is_left_alone(submitter: Submitter) -> None:
    assert not _is_held_back("PENDING", "JobHeldUser")
    submitted(submitter, Job("7", "PENDING", reason="JobHeldUser"))
    assert not submitter._give_up()


@pytest.mark.parametrize("job", [Job("7", UNKNOWN), Job("7", "RUNNING")])
def test_silence_is_no_loss(submitter: Submitter, job: Job) -> None:
    submitted(submitter, job)
    submitter.missing["7"] = time.time() - 2 * LOST_SECONDS  # it was, and Slurm has fallen silent since
    assert not submitter._give_up()
    assert submitter.missing == {}


def test_packs_fill_a_share_of_the_time_limit(make_suite: Make) -> None:
    suite = make_suite(seeds=20)
    runs, kind_of = suite.runs(), kinds(suite)
    [kind] = set(kind_of.values())
    profile = Profile(time=10, fill=0.5)

    def sizes(seconds: float, **changes: int) -> list[int]:
        return [len(p) for p in in_packs(runs, kind_of, {kind: seconds}, profile.model_copy(update=changes))]

    assert sizes(30) == [10] * 4  # 5 minutes of 30 s each
    assert sizes(30, workers=2) == [20] * 2
    assert sizes(10_000) == [1] * 40  # longer than the limit: it goes on where it was
    assert sizes(0.001, jobs=8) == [5] * 8  # nobody idle
    assert [run for p in in_packs(runs, kind_of, {kind: 30}, profile) for run in p] == list(runs)


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
        Slurm().require()


def ended(submitter: Submitter, *jobs: Job, began: bool = True, outcome: str | None = None) -> Run:
    """A run that these jobs had, one after another, and did not finish."""
    run = submitter.cluster.suite.runs()[0]
    folder = RunFolder(submitter.cluster.results, run.id)
    for job in jobs:
        content = Submission(
            name=job.id, created=time.time(), parallel=1, runs=[[run.id]], gpus=1, job=job.id
        )
        submission = SubmissionFolder(submitter.cluster.jobs / job.id, content)
        submitter.look.ended[run.id].append((submission, job))
        if began:
            folder.start(run, {"job": job.id})
            if outcome:
                folder.end_attempt(outcome)
    return run


LONG_AGO = 1_000_000.0


@pytest.mark.parametrize("killed_by", ["Slurm", "CUDA"])
@pytest.mark.parametrize(("times", "crowding"), [(1, 1), (2, 2), (3, None)])
def test_run_that_runs_out_of_memory_gets_more_room_twice(
    submitter: Submitter, killed_by: str, times: int, crowding: int | None
) -> None:
    state = "OUT_OF_MEMORY" if killed_by == "Slurm" else "COMPLETED"
    jobs = [Job(str(k), state, ended=LONG_AGO) for k in range(times)]
    run = ended(submitter, *jobs, outcome=OUT_OF_MEMORY if killed_by == "CUDA" else None)
    assert submitter._judge(run) == crowding
    failure = RunFolder(submitter.cluster.results, run.id).failure()
    assert (failure is None) == (crowding is not None)
    if failure:
        assert "out of memory, also with fewer runs side by side" in failure.reason


@pytest.mark.parametrize("began", [True, False])
def test_run_whose_jobs_die_is_failed_at_the_third(submitter: Submitter, began: bool) -> None:
    jobs = [Job(str(k), "FAILED", exit_code="1:0", ended=LONG_AGO) for k in range(3)]
    run = ended(submitter, *jobs[:2], began=began)
    assert submitter._judge(run) == 0
    ended(submitter, jobs[2], began=began)
    assert submitter._judge(run) is None
    failure = RunFolder(submitter.cluster.results, run.id).failure()
    assert failure is not None
    assert failure.reason.startswith("3 jobs ended without finishing it: job 2 never started")


@pytest.mark.parametrize("began", [True, False])
def test_what_is_to_be_retried_is_judged_anew(submitter: Submitter, began: bool) -> None:
    jobs = [Job(str(k), "FAILED", exit_code="1:0", ended=LONG_AGO) for k in range(6)]
    run = ended(submitter, *jobs[:3], began=began)
    assert submitter._judge(run) is None
    folder = RunFolder(submitter.cluster.results, run.id)
    folder.forget_failure()
    assert submitter._judge(run) == 0
    assert not folder.failed
    ended(submitter, *jobs[3:5], began=began)
    assert submitter._judge(run) == 0
    ended(submitter, jobs[5], began=began)  # three more
    assert submitter._judge(run) is None
    assert folder.failed


def test_the_cap_counts_what_is_alive_and_what_was_just_submitted(submitter: Submitter) -> None:
    submitter.cluster = replace(submitter.cluster, profile=Profile(jobs=4))
    states = {str(k): "RUNNING" if k == 0 else "COMPLETED" for k in range(4)}
    content = Submission(name="n", created=0.0, parallel=4, runs=[[]] * 4, gpus=1, job="7")
    names = dict(zip(content.ids, states.values(), strict=True))
    jobs = {name: Job(name, state) for name, state in names.items()}
    submitter.look = Look([SubmissionFolder(submitter.cluster.jobs / "one", content)], jobs)
    assert submitter._shares([[0] * 9]) == [3]  # one straggler of an array holds one place
    submitter.parallel = 2
    assert submitter._shares([[0] * 9]) == [1]


def test_what_detaching_leaves_unsubmitted_is_said(submitter: Submitter) -> None:
    said: list[str] = []
    submitter.cluster = replace(submitter.cluster, say=said.append)
    submitted(submitter, Job("7", "RUNNING"))
    runs = submitter.cluster.suite.runs()
    submitter.look.covered = {run.id for run in runs[:3]}
    _leave(submitter)
    assert said == [
        f"{len(runs) - 3} runs are not submitted: they wait for room, or after earlier trouble; "
        "the same command submits them later"
    ]
    said.clear()
    submitter.look.covered = {run.id for run in runs}
    _leave(submitter)
    assert said == []


def test_job_that_was_busy_with_others_is_not_held_against_a_run(submitter: Submitter) -> None:
    run, other = submitter.cluster.suite.runs()[:2]
    jobs = [Job(str(k), "FAILED", ended=LONG_AGO) for k in range(5)]
    ended(submitter, *jobs, began=False)
    for job in jobs:
        RunFolder(submitter.cluster.results, other.id).start(other, {"job": job.id})
    for submission, _ in submitter.look.ended[run.id]:
        submission.content.runs[0].append(other.id)
    assert submitter._judge(run) == 0


def test_after_trouble_a_run_waits(submitter: Submitter) -> None:
    run = ended(submitter, Job("1", "NODE_FAIL", ended=time.time()))
    assert submitter._judge(run) is None
    assert submitter.later


def test_what_a_person_cancelled_waits_for_the_next_bench_run(submitter: Submitter) -> None:
    run = ended(submitter, Job("1", "CANCELLED", ended=time.time() + 1))
    assert submitter._judge(run) == 0  # this launcher has just been asked for it
    submitter.first = False
    assert submitter._judge(run) is None


def test_what_was_cancelled_before_it_was_asked_for_again_counts_no_longer(submitter: Submitter) -> None:
    """Whoever goes on for somebody keeps the time of the first request, not of the second."""
    run = ended(submitter, Job("1", "CANCELLED", ended=time.time() + 1))
    submitter.first, submitter.began = False, LONG_AGO
    assert submitter._judge(run) is None
    ended(submitter, Job("2", "FAILED", ended=LONG_AGO))
    submitter.look.ended[run.id][-1][0].content.created = time.time() + 2
    assert submitter._judge(run) == 0


@pytest.fixture
def accepted(submitter: Submitter, monkeypatch: pytest.MonkeyPatch) -> FakeExecutor:
    """An executor that takes everything, in packs of one run."""
    monkeypatch.setattr(Submitter, "_guess", lambda *_: 1e9)
    return fake(submitter)


def fake(submitter: Submitter) -> FakeExecutor:
    assert isinstance(submitter.cluster.executor, FakeExecutor)
    return submitter.cluster.executor


def changed(submitter: Submitter, **profile: object) -> Submitter:
    submitter.cluster = replace(
        submitter.cluster, profile=submitter.cluster.profile.model_copy(update=profile)
    )
    return submitter


def test_refusal_ends_the_first_submission_and_delays_later_ones(
    submitter: Submitter, accepted: FakeExecutor
) -> None:
    accepted.refusal = "nodes are down"
    with pytest.raises(BenchError, match="nodes are down"):
        submitter._submit({(0, Needs()): submitter.cluster.suite.runs()})
    submitter.first = False
    submitter._submit({(0, Needs()): submitter.cluster.suite.runs()})
    assert accepted.requests == []
    assert submitter.later


def test_arrays_are_no_larger_than_slurm_takes(submitter: Submitter, accepted: FakeExecutor) -> None:
    submitter._submit({(0, Needs()): submitter.cluster.suite.runs()})
    assert [(jobs, request.parallel) for request, jobs in accepted.requests] == [(3, 3), (1, 1)]


def test_cap_on_jobs_is_shared_out(submitter: Submitter, accepted: FakeExecutor) -> None:
    changed(submitter, jobs=2)._submit({(0, Needs()): submitter.cluster.suite.runs()})
    # Packs of two, so that two jobs have all of it.
    assert sum(request.parallel for request, _ in accepted.requests) == 2


def test_nothing_is_submitted_over_the_cap(submitter: Submitter, accepted: FakeExecutor) -> None:
    submitted(submitter, Job("7", "RUNNING"))
    changed(submitter, jobs=1)._submit({(0, Needs()): submitter.cluster.suite.runs()})
    assert accepted.requests == []
    assert submitter.later


@pytest.mark.parametrize("room", [0, 2])
def test_full_queue_gets_what_it_has_room_for(
    submitter: Submitter, accepted: FakeExecutor, room: int
) -> None:
    accepted.capacity = Limits(array=3, room=room)
    submitter._submit({(0, Needs()): submitter.cluster.suite.runs()})
    assert sum(jobs for _, jobs in accepted.requests) == room
    assert submitter.later


def test_those_that_ran_out_of_memory_get_fewer_neighbours(
    submitter: Submitter, accepted: FakeExecutor
) -> None:
    runs = submitter.cluster.suite.runs()
    changed(submitter, workers=4)._submit({(k, Needs()): runs[n : n + 1] for n, k in enumerate((0, 1, 3))})
    assert [request.profile.workers for request, _ in accepted.requests] == [4, 2, 1]


def test_any_executor_trains_a_suite(
    make_suite: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Submitter, "_guess", lambda *_: 1e9)
    monkeypatch.setattr("bench.launch.cluster.POLL", (0.01, 0.02))
    suite, said = make_suite(), list[str]()
    executor = FakeExecutor(trains=True)
    cluster = Cluster(executor, suite, tmp_path, tmp_path, Profile(), tmp_path / "p.yaml", [], said.append)
    train_there(cluster, lambda: None)
    assert all(RunFolder(tmp_path, run.id).done for run in suite.runs())
    assert [jobs for _, jobs in executor.requests] == [3, 1]
    assert all(job.state == "COMPLETED" for job in look(cluster.jobs, executor).jobs.values())


@settings(max_examples=50)
@given(st.lists(st.integers(1, 9), max_size=5), st.integers(1, 20))
def test_shares_use_the_cap_and_no_more(sizes: list[int], cap: int) -> None:
    cluster = SimpleNamespace(profile=Profile(jobs=cap))
    submitter = Submitter(cluster, [], 0.0, {}, first=True)  # type: ignore[arg-type]
    shares = submitter._shares([[None] * size for size in sizes])
    assert sum(shares) == min(cap, sum(sizes))
    assert all(share <= size for share, size in zip(shares, sizes, strict=True))


def test_other_versions_on_a_node_are_refused(tmp_path: Path) -> None:
    pack = Pack(
        runs=[],
        results=tmp_path,
        data=tmp_path,
        device="cpu",
        search_path=[],
        git=None,
        versions={**installed_versions(), "torch": "1.0.0"},
    )
    with pytest.raises(BenchError, match=r"node .* has torch .*, the machine that submitted has 1\.0\.0"):
        check_versions(pack)


# --------------------------------------------------------------- what is gone, and nodes that fail everything


def seen(submitter: Submitter, *jobs: Job) -> SubmissionFolder:
    """One submission, of which the executor says this; it is looked at."""
    runs = [[run.id] for run in submitter.cluster.suite.runs()[: len(jobs)]]
    number = jobs[0].id.partition("_")[0]
    content = Submission(name="n", created=time.time(), parallel=1, runs=runs, gpus=1, job=number)
    folder = SubmissionFolder(submitter.cluster.jobs / "one", content)
    folder.write()
    fake(submitter).states |= {job.id: job for job in jobs}
    submitter.look = look(submitter.cluster.jobs, fake(submitter))
    return folder


def test_mark_of_a_job_says_how_it_ended_when_nobody_else_does(submitter: Submitter) -> None:
    folder = seen(submitter, Job("7", UNKNOWN, missing=True))
    assert submitter.look.jobs["7"].alive
    Ended.note(folder.path, "7", None)
    assert look(submitter.cluster.jobs, fake(submitter)).jobs["7"].state == "COMPLETED"
    # One of its processes may have left it while others train: silence is no end.
    fake(submitter).states["7"] = Job("7", UNKNOWN)
    assert look(submitter.cluster.jobs, fake(submitter)).jobs["7"].alive


def test_what_the_executor_will_forget_is_kept(submitter: Submitter) -> None:
    ended = Job("7", "CANCELLED", ended=5.0, fleeting=True)
    seen(submitter, ended)
    note_ends(submitter.look)
    fake(submitter).states["7"] = Job("7", UNKNOWN, missing=True)
    assert look(submitter.cluster.jobs, fake(submitter)).jobs["7"] == ended
    fake(submitter).states["7"] = Job("7", "PENDING")  # somebody had it queued again
    assert look(submitter.cluster.jobs, fake(submitter)).jobs["7"].alive


@pytest.mark.parametrize(("other", "state"), [("PENDING", "CANCELLED"), ("COMPLETED", LOST)])
def test_what_left_the_queue_while_others_wait_was_cancelled(
    submitter: Submitter, other: str, state: str
) -> None:
    folder = seen(submitter, Job("7_0", UNKNOWN, missing=True), Job("7_1", other))
    submitter.missing["7_0"] = time.time() - LOST_SECONDS - 1
    assert submitter._give_up()
    assert read_all(submitter.cluster.jobs)[0].content.given_up == {"7_0": state}
    assert folder.path.exists()


def test_whoever_cancels_notes_it_of_what_waits(submitter: Submitter) -> None:
    seen(submitter, Job("7_0", "PENDING"), Job("7_1", "RUNNING"))
    suite, results, executor = submitter.cluster.suite, submitter.cluster.results, fake(submitter)
    cancel(suite, results, executor, ["7_0", "7_1"])
    assert executor.cancelled == ["7_0", "7_1"]
    [folder] = read_all(submitter.cluster.jobs)
    assert {name: job.state for name, job in folder.content.ends.items()} == {"7_0": "CANCELLED"}


def test_whoever_cancels_does_not_wait_for_one_that_trains_here(
    submitter: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.launch.queue.NOTE_SECONDS", 0.0)
    seen(submitter, Job("7", "PENDING"))
    suite, results, executor = submitter.cluster.suite, submitter.cluster.results, fake(submitter)
    with only_launcher(results / suite.name, lambda: None, lambda said: None):
        cancel(suite, results, executor, ["7"])
    assert executor.cancelled == ["7"]
    assert read_all(submitter.cluster.jobs)[0].content.ends == {}


def failed_on(*nodes: str) -> list[Job]:
    """Jobs that failed within seconds."""
    return [
        Job(str(k), "FAILED", node=node, ended=LONG_AGO, seconds=1.0, failed_nodes=(node,))
        for k, node in enumerate(nodes)
    ]


@pytest.mark.parametrize(
    ("nodes", "failed"),
    [("aaa", False), ("aab", False), ("aabbc", True), ("abc", True), ("aaaaa", False), ("aaaaaa", True)],
)
def test_run_that_failed_on_a_bad_node_is_tried_elsewhere(
    submitter: Submitter, nodes: str, failed: bool
) -> None:
    jobs = failed_on(*nodes)
    run = ended(submitter, *jobs)
    submitter.look.jobs |= {job.id: job for job in jobs}
    assert (submitter._judge(run) is None) == failed
    assert RunFolder(submitter.cluster.results, run.id).failed == failed


def test_node_whose_jobs_cannot_do_their_work_is_excluded_after_the_second(submitter: Submitter) -> None:
    common = {"state": "COMPLETED", "node": "n1", "seconds": 2.0}
    folder = seen(submitter, *(Job(f"7_{k}", **common) for k in range(3)))  # type: ignore[arg-type]
    assert submitter.look.bad_nodes(None) == ()
    for k in range(2):
        Ended.note(folder.path, f"7_{k}", "node n1 has torch 1.0")
        bad = look(submitter.cluster.jobs, fake(submitter)).bad_nodes(None)
        assert bad == (("n1",) if k else ())


def test_node_of_another_cluster_is_another_node(submitter: Submitter) -> None:
    jobs = [replace(job, id=f"{job.node[-1]}:7_{job.id}") for job in failed_on("n-a", "n-a", "n-b", "n-b")]
    submitter.look = Look([], {job.id: job for job in jobs})
    assert submitter.look.bad_nodes(None) == submitter._bad_nodes() == ()
    assert submitter.look.bad_nodes("a") == ("n-a",)
    assert changed(submitter, clusters="b")._bad_nodes() == ("n-b",)


def test_jobs_that_wait_are_kept_off_bad_nodes_too(submitter: Submitter) -> None:
    seen(submitter, *(replace(job, id=f"7_{job.id}") for job in failed_on("n1", "n1")), Job("7_2", "PENDING"))
    changed(submitter, exclude=("n9",))._avoid()
    submitter.look = look(submitter.cluster.jobs, fake(submitter))
    submitter._avoid()  # once
    assert fake(submitter).excluded == [(["7_2"], ("n9", "n1"))]


def test_no_node_is_left_out_where_none_would_be_left(submitter: Submitter, accepted: FakeExecutor) -> None:
    seen(submitter, *(replace(job, id=f"7_{job.id}") for job in failed_on("n1", "n1")), Job("7_2", "PENDING"))
    accepted.least_nodes = 1
    submitter._avoid()
    submitter._submit({(0, Needs()): submitter.cluster.suite.runs()})
    assert accepted.excluded == []
    assert {request.exclude for request, _ in accepted.requests} == {()}
    accepted.least_nodes = 0
    submitter._submit({(0, Needs()): submitter.cluster.suite.runs()})
    assert accepted.requests[-1][0].exclude == ("n1",)


def test_jobs_that_wait_may_run_on_bad_nodes_where_no_others_are_left(
    submitter: Submitter, accepted: FakeExecutor
) -> None:
    seen(submitter, *(replace(job, id=f"7_{job.id}") for job in failed_on("n1", "n1")), Job("7_2", "PENDING"))
    submitter._avoid()
    accepted.least_nodes = 1  # the others are drained meanwhile
    for _ in range(2):
        submitter.look = look(submitter.cluster.jobs, accepted)
        submitter._avoid()
    assert accepted.excluded == [(["7_2"], ("n1",)), (["7_2"], ())]
    accepted.least_nodes = 0
    submitter.look = look(submitter.cluster.jobs, accepted)
    submitter._avoid()
    assert accepted.excluded[2:] == [(["7_2"], ("n1",))]


def test_bad_nodes_are_not_used_again_because_nobody_answers(
    submitter: Submitter, accepted: FakeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(submitter, *(replace(job, id=f"7_{job.id}") for job in failed_on("n1", "n1")))

    def silent(request: Request) -> None:
        raise Trouble("it did not answer")

    monkeypatch.setattr(accepted, "check", silent)
    with pytest.raises(Trouble):
        submitter._submit({0: submitter.cluster.suite.runs()})
    assert accepted.requests == []


def test_full_queue_is_a_matter_of_time_from_the_first(
    submitter: Submitter, accepted: FakeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    submitter.cluster = replace(submitter.cluster, say=said.append)
    accepted.capacity = Limits(array=3, room=0, words="MaxSubmitJobs=3 of account mine")
    submitter._submit({(0, Needs()): submitter.cluster.suite.runs()})
    assert said == ["the queue has no room (MaxSubmitJobs=3 of account mine); submitted later"]
    accepted.capacity = Limits(array=3, room=None)

    def refuse(*_: object) -> None:
        raise Later("sbatch: AssocMaxSubmitJobLimit")

    monkeypatch.setattr(accepted, "check", refuse)  # a limit that was not read
    submitter.later = False
    submitter._submit({(0, Needs()): submitter.cluster.suite.runs()})
    assert said[-1] == "sbatch: AssocMaxSubmitJobLimit: submitted later"
    assert submitter.later
    assert accepted.requests == []


@pytest.mark.parametrize(("most", "jobs"), [(3, [3, 1]), (2, [1, 1]), (0, [])])
def test_limit_that_nobody_tells_is_felt_for(
    submitter: Submitter, accepted: FakeExecutor, most: int, jobs: list[int]
) -> None:
    accepted.most = most
    submitter._submit({(0, Needs()): submitter.cluster.suite.runs()})
    assert [count for _, count in accepted.requests] == jobs
    assert submitter.later == (most < 3)


def test_start_up_that_outlasts_the_time_limit_ends_a_job_at_the_third(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = Pack(runs=[], results=tmp_path, data=tmp_path, device="cpu", search_path=[], git=None)
    path = pack.write(tmp_path)
    again: list[str] = []
    worked = False

    def work(pack: Pack, stop: StopFlag) -> bool:
        if not worked:
            stop.raised = True  # while it was still starting up
        stop.before_step()
        return False

    monkeypatch.setattr("bench.launch.worker.work", work)
    monkeypatch.setattr("bench.launch.stop.signal.signal", lambda *_: None)
    monkeypatch.setattr("bench.launch.worker.queue_again", lambda job, stop: again.append(job))
    monkeypatch.setenv("SLURM_JOB_ID", "7")

    def starts(*numbers: int) -> Ended | None:
        for number in numbers:
            monkeypatch.setenv("SLURM_RESTART_COUNT", str(number))
            Worker(path)()
        return Ended.read(tmp_path, "7")

    assert starts(0, 0, 1) is None  # two processes of the first
    worked = True
    assert starts(2) is None  # and the count begins anew
    worked = False
    assert starts(3, 4) is None
    assert len(again) == 6
    ended = starts(5)
    assert ended is not None
    assert "told to stop before its first step, 3 times in a row" in str(ended.message)
    assert len(again) == 6
