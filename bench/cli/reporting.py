"""Verbs that show what was found: tables, pages, MLflow."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.app import MLFLOW, REPORT, app
from bench.cli.options import Column, Data, Everything, Json, Results, ScaleTo, Seeds, SuiteFile, TrackingUri
from bench.cli.shared import exit_1_if, print_blocks, put
from bench.errors import BenchError, unknown
from bench.front import reporting, sharing
from bench.front.asking import asking
from bench.home import take
from bench.sequential_design import as_it_stands
from bench.source import Source
from bench.statistics.verdicts import Word
from bench.visible import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.front.report import Report
    from bench.reports.blocks import Block
    from bench.scale import Scale
    from bench.suite import Suite


@app.command(rich_help_panel=REPORT)
def report(
    suite: SuiteFile,
    other: Annotated[
        str, typer.Argument(metavar="OTHER", help="A second suite, a results folder, or a report.json.")
    ] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every five seconds, until the end.")
    ] = False,
    seeds: Seeds = None,
    scale: ScaleTo = "full",
    results: Results = Path("results"),
    figures: Annotated[
        bool, typer.Option("--figures", help="Also draw figures: PDF, SVG, PNG, and on the page.")
    ] = False,
    everything: Everything = False,
    fail_on: Annotated[
        str, typer.Option(metavar="WORDS", help="Exit status 1 on such a verdict: inferior,undecided.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Tables and verdicts from what is finished, also while runs go on.

    SUITE may be a bundle, which is reported as it is, without the data or the code.

    With OTHER, both side by side: which cells changed, verdict and difference in each. Two suites stand in
    the order given. A results folder or a saved report.json is the suite as it was then, and comes first.
    """
    from bench.bundles.archive import is_bundle
    from bench.reports.render.terminal import clear, show

    barred = _words(fail_on)
    if other and barred:
        raise BenchError("--fail-on is about the verdicts of one suite: leave out either it or OTHER")
    if is_bundle(suite):
        sharing.check_alone(
            suite, OTHER=other, watch=watch, seeds=seeds, scale=scale != "full", figures=figures
        )
        report = sharing.report_of(suite)
        print_blocks(report.document, report.blocks(everything=everything), as_json)
        return _exit(report, barred)
    if other and watch:
        raise BenchError("--watch shows one suite as it runs: leave out either --watch or OTHER")
    source = Source.of(suite)
    with asking(source, results, seeds, scale, names=False) as asked:
        if other:
            return _beside(asked, suite, other, scale, results, as_json)
        try:
            report = reporting.look(asked, source, results, figures=figures)
            before: list[Block] = []
            while watch and report.coming:
                blocks = report.blocks(everything=everything)
                if not as_json and blocks != before:
                    clear()
                    show(blocks)
                before = blocks
                time.sleep(5)
                report = reporting.look(asked, source, results, figures=figures)
            if before and not as_json:
                clear()
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    print_blocks(report.document, report.blocks(everything=everything), as_json)
    _exit(report, barred)


def _exit(report: Report, barred: Sequence[str]) -> None:
    """By failed runs, and by verdicts that are not to be."""
    from bench.reports.formats import counted

    matching = [word for word in report.verdicts() if word in barred]
    if matching:
        say(f"--fail-on: {counted(len(matching), 'verdict')} of {', '.join(dict.fromkeys(matching))}")
    exit_1_if(report.failed or matching)


def _words(given: str) -> list[str]:
    """Verdicts that somebody has listed. Raises BenchError for a word that is none."""
    words = [word.strip() for word in given.split(",") if word.strip()]
    for word in words:
        if word not in [*Word]:
            raise BenchError(f"--fail-on: {unknown('verdict', word, [*Word])}")
    return words


def _beside(asked: Suite, suite: Path, other: str, scale: Scale, results: Path, as_json: bool) -> None:
    """Two reports side by side."""
    from bench.reports.diff import diff_blocks, diff_reports

    with contextlib.ExitStack() as reading:

        def read(path: Path) -> Suite:
            return reading.enter_context(asking(Source.of(path), results, scale=scale, names=False))

        pairs = diff_reports(asked, str(suite), other, read, results)
    print_blocks(pairs, diff_blocks(pairs), as_json)


