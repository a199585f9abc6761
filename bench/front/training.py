"""What a suite is missing: trained, or planned, or looked at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.disk import check_writable
from bench.errors import BenchError
from bench.front.asking import asking
from bench.front.report import Report
from bench.front.reporting import answer_of, write_report
from bench.home import take
from bench.launch.pack import git_state
from bench.launch.preflight import set_aside_damaged, set_aside_odd
from bench.preregistration import state
from bench.runs import Run
from bench.scale import Scale
from bench.sequential_design import SequentialDesign, as_it_stands
from bench.source import Source
from bench.suite import Suite
from bench.tuning.changed import kept
from bench.versions.counting import as_counted, changes, declare_same
from bench.visible import say
from bench.yaml_file import shipped

if TYPE_CHECKING:
    from bench.front.looks import Plan, Status

Device = Literal["auto", "cpu", "cuda"]


def run(
    source: Source,
    on: Path | None = None,
    detach: bool = False,
    first: bool = False,
    seeds: int | None = None,
    scale: Scale = "full",
    results: Path = Path("results"),
    data: Path = Path("data"),
    workers: int | None = None,
    device: Device = "auto",
    retry_failed: bool = False,
    same_code: bool = False,
    retrain_odd: bool = False,
    keep_weights: bool = False,
    tracking_uri: str | None = None,
) -> Report:
    """Train what a suite is missing, watch, mirror into MLflow; returns the report. Again: goes on.

    Raises:
        BenchError: it cannot be done: the suite, the machine, the cluster or the folders do not allow it.
        KeyboardInterrupt: somebody stopped it. Nothing is running any more; what is finished is kept.
    """
    from bench.launch.arrays import Cluster
    from bench.launch.cluster import train_there
    from bench.launch.executors.slurm import Slurm
    from bench.launch.local import train_here
    from bench.launch.plan import guess_untimed
    from bench.launch.profile import load_profile
    from bench.launch.view import View
    from bench.tracking.background import BackgroundMirror
    from bench.tracking.mirror import Mirror
    from bench.tracking.store import default_uri

    with asking(source, results, seeds, scale) as asked:
        if keep_weights:
            asked = asked.model_copy(update={"keep_weights": True})
        if detach and on is None:
            raise BenchError("--detach needs --on PROFILE: on this machine, bench trains while it watches")
        _say_if_alone(asked)
        on = shipped(on, "slurm") if on else None
        profile = load_profile(on) if on else None
        check_writable(results)
        take(asked, source, results)
        if same_code:
            for remark in declare_same(asked, results):
                say(remark)
        set_aside_damaged(asked, results, say)
        if retrain_odd:
            set_aside_odd(asked, results, data, say)
        asked = as_counted(asked, results)
        for remark in [*changes(asked, results), *kept(asked, results)]:
            say(remark)
        if not asked.scaled_down:
            state(as_counted(asked.whole, results), results, git_state(source.folders[0]))
        design = SequentialDesign(asked, results)
        path, file = source.search_path, source.place(asked, results)
        mirror = BackgroundMirror(Mirror(asked, results, tracking_uri or default_uri(results)))
        mirror.start()
        try:
            guess = partial(guess_untimed, asked, results, data, device, path) if on is None else None
            with View(design.now(), results, guess) as view:
                here = partial(
                    train_here,
                    asked,
                    results=results,
                    data=data,
                    search_path=path,
                    watch=view,
                    say=view.say,
                    workers=workers,
                    device=device,
                )
                if first:
                    here(design.now().every_cell[0].runs, retry_failed=retry_failed)
                if on is None or profile is None:
                    trained: Sequence[Run] = ()
                    while (runs := design.now().runs()) != trained:
                        view.ask(design.now())
                        here(runs, retry_failed=retry_failed and not trained)
                        trained = runs
                else:
                    cluster = Cluster(Slurm(), asked, results, data, profile, on, path, view.say, file)
                    train_there(cluster, view, view.ask, detach=detach, retry_failed=retry_failed)
            report, summary, written = write_report(design.now(), results, tracking_uri)
        except BaseException:
            mirror.abandon()
            raise
        mirror.finish(written, answer_of(report))
        if mirror.warning:
            say(f"warning: not mirrored: {mirror.warning}")
        if mirror.mirror.remark:
            say(f"MLflow: {mirror.mirror.remark}")
        page = next((file for file in written if file.name == "report.html"), None)
        return Report(report, summary, page=page)


def plan(
    source: Source,
    on: Path | None = None,
    seeds: int | None = None,
    scale: Scale = "full",
    results: Path = Path("results"),
    data: Path = Path("data"),
    workers: int | None = None,
    device: Device = "auto",
) -> Plan:
    """What would run, and how long it would take. Changes nothing."""
    from bench.front.looks import Plan
    from bench.launch.executors.slurm import Slurm
    from bench.launch.job_plan import plan_jobs
    from bench.launch.needs import check_here
    from bench.launch.plan import plan as make_plan
    from bench.launch.plan import try_first
    from bench.launch.profile import load_profile

    with asking(source, results, seeds, scale) as asked:
        _say_if_alone(asked)
        if on is None:
            check_here(asked, device)
        guesses = try_first(asked, results, data, None if on else device, source.search_path, say)
        todo = make_plan(asked, results, workers, device, guesses)
        if on is not None:
            on = shipped(on, "slurm")
            todo.jobs = plan_jobs(asked, results, Slurm(), load_profile(on), on)
        return Plan(**dict(todo))


def status(
    source: Source, seeds: int | None = None, scale: Scale = "full", results: Path = Path("results")
) -> Status:
    """How a suite stands: done, running, waiting, failed and why. Changes nothing."""
    from bench.front.looks import Status
    from bench.launch.status import status as look

    with asking(source, results, seeds, scale, names=False) as asked:
        return Status(**dict(look(as_it_stands(asked, results), results)))


def _say_if_alone(suite: Suite) -> None:
    if len(suite.losses) == 1:
        say(f"losses: found {suite.baseline_label} alone; nothing will be compared")
