"""The command: one short function a verb."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import BaseModel

from bench import suite as suites
from bench.errors import BenchError
from bench.launch.preflight import check_data, check_names
from bench.results import check_writable
from bench.suite import Suite

if TYPE_CHECKING:
    from bench.reports.comparison import Report

app = typer.Typer(
    help="Is one training loss really better than another? A suite file goes in, verdicts come out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SuiteFile = Annotated[Path, typer.Argument(metavar="SUITE", help="The suite's YAML file.")]
Seeds = Annotated[int | None, typer.Option(min=1, help="Use this many seeds instead of the suite's.")]
Results = Annotated[Path, typer.Option(envvar="BENCH_RESULTS", help="Folder of run folders and tables.")]
Data = Annotated[Path, typer.Option(envvar="BENCH_DATA", help="Folder of the data sets.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes. Default: one a GPU, or one a core.")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where runs are trained.")]
On = Annotated[Path | None, typer.Option("--on", metavar="PROFILE", help="Cluster profile: slurm/*.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        envvar="MLFLOW_TRACKING_URI", help="MLflow store. Default: mlflow.db in the results folder."
    ),
]


Column = Annotated[str | None, typer.Option(metavar="NAME", help="Default: guessed.", show_default=False)]


@app.command()
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
    results: Results = Path("results"),
    data: Data = Path("data"),
    workers: Workers = None,
    device: Device = "auto",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Train failed runs again.")] = False,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Train what a suite is missing, watch, mirror into MLflow, and report. Run it again to continue."""
    from bench.launch.cluster import Cluster, train_there
    from bench.launch.local import train_here
    from bench.launch.profile import load_profile
    from bench.launch.view import View
    from bench.tracking.mirror import BackgroundMirror, Mirror
    from bench.tracking.store import default_uri

    asked = _load(suite, seeds)
    if detach and on is None:
        raise BenchError("--detach needs --on PROFILE: on this machine, bench trains while it watches")
    profile = load_profile(on) if on is not None else None
    check_writable(results)
    path = _search_path(suite)
    mirror = BackgroundMirror(Mirror(asked, results, tracking_uri or default_uri(results)))
    mirror.start()
    try:
        with View(asked, results) as view:
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
                retry_failed=retry_failed,
            )
            if first:
                here(asked.cells[0].runs)
            if on is None or profile is None:
                here(asked.runs())
            else:
                cluster = Cluster(asked, results, data, profile, on, path, view.say)
                train_there(cluster, view, detach=detach, retry_failed=retry_failed)
    except KeyboardInterrupt:
        _say("bench: stopped; what is finished is kept, and the same command goes on from here")
        raise typer.Exit(130) from None
    made, text, written = _write_report(asked, results, tracking_uri)
    mirror.finish(written, text)
    if detach:
        _say(
            f"detached: `bench status {suite}` says how it stands, the same command without --detach watches"
        )
    if mirror.warning:
        _say(f"warning: not mirrored: {mirror.warning}")
    _print_report(made, text, as_json)
    _exit_1_if(any(cell.failed for cell in made.cells))


@app.command()
def plan(
    suite: SuiteFile,
    on: On = None,
    seeds: Seeds = None,
    results: Results = Path("results"),
    workers: Workers = None,
    device: Device = "auto",
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Print each cell's complete description instead, as YAML.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What would run: cells, done and missing runs, workers, and the hours it would take. Changes nothing."""
    from bench.launch.plan import plan as make_plan
    from bench.launch.plan import plan_jobs
    from bench.launch.profile import load_profile
    from bench.launch.text import plan_text, resolved_text

    asked = _load(suite, seeds)
    if resolved:
        print(resolved_text(asked))
        return
    made = make_plan(asked, results, workers, device)
    if on is not None:
        made.jobs = plan_jobs(asked, results, load_profile(on), on)
    _print(made, plan_text(made), as_json)


@app.command()
def status(
    suite: SuiteFile,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every five seconds, until the end.")
    ] = False,
    seeds: Seeds = None,
    results: Results = Path("results"),
    as_json: Json = False,
) -> None:
    """How a suite and its jobs stand: done, running, waiting, failed and why. Changes nothing."""
    from bench.launch.status import status as look
    from bench.launch.text import status_text

    asked = _load(suite, seeds, names=False)
    found = look(asked, results)
    while watch and found.runs.waiting + found.runs.running:
        clear = "\x1b[H\x1b[2J" if sys.stdout.isatty() else ""
        print(clear + status_text(found), flush=True)
        time.sleep(5)
        found = look(asked, results)
    _print(found, status_text(found), as_json)
    _exit_1_if(found.runs.failed or found.runs.damaged)


