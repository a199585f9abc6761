"""What the verbs share: reading a suite, writing its report, printing, exit status."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydantic import BaseModel

from bench import home
from bench import suite as suites
from bench.design import as_it_stands
from bench.disk import strangers
from bench.launch.preflight import check_names
from bench.scale import Scale, tiny
from bench.suite import Suite
from bench.versions import as_counted, unseen
from bench.visible import visible, visible_json

if TYPE_CHECKING:
    from bench.launch.status import Status
    from bench.reports.blocks import Block, Document, Figure, Notes
    from bench.reports.schema import Report


def load(
    path: Path,
    results: Path | None,
    seeds: int | None = None,
    scale: Scale = "full",
    *,
    names: bool = True,
) -> Suite:
    """Read a suite, with those finished runs in ``results`` that count for it; None: none do.

    Where there are none, it is said where else they lie.

    Args:
        names: also ask libraries and the user's modules whether they have what it names. Who does so may be
            about to train for the first time: that there is no run yet is then no news.

    Raises:
        BenchError: the suite does not hold, or its folder is that of another suite.
    """
    find_modules(search_path(path))
    asked = suites.load(path, seeds)
    if scale == "tiny":
        asked = tiny(asked, seeds)
    if results is not None:
        home.check_owner(asked, path, results)
        asked = as_counted(asked, results)
        if not home.has_runs(asked, results):
            _say_where_else(asked, path, results, news=not names)
    if names:
        with unseen(asked) as remarks:
            check_names(asked)
        for remark in remarks:
            say(remark)
    return asked


def _say_where_else(asked: Suite, path: Path, results: Path, *, news: bool) -> None:
    """No run of a suite is where it was looked for: if that is news, or if another folder has some."""
    found = home.nearest(asked, path)
    if found is None and not news:
        return
    gone = "" if results.is_dir() else " (the folder does not exist)"
    there = f"; the nearest are in {found}" if found else ", nor in any results/ nearby"
    say(
        f"{results.absolute()}: no run of '{asked.name}'{gone}{there}; "
        "--results or BENCH_RESULTS says where they are"
    )


def search_path(path: Path) -> list[str]:
    """A user's own modules lie beside the suite, or in the folder where the command was given."""
    return [str(path.parent.absolute()), str(Path.cwd())]


def find_modules(places: Sequence[str]) -> None:
    """Let modules be imported from these folders, before others; says whose they are, if not ours."""
    for remark in strangers(map(Path, places)):
        say(remark)
    sys.path[:0] = places


def write_report(
    asked: Suite, results: Path, tracking_uri: str | None = None, *, figures: bool = False
) -> tuple[Report, Document, list[Path]]:
    """Write all that a report has into the suite's folder: the report, its document, and the files.

    A look at a part of the seeds is written nowhere: the report stays.
    """
    from bench.reports import files
    from bench.reports.build import report_and_agreement
    from bench.reports.document import document
    from bench.reports.html import page
    from bench.reports.html.runs import list_runs
    from bench.reports.methods import paper
    from bench.results import frame
    from bench.tracking.links import link_to_runs
    from bench.tracking.store import default_uri

    runs = frame(results, asked.cells, check_details=asked.needs_details)
    made, agreement = report_and_agreement(asked, results, runs)
    if asked.is_look:
        return made, document(made), []
    link = link_to_runs(asked, results, tracking_uri or default_uri(results))
    drawn = _draw_figures(asked, results, made) if figures else []
    shown = page(made, list_runs(asked, results, runs, link), drawn)
    texts = paper(asked, results, made)
    written = files.write(made, results / asked.name, agreement, shown, texts)
    # Figures from before the last run finished do not show what the report says.
    last = runs.finished.max()
    current = [file for file in _figures(results / asked.name / "figures") if not file.stat().st_mtime < last]
    return made, document(made), [*written, *current]


