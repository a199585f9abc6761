"""What was found: of a suite, written into its folder, or in somebody's table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.front.asking import asking
from bench.front.report import Report
from bench.home import take
from bench.registry import describe
from bench.scale import Scale
from bench.sequential_design import as_it_stands
from bench.source import Source
from bench.suite import Suite
from bench.visible import say

if TYPE_CHECKING:
    import pandas as pd

    from bench.comparisons.external.layout import Request
    from bench.launch.status import Status
    from bench.reports.blocks import Document, Figure, Notes
    from bench.reports.schema import Report as Made
    from bench.tracking.answer import Answer


def report(
    source: Source,
    seeds: int | None = None,
    scale: Scale = "full",
    results: Path = Path("results"),
    figures: bool = False,
) -> Report:
    """Tables and verdicts from what is finished, also while runs go on; writes them into the suite's folder.

    Raises:
        BenchError: the suite, or a metric of the user's own, does not hold.
    """
    with asking(source, results, seeds, scale, names=False) as asked:
        return look(asked, source, results, figures=figures)


def look(asked: Suite, source: Source, results: Path, *, figures: bool = False) -> Report:
    """The same of a suite that has been read. MLflow gets the figures."""
    from bench.launch.status import status

    if asked.is_look and figures:
        raise BenchError("--figures draws the report: leave out --seeds, which makes a look at a part of it")
    now = as_it_stands(asked, results)
    report, summary, written = write_report(now, results, figures=figures)
    if figures:
        _show_in_mlflow(now, results, report, written)
    if not asked.is_look:
        take(asked, source, results)
    return Report(report, summary, [] if report.complete else still_to_come(status(now, results), report))


def compare(
    name: str, table: pd.DataFrame, request: Request, words: Callable[[str], str] = lambda text: text
) -> Report:
    """The comparisons of a report on anybody's results.

    Args:
        name: what messages call the table.
        words: how options are named to whoever asks.

    Raises:
        BenchError: what is asked cannot be: names column, row, what was found and what is allowed.
    """
    from bench.reports.document import document
    from bench.reports.external import compare_table

    compared = compare_table(name, table, request)
    compared = compared.model_copy(
        update={
            "answer": words(compared.answer),
            "reading": words(compared.reading),
            **{name: tuple(map(words, getattr(compared, name))) for name in ("guessed", "notes")},
        }
    )
    for guess in compared.guessed:
        say(guess)
    return Report(compared, document(compared))


def read_results(
    source: str,
    results: Path,
    tracking_uri: str | None,
    request: Request,
    *,
    encoding: str | None = None,
    sheet: str | None = None,
) -> pd.DataFrame:
    """Somebody's table: a file, standard input, or ``mlflow:EXPERIMENT``.

    Args:
        request: a question about epochs needs those of an experiment.
        encoding: of a text; None: guessed.
        sheet: of an Excel file; None: the first that holds a table.

    Raises:
        BenchError: there is none, or it cannot be read.
    """
    if source.startswith("mlflow:"):
        from bench.tracking.experiment import read_experiment
        from bench.tracking.store import default_uri

        uri = tracking_uri or default_uri(results)
        return read_experiment(source, uri, every_step=request.epoch is not None)
    from bench.comparisons.external.reading import read_table

    return read_table(source, encoding=encoding, sheet=sheet)


def as_table(frame: Any) -> pd.DataFrame:
    """A DataFrame as :func:`read_results` would give it: what its index names are columns.

    Raises:
        BenchError: it is none, is empty, or has no name of its own for each column.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise BenchError(f"bench.compare: found {describe(frame)}, expected a pandas DataFrame or a path")
    if frame.columns.nlevels > 1:
        raise BenchError("data frame: its columns have names of several levels; expected one name each")
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    table = (frame.reset_index(level=named) if named else frame).reset_index(drop=True).rename(columns=str)
    for column, count in table.columns.value_counts().items():
        if count > 1:
            raise BenchError(
                f"data frame: {count} columns are called '{column}'; every column needs its own name"
            )
    if table.empty:
        raise BenchError(
            f"data frame: there are columns ({', '.join(table.columns)}), but no rows"
            if len(table.columns)
            else "data frame: it is empty"
        )
    return table


