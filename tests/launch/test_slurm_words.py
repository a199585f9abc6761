"""What is made of the words of Slurm's commands, where a real one would take too long to say them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.launch.executors import UNKNOWN, Later, Request, Trouble
from bench.launch.executors.slurm import Slurm, commands, limits, states
from bench.launch.executors.slurm.commands import Silent, one_line, trouble_of
from bench.launch.executors.slurm.states import _each
from bench.launch.profile import Profile, load_profile

BOOKS, NONE = "accounting_storage/slurmdbd", "accounting_storage/none"
LONG, SHORT = "2026-01-01T10:00:00|2026-01-01T12:00:00", "2026-01-01T10:00:00|2026-01-01T10:00:03"


class Said:
    """Slurm's commands, each with its answer; None: it fails."""

    def __init__(self, **answers: str | None) -> None:
        self.answers = {"squeue": "", "sacct": "", "sacctmgr": None, **answers}
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, *command: str, script: str = "", timeout: float = 0.0) -> str:
        self.asked.append(command)
        answer = self.answers.get(command[0])
        if answer is None:
            raise Trouble(f"{command[0]}: down")
        return answer


def said(monkeypatch: pytest.MonkeyPatch, books: str = BOOKS, **answers: str | None) -> Said:
    told = Said(**{"scontrol": f"AccountingStorageType   = {books}\n", **answers})
    for module in (commands, limits, states):
        monkeypatch.setattr(module, "ask", told)
    return told


@pytest.mark.parametrize(
    ("queue", "records", "books", "state", "missing"),
    [
        ("", "", BOOKS, UNKNOWN, True),  # the books have not heard of it
        ("", None, BOOKS, UNKNOWN, False),  # slurmdbd is down
        ("", None, NONE, UNKNOWN, True),  # there are none
        (None, "", BOOKS, UNKNOWN, False),  # the controller restarts
        (None, None, NONE, UNKNOWN, False),
        (None, f"7|COMPLETED|0:0|n1|x|{LONG}", BOOKS, "COMPLETED", False),
        ("", "7|RUNNING|0:0|n1|x|2026-01-01T10:00:00|Unknown", BOOKS, UNKNOWN, True),
        ("7|CANCELLED|None||x|N/A|2026-01-01T10:00:00", "", BOOKS, "CANCELLED", False),
        ("7|CANCELLED|None||x|N/A|2026-01-01T10:00:00", None, NONE, "CANCELLED", False),
        (f"7|COMPLETED|None|n1|x|{LONG}", "7|RUNNING|0:0|n1|x|y|Unknown", BOOKS, "COMPLETED", False),
        ("7|PENDING|JobHeldUser||x|N/A|N/A", "", BOOKS, "PENDING", False),
        # Requeued: the books have the end of an earlier start.
        ("7|PENDING|BeginTime||x|N/A|N/A", f"7|NODE_FAIL|0:0|n1|x|{LONG}", BOOKS, "PENDING", False),
        ("", "7|CANCELLED by 1000|0:0|None assigned|x|Unknown|Unknown", BOOKS, "CANCELLED", False),
    ],
)
def test_job_has_ended_on_evidence_only(
    monkeypatch: pytest.MonkeyPatch,
    queue: str | None,
    records: str | None,
    books: str,
    state: str,
    missing: bool,
) -> None:
    said(monkeypatch, books, squeue=queue, sacct=records)
    job = Slurm().jobs(["7"], time.time())["7"]
    assert (job.state, job.missing) == (state, missing)
    assert job.fleeting == (not job.alive and not (records or "").startswith(f"7|{state}"))


def test_tasks_that_never_started_share_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [*_each("7_[0-2,5%1]")] == ["7_0", "7_1", "7_2", "7_5"]
    assert [*_each("7_[3]")] == ["7_3"]
    assert [*_each("7_[0-1,4,...]")] == ["7_0", "7_1", "7_4"]
    assert [*_each("7_4")] == ["7_4"]
    said(monkeypatch, sacct="7_[0-1%1]|CANCELLED by 0|0:0|None assigned|x|Unknown|2026-01-01T10:00:00")
    assert [job.state for job in Slurm().jobs(["7_0", "7_1"], 0.0).values()] == ["CANCELLED"] * 2


def test_same_numbers_on_two_clusters_are_two_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    told = said(monkeypatch, squeue="7|RUNNING|None|n1|x|N/A|N/A")
    found = Slurm().jobs(["7", "there:7"], 0.0)
    assert {*found} == {"7", "there:7"}
    assert {name: job.id for name, job in found.items()} == {"7": "7", "there:7": "there:7"}
    assert sum("--clusters=there" in command for command in told.asked) == 2


