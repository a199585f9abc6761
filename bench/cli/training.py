"""Verbs that train, and that look at what is being trained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.app import FOLLOW, TRAIN, app
from bench.cli.options import (
    Data,
    Device,
    Everything,
    Json,
    On,
    Results,
    ScaleTo,
    Seeds,
    SuiteFile,
    TrackingUri,
    Workers,
)
from bench.cli.shared import exit_1_if, print_blocks, print_document, put
from bench.datasets import lies_in
from bench.disk import check_writable
from bench.errors import BenchError
from bench.front import training
from bench.front.asking import asking
from bench.home import take
from bench.launch.pack import git_state
from bench.launch.preflight import check_data
from bench.notice import Notice
from bench.preregistration import state
from bench.registry import Choice
from bench.sequential_design import as_it_stands
from bench.source import Source
from bench.visible import say


@app.command(rich_help_panel=TRAIN)
def run(
    suite: SuiteFile,
    on: On = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Submit to the cluster and return at once.")
    ] = False,
    first: Annotated[
        bool, typer.Option("--first", help="Train the first cell here before all else.")
    ] = False,
    seeds: Seeds = None,
    scale: ScaleTo = "full",
    results: Results = Path("results"),
    data: Data = Path("data"),
    workers: Workers = None,
    device: Device = "auto",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Train failed runs again.")] = False,
    same_code: Annotated[
        bool,
        typer.Option("--same-code", help="Your code changed, and computes the same: keep finished runs."),
    ] = False,
    retrain_odd: Annotated[
        bool, typer.Option("--retrain-odd", help="Train runs again that saw other data than is there now.")
    ] = False,
    everything: Everything = False,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Keep the weights of what is trained now.")
    ] = False,
    tracking_uri: TrackingUri = None,
    notify: Annotated[
        str,
        typer.Option(
            metavar="COMMAND", help="At the end: a command with {answer}, {suite}, {page}; or a URL."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Train what a suite is missing, watch, mirror into MLflow, report. Run it again to continue."""
    notice = Notice(notify) if notify else None
    try:
        report = training.run(
            Source.of(suite),
            on=on,
            detach=detach,
            first=first,
            seeds=seeds,
            scale=scale,
            results=results,
            data=data,
            workers=workers,
            device=device,
            retry_failed=retry_failed,
            same_code=same_code,
            retrain_odd=retrain_odd,
            keep_weights=keep_weights,
            tracking_uri=tracking_uri,
        )
    except KeyboardInterrupt:
        say("bench: stopped; what is finished is kept, and the same command goes on from here")
        raise typer.Exit(130) from None
    except BenchError as error:
        _give(notice, suite, f"stopped: {error}")
        raise
    again = f"{suite} --scale {scale}" if scale != "full" else f"{suite}"
    if detach:
        say(f"detached: `bench status {again}` says how it stands, the same command without --detach watches")
    print_blocks(report.document, report.blocks(everything=everything), as_json)
    if not detach:
        say(f"\n{report.answer}")
        if report.page is not None:
            say(f"The page: {report.page}. Every run in MLflow: bench ui {again}")
        _give(notice, suite, report.answer, report.page)
    exit_1_if(report.failed)


def _give(notice: Notice | None, suite: Path, answer: str, page: Path | None = None) -> None:
    if notice and (why := notice.give(answer=answer, suite=str(suite), page=str(page or ""))):
        say(f"warning: --notify: {why}")


@app.command(rich_help_panel=TRAIN)
def freeze(suite: SuiteFile, results: Results = Path("results"), as_json: Json = False) -> None:
    """State the plan before any run: what will be judged, and how. Prints a digest to publish.

    `bench run` states it otherwise. Reports say whether they are as planned, or list what differs.
    """
    from bench.launch.text import frozen_text

    source = Source.of(suite)
    with asking(source, results) as asked:
        check_writable(results)
        take(asked, source, results)
        stated = state(asked, results, git_state(source.folders[0]), frozen=True)
        print_document(stated, frozen_text(stated, asked, results), as_json)