def write_report(
    asked: Suite, results: Path, tracking_uri: str | None = None, *, figures: bool = False
) -> tuple[Made, Document, list[Path]]:
    """Write all that a report has into the suite's folder: the report, its document, and the files.

    A look at a part of the seeds is written nowhere: the report stays.
    """
    from bench.reports import files
    from bench.reports.build import report_and_agreement
    from bench.reports.document import document
    from bench.reports.html import page
    from bench.reports.html.runs import list_runs
    from bench.reports.methods import paper
    from bench.results.reading import frame
    from bench.tracking.links import link_to_runs
    from bench.tracking.store import default_uri

    runs = frame(results, asked.cells, check_details=asked.needs_details)
    report, agreement = report_and_agreement(asked, results, runs)
    if asked.is_look:
        return report, document(report), []
    link = link_to_runs(asked, results, tracking_uri or default_uri(results))
    drawn = _draw_figures(asked, results, report) if figures else []
    html = page(report, list_runs(asked, results, runs, link), drawn)
    texts = paper(asked, results, report)
    written = files.write(report, results / asked.name, agreement, html, texts)
    # Figures from before the last run finished do not show what the report says.
    last = runs.finished.max()
    current = [file for file in _figures(results / asked.name / "figures") if not file.stat().st_mtime < last]
    return report, document(report), [*written, *current]


def _figures(folder: Path) -> list[Path]:
    """Those that lie there. MLflow gets them, and must not get what a link leads to."""
    there = [] if folder.is_symlink() else sorted(folder.glob("*.*"))
    return [file for file in there if file.is_file() and not file.is_symlink()]


def _draw_figures(asked: Suite, results: Path, report: Made) -> list[Figure]:
    """The figures as the page shows them."""
    from bench.reports.blocks import Figure
    from bench.reports.figures import draw

    folder = results / asked.name / "figures"
    say(f"drawing figures into {folder}")
    drawn = draw(report, asked, results, folder)
    for story, reason in drawn.skipped.items():
        say(f"not drawn: {story}: {reason}")
    return [
        Figure(drawing.title, drawing.alt, drawing.paths["svg"].read_text("utf-8"))
        for drawing in drawn.drawings
    ]


def _show_in_mlflow(asked: Suite, results: Path, report: Made, written: list[Path]) -> None:
    """Put the report where the suite is mirrored already. Where that fails, there is still a report."""
    from bench.tracking.mirror import Mirror
    from bench.tracking.store import TrackingError, default_uri, may_hold_runs

    uri = default_uri(results)
    try:
        if may_hold_runs(uri) and Mirror(asked, results, uri).renew_report(written, answer_of(report)):
            say(f"the report and its figures are in MLflow: bench ui shows them on the run '{asked.name}'")
    except TrackingError as error:
        say(f"warning: not in MLflow: {error}")


def answer_of(report: Made) -> Answer:
    """What MLflow says of a suite: its Markdown is shown as HTML."""
    from bench.reports.answer import cautions
    from bench.reports.document import document
    from bench.reports.render.markdown import markdown
    from bench.tracking.answer import BASELINE, Answer, names_of_numbers
    from bench.tracking.text import key_of

    verdicts = {
        cell.key: BASELINE for cell in report.cells if cell.loss == report.baseline and not report.optimistic
    }
    before = names_of_numbers([cell.key[:2] for cell in report.cells])
    numbers: dict[str, float | None] = {}
    for comparison in report.comparisons:
        if comparison.metric != report.metrics[0].name:
            continue
        verdict = comparison.verdict
        if verdict is not None:
            verdicts[comparison.key] = verdict.phrase
        name, delta = f"{before[comparison.key[:2]]}{key_of(comparison.loss)}", comparison.shown
        numbers |= {f"{name}/delta": comparison.delta, f"{name}/p": verdict.p if verdict else None}
        if delta is not None:
            numbers |= {f"{name}/interval_low": delta.low, f"{name}/interval_high": delta.high}
    return Answer(
        report.question,
        " ".join([*cautions(report), report.answer]),
        markdown(document(report).blocks(everything=False), html=True),
        verdicts,
        {key: number for key, number in numbers.items() if number is not None},
    )


def still_to_come(status: Status, report: Made) -> list[Notes]:
    """What runs and what waits, and why it waits again; nothing where nothing does."""
    from bench.reports.blocks import Notes

    notes = [remark for remark in status.remarks if remark not in report.notes]
    for state in ("running", "waiting"):
        counts = [(getattr(cell, state), cell) for cell in status.cells]
        where = [f"{c.dataset} × {c.model} × {c.loss} {count}" for count, c in counts if count]
        if where:
            more = f", and {len(where) - 6} more cells" if len(where) > 6 else ""
            notes.append(f"{state}: {getattr(status.runs, state):,} runs ({', '.join(where[:6])}{more})")
    return [Notes(tuple(notes))] if notes else []