@app.command(rich_help_panel=REPORT)
def compare(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="A table of results, or mlflow:EXPERIMENT.")
    ] = "",
    baseline: Annotated[str | None, typer.Option(help="The method that all others meet.")] = None,
    alpha: Annotated[
        float,
        typer.Option(help="Chance of any false alarm; and of each false equivalent."),
    ] = 0.05,
    margin: Annotated[
        float | None,
        typer.Option(
            help="What does not matter, in the metric's unit. Default: .1 points of accuracy, else none."
        ),
    ] = None,
    unpaired: Annotated[bool, typer.Option("--unpaired", help="Seeds have nothing in common.")] = False,
    folds: Annotated[
        int | None,
        typer.Option(metavar="K", help="Seeds are K folds of a cross-validation. Default: by the columns."),
    ] = None,
    total_images: Annotated[int | None, typer.Option(min=1, help="Test images of every run.")] = None,
    percent: Annotated[
        bool | None, typer.Option("--percent/--fraction", help="What accuracies are. Default: by size.")
    ] = None,
    claim: Annotated[
        tuple[float, float] | None, typer.Option(help="Two accuracies, in place of a file.")
    ] = None,
    method_column: Column = None,
    seed_column: Column = None,
    fold_column: Column = None,
    repeat_column: Column = None,
    metric_column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Any number; again for further ones. The first decides."),
    ] = None,
    lower_is_better: Annotated[
        bool | None,
        typer.Option("--lower-is-better/--higher-is-better", help="Default: by the metric's name."),
    ] = None,
    accuracy_column: Column = None,
    correct_column: Column = None,
    total_column: Column = None,
    dataset_column: Column = None,
    model_column: Column = None,
    image_column: Column = None,
    epoch_column: Column = None,
    epoch: Annotated[
        str | None,
        typer.Option(metavar="WHICH", help="Of a row an epoch: last, best, best:COLUMN or a number."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Only rows that have it; again for further ones."),
    ] = None,
    runs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Runs behind each mean ± deviation of a table.")
    ] = None,
    spread: Annotated[
        Literal["sd", "se"] | None,
        typer.Option(help="Behind ±: standard deviations or errors. Default: by the column's name, else sd."),
    ] = None,
    transpose: Annotated[
        bool | None,
        typer.Option("--transpose/--no-transpose", help="Methods are rows. Default: by the columns' names."),
    ] = None,
    decimal: Annotated[
        str | None, typer.Option(metavar="CHAR", help="What stands before decimals. Default: guessed.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(metavar="NAME", help="Of a text. Default: guessed.")] = None,
    sheet: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of an Excel file. Default: the first table.")
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Print a table to start from, or write it to FILE.")
    ] = False,
    results: Results = Path("results"),
    tracking_uri: TrackingUri = None,
    everything: Everything = False,
    as_json: Json = False,
) -> None:
    """The same statistics on anybody's results, or on a published claim.

    CSV, Excel, JSON, Parquet, standard input (-) or an MLflow experiment. Long form: a row a run, with its
    method, seed, and accuracy, or correct and total, or any other metric; optionally dataset and model; with
    image, a row for each image of a run, correct being 0 or 1. Wide form: a column a method. A run without a
    number because it failed says so: failed, diverged, OOM. With a column fold (and repeat), runs are folds
    of a cross-validation: they overlap, and are tested as such.
    """
    given = locals()
    from bench.comparisons.external.example import write_example
    from bench.comparisons.external.layout import Request, conditions
    from bench.reports.claim import claim_text, judge_claim

    if example:
        return write_example(source)
    if (claim is None) == (not source):
        raise BenchError("compare what? Give a FILE, or mlflow:EXPERIMENT, or --claim with two accuracies")
    if claim is not None:
        judged = judge_claim(*claim, total_images, alpha)
        return print_blocks(judged, claim_text(judged), as_json)
    request = Request.of(given, where=conditions(where or ()))
    table = reporting.read_results(source, results, tracking_uri, request, encoding=encoding, sheet=sheet)
    report = reporting.compare(source, table, request)
    print_blocks(report.document, report.blocks(everything=everything), as_json)