@app.command()
def logs(
    suite: SuiteFile,
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Id of a run, or how it begins.")] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 30,
    results: Results = Path("results"),
) -> None:
    """The end of a job's log: of the job that trained a run last, or of the job that wrote last."""
    from bench.launch.logs import find_log, tail

    path = find_log(_load(suite, names=False), results, run)
    _say(str(path))
    print(tail(path, lines))


@app.command()
def cancel(
    suite: SuiteFile,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    unasked: Annotated[
        bool, typer.Option("--unasked", help="Only jobs with nothing that the suite still asks for.")
    ] = False,
    results: Results = Path("results"),
) -> None:
    """Cancel a suite's jobs on the cluster, after asking. Finished runs and checkpoints stay."""
    from bench.launch import slurm
    from bench.launch.queue import to_cancel

    asked = _load(suite, names=False)
    ids, runs = to_cancel(asked, results, only_unasked=unasked)
    if not ids:
        _say("nothing to cancel: no job of this suite is queued or running")
        return
    shown = ", ".join(ids[:5]) + (" …" if len(ids) > 5 else "")
    _say(f"to be cancelled: {len(ids)} jobs with {runs} unfinished runs ({shown})")
    if not yes and not typer.confirm("cancel them?", err=True):
        raise typer.Exit(1)
    slurm.cancel(ids)
    _say("cancelled; `bench run` with the same profile goes on from what is finished")


