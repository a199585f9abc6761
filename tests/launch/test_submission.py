"""Files of a submission that cannot be read: nothing is lost, and nothing is submitted twice in silence."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from executor import FakeExecutor

from bench.errors import BenchError
from bench.launch.arrays import Cluster
from bench.launch.continuation import Continue
from bench.launch.executors import Job
from bench.launch.pack import Pack
from bench.launch.profile import Profile
from bench.launch.queue import look, to_cancel
from bench.launch.status import status
from bench.launch.submission import Continuation, SubmissionFolder, read_all
from bench.launch.submitter import Submitter
from bench.launch.worker import Worker
from bench.suite import Suite

DAMAGE: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
    ("empty", lambda content: ""),
    ("half", lambda content: json.dumps(content)[:60]),
    ("no JSON", lambda content: "\0\1\2"),
    ("a list", lambda content: "[]"),
    ("no name", lambda content: json.dumps({**content, "name": 3})),
    ("no runs", lambda content: json.dumps({**content, "runs": []})),
    ("a pack less", lambda content: json.dumps({**content, "runs": content["runs"][1:]})),
    ("other runs", lambda content: json.dumps({**content, "runs": [["x"], ["y"]]})),
    ("an option", lambda content: json.dumps({**content, "job": "--user=me"})),
    ("no number of GPUs", lambda content: json.dumps({**content, "gpus": 10**400})),
    ("no name of a job", lambda content: json.dumps({**content, "name": "a\0b"})),
    ("the name of another", lambda content: json.dumps({**content, "name": "bench-x-1", "job": None})),
    ("two names", lambda content: json.dumps({**content, "name": "a,b"})),
    ("no cluster", lambda content: json.dumps({**content, "cluster": "\0"})),
    ("given up for no reason", lambda content: json.dumps({**content, "given_up": {"71_0": "READY"}})),
    *(
        (
            f"an end with {changes}",
            lambda content, changes=changes: json.dumps(
                {**content, "ends": {"71_0": {"id": "71_0", "state": "FAILED", "ended": 5.0, **changes}}}
            ),
        )
        for changes in ({"id": "9"}, {"state": "RUNNING"}, {"ended": 1e300}, {"seconds": float("nan")})
    ),
    ("no time", lambda content: json.dumps({**content, "created": 1e300})),
]


class Queue(FakeExecutor):
    """Has the jobs of one name."""

    name = ""

    def find(
        self, folder: Path, workers: Sequence[Any], name: str, since: float, cluster: str | None = None
    ) -> str | None:
        return "71" if name == self.name and len(workers) == 2 else None


@pytest.fixture
def cluster(make_suite: Callable[..., Suite], tmp_path: Path) -> Cluster:
    place = tmp_path, tmp_path, Profile(), tmp_path / "p.yaml"
    said: list[str] = []
    return Cluster(Queue(), make_suite(losses=["ce", "mae"], seeds=1), *place, [], said.append)


@pytest.fixture
def submitted(cluster: Cluster) -> SubmissionFolder:
    """Two jobs with a run each, queued."""
    common = {
        "results": cluster.results,
        "data": cluster.data,
        "device": "cpu",
        "search_path": [],
        "git": None,
    }
    packs = [Pack(runs=[run], **common) for run in cluster.suite.runs()]
    folder = SubmissionFolder.intend(cluster.jobs, cluster.suite.name, packs, parallel=2, gpus=0, tasks=1)
    folder.content.job = "71"
    folder.write()
    executor = cluster.executor
    assert isinstance(executor, Queue)
    executor.name = folder.content.name
    executor.states = {name: Job(name, "PENDING") for name in ("71_0", "71_1")}
    return folder


def step(cluster: Cluster) -> Submitter:
    submitter = Submitter(cluster, cluster.suite.runs(), time.time(), {}, first=True)
    submitter._guess = lambda run: 1.0  # type: ignore[method-assign]
    submitter.step()
    return submitter


@pytest.mark.parametrize(("kind", "damage"), DAMAGE, ids=[kind for kind, _ in DAMAGE])
def test_its_packs_tell_what_its_jobs_train(
    cluster: Cluster, submitted: SubmissionFolder, kind: str, damage: Callable[[dict[str, Any]], str]
) -> None:
    file = submitted.path / "submission.json"
    file.write_text(damage(json.loads(file.read_text())))
    [remark] = status(cluster.suite, cluster.results, cluster.executor).remarks
    assert str(file) in remark
    assert step(cluster).submitted == 0
    [again] = read_all(cluster.jobs)  # which is whole again
    assert not again.damage
    assert again.content.ids == ["71_0", "71_1"]
    assert again.content.runs == submitted.content.runs
    assert again.content.name == submitted.content.name
    assert abs(again.content.created - submitted.content.created) < 2


@pytest.mark.parametrize("file", ["submission.json", "pack-0.json"])
def test_runs_that_either_file_names_are_queued(
    cluster: Cluster, submitted: SubmissionFolder, file: str
) -> None:
    path = submitted.path / file
    said, run = path.read_text(), submitted.content.runs[0][0]
    changed = (
        said.replace(run, "0" * 16) if file == "submission.json" else said.replace('"epochs":', '"epoch":', 1)
    )
    assert changed != said
    path.write_text(changed)
    for _ in range(2):
        assert step(cluster).submitted == 0
    [again] = read_all(cluster.jobs)
    assert run in again.content.runs[0]
    assert len(again.content.runs[0]) == 2
    assert again.content.job == "71"


def test_missing_it_is_an_intent(cluster: Cluster, submitted: SubmissionFolder) -> None:
    (submitted.path / "submission.json").unlink()
    assert look(cluster.jobs, cluster.executor).covered == {run.id for run in cluster.suite.runs()}
    assert step(cluster).submitted == 0


def test_jobs_that_the_queue_does_not_have_are_submitted_again(
    cluster: Cluster, submitted: SubmissionFolder
) -> None:
    (submitted.path / "submission.json").write_text("")
    assert isinstance(cluster.executor, Queue)
    cluster.executor.name = "none"
    assert step(cluster).submitted == 1


@pytest.mark.parametrize("pack", ["", "[]", '{"runs": {"descriptions": [], "runs": [[3, 1]]}}'])
def test_where_no_pack_tells_nothing_is_submitted(
    cluster: Cluster, submitted: SubmissionFolder, pack: str
) -> None:
    (submitted.path / "submission.json").write_text("")
    (submitted.path / "pack-1.json").write_text(pack)
    with pytest.raises(
        BenchError, match="nobody can tell what its jobs train; nothing is submitted"
    ) as caught:
        step(cluster)
    for needed in ("submission.json", "pack-1.json", f"scancel --name={submitted.content.name}"):
        assert needed in str(caught.value)
    assert isinstance(cluster.executor, Queue)
    assert cluster.executor.requests == []
    [remark] = status(cluster.suite, cluster.results, cluster.executor).remarks
    assert "pack-1.json" in remark
    assert to_cancel(cluster.suite, cluster.results, cluster.executor, only_unasked=False) == ([], 0)


def test_a_job_that_cannot_read_its_pack_says_so(submitted: SubmissionFolder) -> None:
    pack = submitted.path / "pack-0.json"
    pack.write_text('{"results": 3}')
    with pytest.raises(SystemExit, match=r"pack-0\.json: results: found 3"):
        Worker(pack)()


def test_nor_one_that_was_to_add_seeds(cluster: Cluster, tmp_path: Path) -> None:
    places = dict.fromkeys(("suite", "results", "data", "profile"), tmp_path)
    told = Continuation.model_validate({**places, "scale": "full", "search_path": [], "since": 1.0})
    folder = SubmissionFolder.intend_to_continue(cluster.jobs, "small", told)
    (folder.path / "submission.json").write_text("{")
    with pytest.raises(SystemExit, match=r"submission\.json: "):
        Continue(folder.path)()
    assert look(cluster.jobs, cluster.executor).covered == set()


@pytest.mark.parametrize(
    "name", [b"19000101T000000-abc", b"99990101T000000-abc", b"a,b", b"x-a\nb\x1b", b"x-\xff", b"plain"]
)
def test_a_folder_may_be_called_anything(cluster: Cluster, submitted: SubmissionFolder, name: bytes) -> None:
    (submitted.path / "submission.json").write_text("")
    submitted.path.rename(cluster.jobs / os.fsdecode(name))
    assert look(cluster.jobs, cluster.executor).covered == {run.id for run in cluster.suite.runs()}
    status(cluster.suite, cluster.results, cluster.executor)


def test_a_pack_names_a_cluster_that_can_be(cluster: Cluster, submitted: SubmissionFolder) -> None:
    (submitted.path / "submission.json").write_text("")
    pack = submitted.path / "pack-0.json"
    pack.write_text(json.dumps({**json.loads(pack.read_text()), "cluster": "\0"}))
    with pytest.raises(BenchError, match=r"pack-0\.json: cluster"):
        step(cluster)


def test_where_a_folder_is_closed_nothing_is_submitted(
    cluster: Cluster, submitted: SubmissionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A colleague's, with umask 077. (Permissions would not keep root out.)"""

    def closed(call: Callable[..., Any]) -> Callable[..., Any]:
        def refused(place: Any, *arguments: Any, **settings: Any) -> Any:
            if str(place).startswith(f"{submitted.path}/"):
                raise PermissionError(errno.EACCES, "Permission denied", str(place))
            return call(place, *arguments, **settings)

        return refused

    monkeypatch.setattr(os, "stat", closed(os.stat))
    monkeypatch.setattr(os, "open", closed(os.open))
    monkeypatch.setattr(os, "scandir", closed(os.scandir))
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))  # which takes it for empty
    with pytest.raises(BenchError, match="Permission denied: nobody can tell what its jobs train"):
        step(cluster)
    [remark] = status(cluster.suite, cluster.results, cluster.executor).remarks
    assert str(submitted.path) in remark
