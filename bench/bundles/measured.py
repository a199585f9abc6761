"""What metrics of the user's own say of each run, kept so that nobody has to run their code again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.disk import Damaged, NoFile, array_bytes, parse, read, read_array, write_json
from bench.errors import BenchError
from bench.metrics import Means, Measured, Metric
from bench.predictions import NotKept, Predictions
from bench.progress import watched
from bench.results.folder import RunFolder
from bench.suite import Suite

FOLDER = "measured"
_LACKING = "lacking.json"


@dataclass(frozen=True)
class Kept(Metric):
    """A metric of somebody's own, whose numbers were kept: its code is neither imported nor looked for."""

    folder: Path
    """With a file a run."""
    higher: bool
    guessed: bool

    @property
    def higher_is_better(self) -> bool:
        """As its code said when the numbers were made."""
        return self.higher

    @property
    def direction_guessed(self) -> bool:
        """As it was when the bundle was made."""
        return self.guessed

    def value(self, predictions: Predictions) -> float:
        """Not to be had of other predictions than those of the runs."""
        raise NotImplementedError

    def measure(self, predictions: Predictions, result: Means | None = None) -> Measured:
        """The stored values of a run.

        Args:
            result: of :class:`bench.results.schema.Result`: names the run.

        Raises:
            NotKept: it said nothing, and why.
            BenchError: what was kept cannot be.
        """
        import numpy as np

        run_id = getattr(result, "run_id", "")
        path = self.folder / f"{run_id}.npy"
        try:
            numbers = read_array(read(str(path)))
        except FileNotFoundError:
            raise NotKept(_lacking(self.folder).get(run_id, "its numbers were not kept")) from None
        except (NoFile, ValueError) as error:
            raise BenchError(f"{path}: {error}") from None
        images = len(predictions.labels)
        if numbers.dtype != np.float64 or numbers.shape not in ((), (images,)):
            raise BenchError(
                f"{path}: found {numbers.dtype} {[*numbers.shape]}, expected one float64, or {images:,}"
            )
        if not np.isfinite(numbers).all():
            raise BenchError(f"{path}: found numbers that are not finite")
        return Measured(float(numbers.mean()), numbers if numbers.ndim else None)


def own_metrics(suite: Suite) -> list[Metric]:
    """The metrics of the user's own."""
    return [metric for metric in suite.metrics if metric.measure_type is None]


def keep(suite: Suite, results: Path, run_ids: Iterable[str], folder: Path) -> None:
    """Write what the user's own metrics say of finished runs: a folder each, numbered.

    Raises:
        BenchError: a metric fails on a run; both are named.
    """
    for number, metric in enumerate(own_metrics(suite)):
        lacking: dict[str, str] = {}
        (folder / str(number)).mkdir(parents=True)
        for run_id in watched([*run_ids], f"measuring {metric.name}"):
            run = RunFolder(results, run_id)
            try:
                result = run.result()
                if result is None or {metric.name, metric.choice.name} & result.values.keys():
                    continue  # a number that its trainer gave stands in the result
                measurement = metric.measure(run.predictions(result), result)
            except NotKept as reason:
                lacking[run_id] = str(reason)
                continue
            except Damaged:
                continue  # as it will be there
            numbers = measurement.value if measurement.per_image is None else measurement.per_image
            (folder / str(number) / f"{run_id}.npy").write_bytes(_bytes(numbers))
        write_json(folder / str(number) / _LACKING, lacking)


def _bytes(numbers: object) -> bytes:
    import numpy as np

    return array_bytes(np.asarray(numbers, dtype=np.float64))


def _lacking(folder: Path) -> dict[str, str]:
    try:
        reasons = parse(read(str(folder / _LACKING)))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in reasons.items()} if isinstance(reasons, dict) else {}