@app.command(rich_help_panel=TRAIN)
def plan(
    suite: SuiteFile,
    on: On = None,
    seeds: Seeds = None,
    scale: ScaleTo = "full",
    results: Results = Path("results"),
    data: Data = Path("data"),
    workers: Workers = None,
    device: Device = "auto",
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Print each cell's complete description instead, as YAML.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What would run, and how long it would take. Changes nothing.

    Models and losses that are not bench's own are called once, to see that they can be. Where seeds are added
    until decided, also what that rule would do, simulated.
    """
    from bench.launch.text import plan_text, resolved_text

    source = Source.of(suite)
    if resolved:
        with asking(source, results, seeds, scale) as asked:
            put(resolved_text(asked))
        return
    todo = training.plan(source, on, seeds, scale, results, data, workers, device)
    print_document(todo, plan_text(todo), as_json)


@app.command(rich_help_panel=FOLLOW)
def status(
    suite: SuiteFile,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every five seconds, until the end.")
    ] = False,
    seeds: Seeds = None,
    scale: ScaleTo = "full",
    results: Results = Path("results"),
    as_json: Json = False,
) -> None:
    """How a suite stands: done, running, waiting, failed and why. Changes nothing."""
    from bench.launch.status import status as look
    from bench.launch.text import status_text
    from bench.reports.render.terminal import clear

    with asking(Source.of(suite), results, seeds, scale, names=False) as asked:
        standing = look(as_it_stands(asked, results), results)
        while watch and standing.runs.waiting + standing.runs.running:
            clear()
            put(status_text(standing))
            time.sleep(5)
            standing = look(as_it_stands(asked, results), results)
    print_document(standing, status_text(standing), as_json)
    exit_1_if(standing.runs.failed or standing.runs.damaged)


@app.command(rich_help_panel=FOLLOW)
def logs(
    suite: SuiteFile,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, or how it begins.")] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 30,
    scale: ScaleTo = "full",
    results: Results = Path("results"),
) -> None:
    """The end of a job's log: of the job that wrote last.

    With RUN, why that run failed, and its trace; of one that did not, what the job that trained it last says
    of it.
    """
    from bench.launch.logs import end_of_log

    with asking(Source.of(suite), results, scale=scale, names=False) as asked:
        path, text = end_of_log(asked, results, run, lines)
    say(str(path))
    put(text)


@app.command(rich_help_panel=FOLLOW)
def cancel(
    suite: SuiteFile,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    unasked: Annotated[
        bool, typer.Option("--unasked", help="Only jobs with nothing that the suite still asks for.")
    ] = False,
    scale: ScaleTo = "full",
    results: Results = Path("results"),
) -> None:
    """Cancel a suite's jobs on the cluster, after asking. Finished runs and checkpoints stay."""
    from bench.launch.executors.slurm import Slurm
    from bench.launch.queue import cancel as cancel_jobs
    from bench.launch.queue import to_cancel

    with asking(Source.of(suite), results, scale=scale, names=False) as asked:
        ids, runs = to_cancel(asked, results, Slurm(), only_unasked=unasked)
        if not ids:
            say("nothing to cancel: no job of this suite is queued or running")
            return
        names = ", ".join(ids[:5]) + (" …" if len(ids) > 5 else "")
        say(f"to be cancelled: {len(ids)} jobs with {runs} unfinished runs ({names})")
        if not yes and not typer.confirm("cancel them?", err=True):
            raise typer.Exit(1)
        cancel_jobs(asked, results, Slurm(), ids)
        say("cancelled; `bench run` with the same profile goes on from what is finished")


@app.command(rich_help_panel=TRAIN)
def fetch(suite: SuiteFile, data: Data = Path("data")) -> None:
    """Download a suite's data sets, before nodes that have no network need them."""
    with asking(Source.of(suite), None) as asked:
        chosen = {entry.choice for entry in asked.ours("datasets")}
        check_data(chosen, data, say)
    for choice in sorted(chosen, key=Choice.label):
        say(f"in place: {choice.label()} ({lies_in(choice, data)})")


@app.command(rich_help_panel=TRAIN)
def doctor(
    results: Results = Path("results"),
    data: Data = Path("data"),
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Can this machine run it: torch, devices, Slurm, MLflow, data sets."""
    from bench.doctor import diagnose, diagnosis_text

    diagnosis = diagnose(results, data, tracking_uri)
    print_document(diagnosis, diagnosis_text(diagnosis), as_json)
    exit_1_if(not diagnosis.healthy)