@pytest.mark.parametrize(
    ("row", "nodes"),
    [
        (f"7|FAILED|1:0|n1|x|{SHORT}", ("n1",)),
        (f"7|FAILED|1:0|n1|x|{LONG}", ()),
        (f"7|NODE_FAIL|1:0|n1|x|{LONG}", ("n1",)),
        (f"7|COMPLETED|0:0|n1|x|{SHORT}", ()),
        (f"7|FAILED|1:0|n1|x|{SHORT}\n7|FAILED|1:0|n2|x|{SHORT}", ("n1", "n2")),
    ],
)
def test_nodes_on_which_jobs_fail_within_seconds(
    monkeypatch: pytest.MonkeyPatch, row: str, nodes: tuple[str, ...]
) -> None:
    said(monkeypatch, sacct=row)
    assert Slurm().jobs(["7"], 0.0)["7"].failed_nodes == nodes


def test_every_start_of_a_job_counts_for_as_long_as_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = [("REQUEUED", LONG), ("REQUEUED", SHORT), ("COMPLETED", SHORT)]
    said(monkeypatch, sacct="\n".join(f"7|{state}|0:0|n1|x|{times}" for state, times in starts))
    assert Slurm().jobs(["7"], 0.0)["7"].seconds == 2 * 3600 + 3 + 3
    # What waits has not run, whenever it may start.
    said(monkeypatch, squeue=f"7|PENDING|Priority||x|{LONG}")
    assert Slurm().jobs(["7"], 0.0)["7"].seconds == 0


@pytest.mark.parametrize(("size", "array"), [(0, 1), (1, 1), (1001, 1001)])
def test_cluster_without_arrays_gets_single_jobs(
    monkeypatch: pytest.MonkeyPatch, size: int, array: int
) -> None:
    said(monkeypatch, scontrol=f"MaxArraySize            = {size}\n")
    assert Slurm().limits(Profile()).array == array


def test_refusal_over_a_submit_limit_means_later_and_is_said_once() -> None:
    policy = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
    twice = f"sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: {policy}\n{policy}\n"
    assert one_line(twice) == f"QOSMaxSubmitJobPerUserLimit; {policy}"
    assert isinstance(trouble_of(one_line(twice)), Later)
    assert isinstance(trouble_of("AssocGrpSubmitJobsLimit"), Later)
    # No time will bring that.
    assert not isinstance(trouble_of(f"QOSMaxWallDurationPerJobLimit; {policy}"), Later)
    assert not isinstance(trouble_of("Invalid account"), Later)


@pytest.mark.parametrize(
    ("changes", "option", "value"),
    [
        ({"gpus": 2}, "gres", "gpu:2"),
        ({"gpus": 2, "gpu_type": "a100"}, "gres", "gpu:a100:2"),
        ({"gpus": 2, "gpus_as": "gpus-per-node"}, "gpus-per-node", "2"),
        ({"gpus": 2, "gpu_type": "a100", "gpus_as": "gpus-per-node"}, "gpus-per-node", "a100:2"),
        ({"gpus": 2, "gpu_type": "a100", "gpus_as": "gpus-per-task"}, "gpus-per-task", "a100:1"),
        ({"gpus": 2, "workers": "auto", "gpus_as": "gpus-per-task"}, "gpus-per-task", "1"),
    ],
)
def test_gpus_are_asked_for_as_the_site_wants(changes: dict[str, object], option: str, value: str) -> None:
    profile = Profile.model_validate(changes)
    extra = profile.parameters("n", 1)["additional_parameters"]
    assert {key: extra[key] for key in extra if key.startswith("g")} == {option: value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{gpus_as: gpus-per-task, workers: 2}", "gpus_as: found 'gpus-per-task' with workers: 2, expected"),
        ("sbatch: {job-name: mine}", "sbatch: found 'job-name', expected any other option"),
        ("sbatch: {job_name: mine}", "sbatch: found 'job_name', expected any other option"),
        ("sbatch: {arr: 0-7}", "sbatch: found 'arr', expected any other option"),
        ("sbatch: {clusters: there}", "sbatch: found 'clusters', .* it is a key of the profile"),
        ("clusters: here,there", "clusters: found 'here,there'"),
    ],
)
def test_what_would_lose_jobs_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(BenchError, match=message):
        load_profile(tmp_path / "p.yaml")


@pytest.mark.parametrize(
    "answer",
    [
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "allocation failure: Connection refused",
    ],
)
def test_controller_that_does_not_answer_refuses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str
) -> None:
    program = tmp_path / "sbatch"
    program.write_text(f"#!/bin/sh\necho '{answer}' >&2\nexit 1\n")
    program.chmod(0o755)
    (tmp_path / "scontrol").symlink_to("/bin/true")  # the next moment it does
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(Trouble):
        Slurm().check(Request(Profile(), tmp_path / "profile.yaml", "test", 1))


def test_command_that_takes_too_long_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Silent, match=r"sleep did not answer within 0\.01 s"):
        commands.ask("sleep", "5", timeout=0.01)
