"""A suite and its finished runs → one file."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.bundles import archive, crate, measured, own_code, reading
from bench.bundles.comparing import differences
from bench.bundles.reading import RESOLVED, RESULTS, WEIGHTS
from bench.bundles.resolved import resolved
from bench.disk import exists, read, write_atomically, write_json
from bench.environment import Environment, libraries, trained_with
from bench.errors import BenchError
from bench.progress import watched
from bench.reports import files as report_files
from bench.reports.build import report
from bench.results.folder import RunFolder
from bench.sequential_design import as_it_stands
from bench.source import Source
from bench.suite import Suite
from bench.visible import say
from bench.yaml_file import write_yaml

KEPT = ("run.json", "metrics.jsonl", "predictions.npz", "predictions.npy", "result.json", "failure.json")
"""Of a run folder; what else lies there stays."""
README = """# {suite}: a study that verifies itself

{question}

{answer}

`results/{suite}/report.html` is the report: open it in a browser. `suite/{suite}.yaml` is what was asked, and
`results/runs/` what every run answered to every test image.

    pip install lossbench
    bench report {name}             # the same tables, from the run folders
    bench bundle --verify {name}    # computes every number again, and compares the bits

Neither needs the data, or runs any code of the study.
"""


def bundle(suite: Suite, source: Source, results: Path, output: Path, *, weights: bool = False) -> Path:
    """Write the bundle of a suite.

    Args:
        suite: with the finished runs that count (:func:`bench.front.asking.asking`).
        weights: also those that runs kept.

    Raises:
        BenchError: nothing has finished, something is not what it should be, or ``output`` exists.
    """
    archive.check_free(output)
    # Where losses are tuned, who has won is known as things stand alone.
    planned = dict.fromkeys(run.id for run in (*suite.runs(), *as_it_stands(suite, results).runs()))
    folders = {run_id: RunFolder(results, run_id) for run_id in planned}
    finished = [run_id for run_id, run in folders.items() if run.done]
    run_ids = [run_id for run_id, run in folders.items() if run.done or exists(run.file("failure.json"))]
    if not finished:
        raise BenchError(f"{results}: no run of '{suite.name}' has finished: there is nothing to bundle")
    with tempfile.TemporaryDirectory(prefix="bench-bundle-") as temporary:
        folder = Path(temporary)
        files = dict(_runs(results, run_ids, weights=weights))
        for run_id in run_ids:  # as the bundle will have it
            (folder / RESULTS / "runs").mkdir(parents=True, exist_ok=True)
            (folder / RESULTS / "runs" / run_id).symlink_to((results / "runs" / run_id).absolute())
        _write_suite(suite, source, results, folder)
        measured.keep(suite, results, finished, folder / measured.FOLDER)
        rebuilt = reading.make(output, folder)
        _check_same(suite, results, rebuilt)
        page, words = reading.texts(rebuilt, folder)
        report_files.write(rebuilt.report, folder / RESULTS / suite.name, rebuilt.agreement, page, words)
        trained = trained_with(results, finished)
        environment = Environment(runs=trained, report=libraries())
        write_json(folder / "environment.json", environment.model_dump(mode="json"))
        summary = {"suite": suite.name, "question": suite.question, "answer": rebuilt.report.answer}
        write_atomically(
            folder / "README.md",
            README.format(**summary, name=f"{suite.name}.bundle.zip").encode(errors="replace"),
        )
        files |= {name: folder / name for name in _below(folder)}
        files |= _figures(suite, results, rebuilt)
        devices = {one.device for one in trained if one.device}
        about = crate.metadata(
            rebuilt.report, [*files, archive.MANIFEST], rebuilt.runs.finished.max(), devices
        )
        write_atomically(folder / crate.METADATA, about)
        files[crate.METADATA] = folder / crate.METADATA
        archive.write(
            output,
            files,
            suite=suite.name,
            question=suite.question,
            runs=len(run_ids),
            weights=any(name.endswith(WEIGHTS) for name in files),
        )
    return output


def _runs(results: Path, run_ids: list[str], *, weights: bool) -> Iterator[tuple[str, Path]]:
    """The files of run folders, by their names in the bundle. Raises BenchError where one is a link."""
    names = {*KEPT, *([WEIGHTS] if weights else [])}
    foreign: list[Path] = []
    for run_id in watched(run_ids, "looking at runs"):
        folder = results / "runs" / run_id
        _check_no_link(folder)
        for file in sorted(folder.iterdir()):
            if file.name in names:
                _check_no_link(file)
                yield f"{RESULTS}/runs/{run_id}/{file.name}", file
            elif file.name != WEIGHTS and not file.name.startswith(".") and file.name not in _WORKING:
                foreign.append(file)
    if foreign:
        more = f" and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
        say(f"{foreign[0]}{more}: no file of bench's; it is not in the bundle")


_WORKING = ("checkpoint.pt", "work")
"""What an attempt under way has."""


def _check_no_link(path: Path) -> None:
    if stat.S_ISLNK(path.lstat().st_mode):
        raise BenchError(
            f"{path}: it is a link, and a bundle takes nothing from elsewhere: put in its place "
            "what it leads to"
        )


def _write_suite(suite: Suite, source: Source, results: Path, folder: Path) -> None:
    """What was asked and planned, and by whose code."""
    file = folder / "suite" / f"{suite.name}.yaml"
    if source.file is None:
        write_yaml(file, dict(source.values))
    else:
        write_atomically(file, read(str(source.file)))
    write_atomically(folder / RESOLVED, resolved(suite).model_dump_json(indent=1).encode() + b"\n")
    for name in ("plan.json", "report.json"):  # the second says by which rule seeds were added so far
        path = results / suite.name / name
        if exists(str(path)):
            _check_no_link(path)
            write_atomically(folder / RESULTS / suite.name / name, read(str(path)))
    own_code.write(suite, results, folder)


def _check_same(suite: Suite, results: Path, rebuilt: reading.Rebuilt) -> None:
    """Make sure that whoever has the file alone gets the report that is made here."""
    original = reading.without_place(report(as_it_stands(suite, results), results), results)
    first, other = (one.model_dump(mode="json") for one in (original, rebuilt.report))
    for difference in differences("report.json", first, other):
        raise BenchError(
            f"{results}: the report cannot be made from the bundle alone: {difference.where} would be "
            f"{difference.here}, and is {difference.bundle}; please report this"
        )


def _below(folder: Path) -> Iterator[str]:
    """Files that were written for the bundle."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and not path.parent.is_symlink():
            yield path.relative_to(folder).as_posix()


def _figures(suite: Suite, results: Path, rebuilt: reading.Rebuilt) -> dict[str, Path]:
    """Those that were drawn after the last run had finished."""
    source = results / suite.name / "figures"
    last = rebuilt.runs.finished.max()
    return {
        f"{RESULTS}/{suite.name}/figures/{file.name}": file
        for file in ([] if source.is_symlink() else sorted(source.glob("*.*")))
        if file.is_file() and not file.is_symlink() and file.stat().st_mtime >= last
    }