@app.command()
def report(
    suite: SuiteFile,
    other: Annotated[
        str, typer.Argument(metavar="[OTHER]", help="A second suite, a results folder, or a report.json.")
    ] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every five seconds, until the end.")
    ] = False,
    seeds: Seeds = None,
    results: Results = Path("results"),
    figures: Annotated[
        bool, typer.Option("--figures", help="Also draw figures: PDF, SVG, PNG, and on the page.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tables and verdicts from what is finished, also while the suite is still running.

    With OTHER, both side by side: which cells changed, verdict and difference in each. Two suites stand in
    the order given. A results folder or a saved report.json is the suite as it was then, and comes first.
    """
    from bench.reports.beside import beside, lay_beside
    from bench.reports.terminal import clear, show

    asked = _load(suite, seeds, names=False)
    if other and watch:
        raise BenchError("--watch shows one suite as it runs: leave out either --watch or OTHER")
    if other:
        pairs = lay_beside(asked, str(suite), other, partial(_load, names=False), results)
        return _print_report(pairs, beside(pairs), as_json)
    try:
        made, text, going_on = _look(asked, results, figures)
        shown = ""
        while watch and going_on:
            if not as_json and text != shown:
                clear()
                show(text)
            shown = text
            time.sleep(5)
            made, text, going_on = _look(asked, results, figures)
        if shown and not as_json:
            clear()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    _print_report(made, text, as_json)
    _exit_1_if(any(cell.failed for cell in made.cells))


@app.command()
def compare(
    source: Annotated[str, typer.Argument(metavar="[FILE]", help="Or mlflow:EXPERIMENT.")] = "",
    baseline: Annotated[str | None, typer.Option(help="The method that all others meet.")] = None,
    alpha: Annotated[float, typer.Option(help="Chance of a false alarm among all comparisons.")] = 0.05,
    margin: Annotated[float, typer.Option(help="Accuracy points that do not matter.")] = 0.1,
    unpaired: Annotated[bool, typer.Option("--unpaired", help="Seeds have nothing in common.")] = False,
    total_images: Annotated[int | None, typer.Option(min=1, help="Test images of every run.")] = None,
    percent: Annotated[bool | None, typer.Option("--percent/--fraction", help="Default: by size.")] = None,
    claim: Annotated[tuple[float, float] | None, typer.Option(help="Two accuracies; no file.")] = None,
    method_column: Column = None,
    seed_column: Column = None,
    accuracy_column: Column = None,
    correct_column: Column = None,
    total_column: Column = None,
    dataset_column: Column = None,
    model_column: Column = None,
    image_column: Column = None,
    results: Results = Path("results"),
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """The statistics of a report on anybody's results: CSV, Parquet, JSON Lines or an MLflow experiment.

    Long form: a row a run, with its method, seed, and accuracy or correct and total; optionally dataset and
    model; with image, a row for each image of a run, correct being 0 or 1. Wide form: a column a method.
    """
    from bench.reports.claim import claim_text, judge_claim
    from bench.reports.compare import Request, compare_table
    from bench.reports.tables import read_table
    from bench.reports.text import compared
    from bench.tracking.experiment import read_experiment
    from bench.tracking.store import default_uri

    if (claim is None) == (not source):
        raise BenchError("compare what? Give a FILE, or mlflow:EXPERIMENT, or --claim with two accuracies")
    if claim is not None:
        judged = judge_claim(*claim, total_images, alpha)
        return _print(judged, claim_text(judged), as_json)
    columns = {
        **{"method": method_column, "seed": seed_column, "dataset": dataset_column, "model": model_column},
        **{"accuracy": accuracy_column, "correct": correct_column, "total": total_column},
        "image": image_column,
    }
    request = Request(baseline, alpha, margin, not unpaired, total_images, percent, columns)
    uri = tracking_uri or default_uri(results)
    table = read_experiment(source, uri) if source.startswith("mlflow:") else read_table(Path(source))
    made = compare_table(source, table, request)
    _print_report(made, compared(made), as_json)


@app.command()
def track(
    suite: SuiteFile,
    seeds: Seeds = None,
    results: Results = Path("results"),
    tracking_uri: TrackingUri = None,
) -> None:
    """Mirror a suite's run folders into MLflow. As often as you like: only what changed is written."""
    from bench.tracking.mirror import Mirror
    from bench.tracking.store import default_uri

    asked = _load(suite, seeds, names=False)
    mirror = Mirror(asked, results, tracking_uri or default_uri(results))
    synced = mirror.sync()
    _, text, written = _write_report(asked, results, tracking_uri)
    mirror.attach_report(written, text)
    counts = f"{synced.created} runs created, {synced.updated} updated, {synced.unchanged} unchanged"
    print(f"{counts} in {mirror.uri}")


@app.command()
def ui(
    suite: Annotated[Path | None, typer.Argument(metavar="[SUITE]", help="Open on its runs.")] = None,
    results: Results = Path("results"),
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Open MLflow's own user interface on what was mirrored. Ctrl-C ends it."""
    from bench.tracking.mirror import Mirror
    from bench.tracking.store import default_uri, ui_command

    uri = tracking_uri or default_uri(results)
    command = ui_command(results, uri, port)
    page = f"http://127.0.0.1:{port}"
    if suite is not None:
        mirror = Mirror(_load(suite, names=False), results, uri)
        mirror.sync()
        page = mirror.page(page)
    _say(f"MLflow opens in some seconds at {page}")
    os.execvp(command[0], command)


@app.command()
def fetch(suite: SuiteFile, data: Data = Path("data")) -> None:
    """Download a suite's data sets, on a machine that has a network, before the nodes need them."""
    chosen = {entry.choice for entry in _load(suite).datasets}
    check_data(chosen, data, _say)
    _say(f"in place: {', '.join(sorted(choice.name for choice in chosen))}")


@app.command()
def doctor(
    results: Results = Path("results"),
    data: Data = Path("data"),
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Can this machine run it: torch and torchvision, devices, Slurm, MLflow, data sets."""
    from bench.doctor import diagnose, diagnosis_text

    diagnosis = diagnose(results, data, tracking_uri)
    _print(diagnosis, diagnosis_text(diagnosis), as_json)
    _exit_1_if(not diagnosis.healthy)


# ------------------------------------------------------------------------------------- shared by the verbs


def _load(path: Path, seeds: int | None = None, *, names: bool = True) -> Suite:
    """Read a suite; ``names``: also ask libraries and the user's modules whether they have what it names."""
    sys.path[:0] = _search_path(path)
    asked = suites.load(path, seeds)
    if names:
        check_names(asked)
    return asked


def _search_path(path: Path) -> list[str]:
    """A user's own modules lie beside the suite, or in the folder where the command was given."""
    return [str(path.parent.absolute()), str(Path.cwd())]


def _write_report(
    asked: Suite, results: Path, tracking_uri: str | None = None, *, figures: bool = False
) -> tuple[Report, str, list[Path]]:
    from bench.reports import files
    from bench.reports.comparison import report_and_agreement
    from bench.reports.html import page
    from bench.reports.html.runs import list_runs
    from bench.reports.methods import paper
    from bench.reports.text import markdown
    from bench.results import frame
    from bench.tracking.links import link_to_runs
    from bench.tracking.store import default_uri

    runs = frame(results, asked.cells)
    made, agreement = report_and_agreement(asked, results, runs)
    link = link_to_runs(asked, tracking_uri or default_uri(results))
    drawn = _draw_figures(asked, results, made) if figures else []
    shown = page(made, list_runs(asked, results, runs, link), drawn)
    texts = paper(asked, results, made)
    return made, markdown(made), files.write(made, results / asked.name, agreement, shown, texts)


def _draw_figures(asked: Suite, results: Path, made: Report) -> list[tuple[str, str, str]]:
    """Title, text for those who do not see it, and SVG of each figure."""
    from bench.reports.figures import draw

    folder = results / asked.name / "figures"
    _say(f"drawing figures into {folder}")
    drawn = draw(made, asked, results, folder)
    for story, reason in drawn.skipped.items():
        _say(f"not drawn: {story}: {reason}")
    return [(made.title, made.alt, made.paths["svg"].read_text("utf-8")) for made in drawn.drawings]


def _look(asked: Suite, results: Path, figures: bool) -> tuple[Report, str, bool]:
    """The report, its text with what is still to come, and whether anything is."""
    from bench.launch.status import status
    from bench.reports.terminal import still_to_come

    made, text, _ = _write_report(asked, results, figures=figures)
    coming = [] if made.complete else still_to_come(status(asked, results))
    return made, "\n".join([text, *coming, *([""] if coming else [])]), bool(coming)


def _print_report(document: BaseModel, text: str, as_json: bool) -> None:
    """As :func:`_print`, drawn where there is a terminal."""
    from bench.reports.terminal import show

    if as_json:
        return _print(document, text, as_json)
    show(text)


def _print(document: BaseModel, text: str, as_json: bool) -> None:
    print(document.model_dump_json(indent=1) if as_json else text)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _exit_1_if(trouble: object) -> None:
    if trouble:
        raise typer.Exit(1)


def main() -> None:
    """Entry point: a wrong request gets one message and exit status 2, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # which may speak less than Unicode
            stream.reconfigure(errors="replace")
    try:
        app()
    except BenchError as error:
        sys.exit(_fail(str(error), 2))
    except OSError as error:
        where = error.filename or "a file could not be read or written"
        sys.exit(_fail(f"{where}: {error.strerror or error}", 2))


def _fail(message: str, status: int) -> int:
    _say(f"bench: {message}")
    return status


if __name__ == "__main__":
    main()
