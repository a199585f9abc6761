"""Run folders → TensorBoard's event files, through its own writer: what MLflow shows, for who looks there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.errors import BenchError
from bench.results.folder import RunFolder
from bench.suite import Suite
from bench.tracking.record import Record, read_record
from bench.tracking.text import key_of


def export_logs(suite: Suite, results: Path, folder: Path) -> int:
    """Write the logs of all runs that have begun, each into a folder of its own. Returns how many.

    Curves stand under the names that ``metrics.jsonl`` has, scores of finished runs under ``score/``, and the
    description as hyperparameters. Event files that are there already are replaced.

    Raises:
        BenchError: TensorBoard is not installed, or the folder cannot be written.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams
    except ImportError:
        raise BenchError(
            "bench export-logs --tensorboard: TensorBoard is not installed; pip install tensorboard"
        ) from None
    count = 0
    try:
        for place, record in _records(suite, results):
            count += 1
            for old in (folder / place).glob("events.out.tfevents.*"):
                old.unlink()
            with SummaryWriter(str(folder / place)) as writer:
                for (epoch, when), metrics in record.epochs.items():
                    for name, value in metrics.items():
                        writer.add_scalar(name, value, epoch, when / 1000)
                scores = {f"score/{name}": value for name, value in record.scores.items()}
                for summary in hparams(dict(record.params), scores):
                    writer.file_writer.add_summary(summary)
                last = max((epoch for epoch, _ in record.epochs), default=0)
                for name, value in scores.items():
                    writer.add_scalar(name, value, last, record.end / 1000)
    except OSError as error:
        raise BenchError(f"{error.filename or folder}: {error.strerror}") from None
    return count


def _records(suite: Suite, results: Path) -> Iterator[tuple[Path, Record]]:
    """Where each run's events go, below the folder, and what it has to say."""
    several = len({cell.dataset for cell in suite.cells}) > 1
    taken: set[Path] = set()
    for cell in suite.cells:
        labels = [*([cell.dataset] if several else []), cell.model, cell.loss]
        for run in cell.runs:
            record = read_record(RunFolder(results, run.id), run, cell, labels, None, suite.metrics)
            if record is None:
                continue
            place = Path(*map(key_of, labels), f"seed {run.seed}")
            if place in taken:  # two labels that differ in what no folder's name has
                place = place.with_name(f"{place.name} {run.id}")
            taken.add(place)
            yield place, record
