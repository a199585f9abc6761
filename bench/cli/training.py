"""Verbs that train, and that look at what is being trained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bench.choices import Choice
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
from bench.cli.shared import (
    exit_1_if,
    load,
    note_of,
    print_blocks,
    print_document,
    put,
    say,
    search_path,
    write_report,
)
from bench.datasets import lies_in
from bench.design import Design, as_it_stands
from bench.disk import check_writable
from bench.errors import BenchError
from bench.home import take
from bench.launch.pack import git_state
from bench.launch.preflight import check_data, set_aside_damaged, set_aside_odd
from bench.preregistration import state
from bench.run import Run
from bench.versions import as_counted, changes, declare_same


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
    as_json: Json = False,
) -> None:
    """Train what a suite is missing, watch, mirror into MLflow, report. Run it again to continue."""
    from bench.launch.cluster import train_there
    from bench.launch.executors.slurm import Slurm
    from bench.launch.local import train_here
    from bench.launch.profile import load_profile
    from bench.launch.submitter import Cluster
    from bench.launch.view import View
    from bench.tracking.background import BackgroundMirror
    from bench.tracking.mirror import Mirror
    from bench.tracking.store import default_uri

    asked = load(suite, results, seeds, scale)
    if keep_weights:
        asked = asked.model_copy(update={"keep_weights": True})
    if detach and on is None:
        raise BenchError("--detach needs --on PROFILE: on this machine, bench trains while it watches")
    profile = load_profile(on) if on is not None else None
    check_writable(results)
    take(asked, suite, results)
    if same_code:
        for kept in declare_same(asked, results):
            say(kept)
    set_aside_damaged(asked, results, say)
    if retrain_odd:
        set_aside_odd(asked, results, data, say)
    asked = as_counted(asked, results)
    for remark in changes(asked, results):
        say(remark)
    if not asked.scaled_down:
        state(as_counted(asked.whole, results), results, git_state(suite.absolute().parent))
    design = Design(asked, results)
    path = search_path(suite)
    mirror = BackgroundMirror(Mirror(asked, results, tracking_uri or default_uri(results)))
    mirror.start()
    try:
        with View(design.now(), results) as view:
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
                here(design.now().cells[0].runs, retry_failed=retry_failed)
            if on is None or profile is None:
                trained: Sequence[Run] = ()
                while (runs := design.now().runs()) != trained:
                    view.ask(design.now())
                    here(runs, retry_failed=retry_failed and not trained)
                    trained = runs
            else:
                cluster = Cluster(Slurm(), asked, results, data, profile, on, path, view.say, suite)
                train_there(cluster, view, view.ask, detach=detach, retry_failed=retry_failed)
    except KeyboardInterrupt:
        say("bench: stopped; what is finished is kept, and the same command goes on from here")
        raise typer.Exit(130) from None
    made, shown, written = write_report(design.now(), results, tracking_uri)
    mirror.finish(written, note_of(made))
    if detach:
        again = f"{suite} --scale {scale}" if scale != "full" else suite
        say(f"detached: `bench status {again}` says how it stands, the same command without --detach watches")
    if mirror.warning:
        say(f"warning: not mirrored: {mirror.warning}")
    print_blocks(made, shown.blocks(everything=everything), as_json)
    exit_1_if(any(cell.failed for cell in made.cells))


@app.command(rich_help_panel=TRAIN)
def freeze(suite: SuiteFile, results: Results = Path("results"), as_json: Json = False) -> None:
    """State the plan before any run: what will be judged, and how. Prints a digest to publish.

    `bench run` states it otherwise. Reports say whether they are as planned, or list what differs.
    """
    from bench.launch.text import frozen_text

    asked = load(suite, results)
    check_writable(results)
    take(asked, suite, results)
    stated = state(asked, results, git_state(suite.absolute().parent), frozen=True)
    print_document(stated, frozen_text(stated, asked, results), as_json)


@app.command(rich_help_panel=TRAIN)
def plan(
    suite: SuiteFile,
    on: On = None,
    seeds: Seeds = None,
    scale: ScaleTo = "full",
    results: Results = Path("results"),
    workers: Workers = None,
    device: Device = "auto",
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Print each cell's complete description instead, as YAML.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What would run, and how long it would take. Changes nothing.

    Where seeds are added until decided, also what that rule would do, simulated.
    """
    from bench.launch.executors.slurm import Slurm
    from bench.launch.plan import plan as make_plan
    from bench.launch.plan import plan_jobs
    from bench.launch.profile import load_profile
    from bench.launch.text import plan_text, resolved_text

    asked = load(suite, results, seeds, scale)
    if resolved:
        put(resolved_text(asked))
        return
    made = make_plan(asked, results, workers, device)
    if on is not None:
        made.jobs = plan_jobs(asked, results, Slurm(), load_profile(on), on)
    print_document(made, plan_text(made), as_json)


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

    asked = load(suite, results, seeds, scale, names=False)
    found = look(as_it_stands(asked, results), results)
    while watch and found.runs.waiting + found.runs.running:
        clear()
        put(status_text(found))
        time.sleep(5)
        found = look(as_it_stands(asked, results), results)
    print_document(found, status_text(found), as_json)
    exit_1_if(found.runs.failed or found.runs.damaged)


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

    path, text = end_of_log(load(suite, results, scale=scale, names=False), results, run, lines)
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

    asked = load(suite, results, scale=scale, names=False)
    ids, runs = to_cancel(asked, results, Slurm(), only_unasked=unasked)
    if not ids:
        say("nothing to cancel: no job of this suite is queued or running")
        return
    shown = ", ".join(ids[:5]) + (" …" if len(ids) > 5 else "")
    say(f"to be cancelled: {len(ids)} jobs with {runs} unfinished runs ({shown})")
    if not yes and not typer.confirm("cancel them?", err=True):
        raise typer.Exit(1)
    cancel_jobs(asked, results, Slurm(), ids)
    say("cancelled; `bench run` with the same profile goes on from what is finished")


@app.command(rich_help_panel=TRAIN)
def fetch(suite: SuiteFile, data: Data = Path("data")) -> None:
    """Download a suite's data sets, before nodes that have no network need them."""
    chosen = {entry.choice for entry in load(suite, None).datasets}
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