def _figures(folder: Path) -> list[Path]:
    """Those that lie there. MLflow gets them, and must not get what a link leads to."""
    there = [] if folder.is_symlink() else sorted(folder.glob("*.*"))
    return [file for file in there if file.is_file() and not file.is_symlink()]


def _draw_figures(asked: Suite, results: Path, made: Report) -> list[Figure]:
    """The figures as the page shows them."""
    from bench.reports.blocks import Figure
    from bench.reports.figures import draw

    folder = results / asked.name / "figures"
    say(f"drawing figures into {folder}")
    drawn = draw(made, asked, results, folder)
    for story, reason in drawn.skipped.items():
        say(f"not drawn: {story}: {reason}")
    return [Figure(made.title, made.alt, made.paths["svg"].read_text("utf-8")) for made in drawn.drawings]


def _show_in_mlflow(asked: Suite, results: Path, made: Report, written: list[Path]) -> None:
    """Put the report where the suite is mirrored already. Where that fails, there is still a report."""
    from bench.tracking.mirror import Mirror
    from bench.tracking.store import TrackingError, default_uri, may_hold_runs

    uri = default_uri(results)
    try:
        if may_hold_runs(uri) and Mirror(asked, results, uri).renew_report(written, note_of(made)):
            say(f"the report and its figures are in MLflow: bench ui shows them on the run '{asked.name}'")
    except TrackingError as error:
        say(f"warning: not in MLflow: {error}")


def note_of(made: Report) -> str:
    """What MLflow's page of a suite says: its Markdown is shown as HTML."""
    from bench.reports.document import document
    from bench.reports.render.markdown import markdown

    return markdown(document(made).blocks(everything=False), html=True)


def look(asked: Suite, results: Path, figures: bool) -> tuple[Report, Document, list[Notes]]:
    """The report, its document, and what is still to come. MLflow gets the figures."""
    from bench.launch.status import status

    asked = as_it_stands(asked, results)
    made, shown, written = write_report(asked, results, figures=figures)
    if figures:
        _show_in_mlflow(asked, results, made, written)
    return made, shown, [] if made.complete else still_to_come(status(asked, results), made)


def still_to_come(status: Status, made: Report) -> list[Notes]:
    """What runs and what waits, and why it waits again; nothing where nothing does."""
    from bench.reports.blocks import Notes

    notes = [remark for remark in status.remarks if remark not in made.notes]
    for state in ("running", "waiting"):
        counts = [(getattr(cell, state), cell) for cell in status.cells]
        where = [f"{c.dataset} × {c.model} × {c.loss} {count}" for count, c in counts if count]
        if where:
            more = f", and {len(where) - 6} more cells" if len(where) > 6 else ""
            notes.append(f"{state}: {getattr(status.runs, state):,} runs ({', '.join(where[:6])}{more})")
    return [Notes(tuple(notes))] if notes else []


def print_blocks(document: BaseModel, blocks: Iterable[Block], as_json: bool) -> None:
    """One JSON document; or blocks, drawn where there is a terminal, and as Markdown elsewhere."""
    from bench.reports.render.terminal import show

    if as_json:
        return print_document(document, "", as_json)
    show(blocks)


def print_document(document: BaseModel, text: str, as_json: bool) -> None:
    """One JSON document, or the text for a person."""
    if as_json:
        print(visible_json(document.model_dump_json(indent=1)))
    else:
        put(text)


def put(text: str) -> None:
    """What was asked for, on standard output."""
    print(visible(text), flush=True)


def say(message: str) -> None:
    """Tell a person, on standard error."""
    print(visible(message), file=sys.stderr, flush=True)


@contextlib.contextmanager
def watched(things: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where it is a terminal; call what this yields with how many are done since."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(things, total=total)
        yield lambda done: progress.advance(task, done)


def exit_1_if(trouble: object) -> None:
    """Exit status 1: some runs failed, or a check did not hold."""
    if trouble:
        raise typer.Exit(1)