@app.command(rich_help_panel=MLFLOW)
def track(
    suite: SuiteFile,
    seeds: Seeds = None,
    scale: ScaleTo = "full",
    results: Results = Path("results"),
    data: Data = Path("data"),
    models: Annotated[
        bool, typer.Option("--models", help="Also models, of finished runs that kept their weights.")
    ] = False,
    tracking_uri: TrackingUri = None,
) -> None:
    """Mirror a suite's run folders into MLflow. As often as you like: only what changed is written."""
    from bench.tracking.mirror import Mirror
    from bench.tracking.record import look_at
    from bench.tracking.store import default_uri, shown

    source = Source.of(suite)
    with asking(source, results, seeds, scale, names=False) as asked:
        take(asked, source, results)
        mirror = Mirror(asked, results, tracking_uri or default_uri(results))
        synced = mirror.sync(aloud=True)
        now = as_it_stands(asked, results)
        report, _, written = reporting.write_report(now, results, tracking_uri)
        if written:
            mirror.attach_report(written, reporting.answer_of(report))
        logged = f", {mirror.log_models(data)} models" if models else ""
        counts = f"{synced.created} runs created, {synced.updated} updated, {synced.unchanged} unchanged"
        waiting = sum(look_at(results / "runs" / run.id) is None for run in now.runs())
        counts += logged
        if synced.deleted:
            counts += f", {synced.deleted} deleted in MLflow, which stay deleted"
        put(f"{counts} in {shown(mirror.uri)}{f'; {waiting} have not begun' if waiting else ''}")
        if mirror.remark:
            say(f"MLflow: {mirror.remark}")


@app.command("export-logs", rich_help_panel=MLFLOW)
def export_logs(
    suite: SuiteFile,
    tensorboard: Annotated[
        Path, typer.Option("--tensorboard", metavar="DIR", help="Event files, a folder for each run.")
    ],
    seeds: Seeds = None,
    scale: ScaleTo = "full",
    results: Results = Path("results"),
) -> None:
    """Write a suite's curves, scores and descriptions for TensorBoard, from the run folders."""
    from bench.tracking import tensorboard as logs

    with asking(Source.of(suite), results, seeds, scale, names=False) as asked:
        count = logs.export_logs(asked, results, tensorboard)
    put(f"{count} runs in {tensorboard}; tensorboard --logdir {tensorboard} shows them")


@app.command(rich_help_panel=MLFLOW)
def ui(
    suite: Annotated[Path | None, typer.Argument(metavar="SUITE", help="Open on its runs.")] = None,
    scale: ScaleTo = "full",
    results: Results = Path("results"),
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Open MLflow's own user interface on what was mirrored. Ctrl-C ends it. Of a server: say the address."""
    from bench.tracking.mirror import Mirror
    from bench.tracking.store import check_store, default_uri, is_server, shown, ui_command

    with contextlib.ExitStack() as reading:
        asked = None
        if suite is not None:
            asked = reading.enter_context(asking(Source.of(suite), results, scale=scale, names=False))
        uri = tracking_uri or default_uri(results)
        there = is_server(uri) and asked is not None
        command = [] if there else ui_command(results, uri, port)
        page = shown(uri).rstrip("/") if there else f"http://127.0.0.1:{port}"
        if asked is not None:
            mirror = Mirror(asked, results, uri)
            mirror.sync(aloud=True)
            own = mirror.own_page(page)
            page = mirror.page(page)
            if own:
                say(f"the suite's own run, with its report and figures: {own}")
        else:
            check_store(uri)  # the server would retry for minutes, and print the address
    if there:
        return say(f"the suite's runs: {page}")
    say(f"MLflow opens in some seconds at {page}")
    os.execvp(command[0], command)
