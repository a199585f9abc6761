"""``agreement.npz``: all that the comparisons are made of, so they can be made again without predictions.

``dataset``, ``model``, ``loss``, ``seed``, ``run_id``
    [R] of every planned run.
``failed``
    [R] whether the run has failed.
``correct``, ``total``
    [R] of every finished one; −1 where there is none.
``block``, ``row``
    [R] where the run is found in a matrix; −1 where it is in none.
``joint_0``, ``joint_1``, …
    G of one data set × model each: images that two runs both get right. Models are not compared. Unsigned
    integers of as few bytes as the number of images needs: convert before subtracting.
``question``
    baseline, α, metrics and their margins as JSON, what judges, and by which rule seeds are added.
``values_1``, ``values_2``, …
    [R] of each metric that is not counted, by its place in the list: whole numbers of 1/unit; and
    ``units_1``, …: that unit, 0 where the run has none.
``trials_0``, ``trials_1``, …
    [R, 3] of each metric, where losses are tuned and the runs are trials: the first metric on the validation
    split (NaN where one failed), this one on the test set, and the score of a guess. More is better.
``squares_1``, ``squares_2``, …
    [C, 5] of its comparisons, in the order of the report: seeds and images, and the three mean squares
    (seeds, images, residual) from which its intervals on new images are; NaN where there are none.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.comparisons.analysis import Images, Measured, sole
from bench.comparisons.comparison import Comparison, Key, Metric, Seed
from bench.comparisons.designs import Design
from bench.comparisons.pairings import Scores
from bench.comparisons.resampled import Splits
from bench.comparisons.runs import Joint, Pair
from bench.comparisons.searches import BySearches, OneSearch
from bench.comparisons.tuned import Search, Tuned
from bench.comparisons.until_decided import UntilDecided, until_decided
from bench.statistics.crossed import Crossed, crossed_from_mean_squares
from bench.statistics.stopping import Plan, Rule


@dataclass(frozen=True)
class Squares:
    """The same, from mean squares that were kept."""

    of_loss: Mapping[str, Sequence[float]]
    """Loss → seeds, images, mean squares of seeds, images and residual."""

    def crossed(
        self, loss: str, baseline: str, seeds: Sequence[Seed], estimate: float
    ) -> tuple[Crossed, float | None] | None:
        """The crossed analysis that was stored."""
        numbers = self.of_loss.get(loss)
        if numbers is None:
            return None
        size, images = map(int, numbers[:2])
        of_seeds, of_images, residual = numbers[2:]
        if of_seeds != of_seeds:
            return Crossed(size, images, estimate), None
        return crossed_from_mean_squares(estimate, of_seeds, of_images, residual, size, images), None


def to_bytes(
    runs: pd.DataFrame,
    measured: Sequence[Measured],
    baseline: str,
    design: Design,
    comparisons: Sequence[Comparison],
) -> bytes:
    """``agreement.npz``: the same bytes for the same runs."""
    finished = np.array(runs.state == "done", dtype=np.bool_)
    content: dict[str, NDArray[Any]] = {
        **{name: np.array(runs[name], dtype=np.str_) for name in ("dataset", "model", "loss", "run_id")},
        "seed": np.array(runs.seed, dtype=np.int64),
        "failed": np.array(runs.state == "failed", dtype=np.bool_),
    }
    for name in ("correct", "total"):
        content[name] = np.where(finished, runs[name].astype(float).fillna(-1), -1).astype(np.int64)
    keys = list(zip(runs.dataset, runs.model, runs.loss, (int(seed) for seed in runs.seed), strict=True))
    joints: dict[Pair, Joint] = {}
    for number, series in enumerate(measured):
        joints |= {pair: images for pair, images in series.images.items() if isinstance(images, Joint)}
        if series.metric.counted:
            continue
        arms = [series.cells[key[:3]] for key in keys]
        counts = [arm.counts.get(key[3]) for arm, key in zip(arms, keys, strict=True)]
        content[f"values_{number}"] = np.array([count or 0 for count in counts], dtype=np.int64)
        units = [0 if count is None else arm.total or 0 for arm, count in zip(arms, counts, strict=True)]
        content[f"units_{number}"] = np.array(units, dtype=np.int64)
        squares = [_squares(c) for c in comparisons if c.metric == series.metric.name]
        content[f"squares_{number}"] = np.array(squares, dtype=np.float64).reshape(-1, 5)
    blocks = {pair: number for number, pair in enumerate(joints)}
    places = [
        joints[key[:2]].rows.get((key[2], key[3]), -1) if ended and key[:2] in joints else -1
        for key, ended in zip(keys, finished, strict=True)
    ]
    content["row"] = np.array(places, dtype=np.int64)
    content["block"] = np.array(
        [blocks[key[:2]] if place >= 0 else -1 for key, place in zip(keys, places, strict=True)],
        dtype=np.int64,
    )
    question: dict[str, Any] = {
        "baseline": baseline,
        "alpha": design.alpha,
        "judge": design.judge,
        "metrics": [asdict(s.metric) for s in measured],
    }
    if isinstance(design, Tuned):
        question |= {"budget": design.budget, "trials": design.trials}
        for name, number in ((series.metric.name, n) for n, series in enumerate(measured)):
            arrays = _of_trials(keys, design.searches[name])
            content |= {f"trials_{number}": arrays}
    if isinstance(design, OneSearch):
        question |= {"searches": 1}
    if isinstance(design, BySearches):
        question |= {"searches": design.searches, "each": design.each}
    if isinstance(design, UntilDecided):
        question |= {"plan": asdict(design.plan), "order": list(design.order)}
    if isinstance(design, Splits):
        question["ratios"] = [[*pair, ratio] for pair, ratio in design.ratios.items()]
    file = io.BytesIO()  # numpy dates all members 1980, so the bytes do not depend on the time
    np.savez_compressed(
        file,
        allow_pickle=False,
        question=np.array(json.dumps(question, sort_keys=True)),
        **content,
        **{f"joint_{blocks[pair]}": joint.matrix for pair, joint in joints.items()},
    )
    return file.getvalue()


def _of_trials(keys: Sequence[tuple[Any, ...]], searches: Mapping[Key, Search]) -> NDArray[np.float64]:
    """[R, 3]: validation (NaN where a trial failed), test and a guess; NaN where nothing is known."""
    rows = {
        (*key, seed): (ranked, score, search.guess)
        for key, search in searches.items()
        for seed, ranked, score in zip(search.seeds, search.validation, search.test, strict=True)
    }
    return np.array([rows.get(key, (np.nan,) * 3) for key in keys], dtype=np.float64).reshape(-1, 3)


def _saved_searches(runs: Sequence[tuple[Any, ...]], table: NDArray[np.float64]) -> dict[Key, Search]:
    rows: dict[Key, list[int]] = {}
    for number, (dataset, model, loss, *_) in enumerate(runs):
        if table[number, 2] == table[number, 2]:
            rows.setdefault((dataset, model, loss), []).append(number)
    return {
        key: Search(
            tuple(runs[number][3] for number in of),
            table[of, 0],
            table[of, 1],
            float(table[of[0], 2]),
            sum(runs[number][8] for number in of),
        )
        for key, of in rows.items()
    }


def _squares(comparison: Comparison) -> list[float]:
    if comparison.new_images is None:
        return [np.nan] * 5
    analysis = comparison.new_images.crossed
    squares = (analysis.ms_seed, analysis.ms_image, analysis.ms_residual)
    return [analysis.seeds, analysis.images, *(np.nan if square is None else square for square in squares)]


def load(path: Path) -> tuple[list[Measured], str, Design]:
    """Metrics, baseline and design of an ``agreement.npz``: :func:`bench.comparisons.analysis.analyse`'s."""
    with np.load(path, allow_pickle=False) as file:
        saved = dict(file)
    question = json.loads(str(saved["question"]))
    baseline = question["baseline"]
    names = ("dataset", "model", "loss", "seed", "correct", "total", "block", "row", "failed")
    runs = list(zip(*(saved[name].tolist() for name in names), strict=True))
    measured = []
    for number, described in enumerate(question["metrics"]):
        metric = Metric(**described)
        values = None if metric.counted else (saved[f"values_{number}"], saved[f"units_{number}"])
        cells = _saved_scores(runs, values)
        images: dict[Pair, Images] = {}
        if metric.counted:
            images.update(_saved_joints(runs, saved))
        else:
            compared = [key for key in cells if key[2] != baseline and (*key[:2], baseline) in cells]
            squares_of: dict[Pair, dict[str, Sequence[float]]] = {}
            for key, squares in zip(compared, saved[f"squares_{number}"].tolist(), strict=True):
                if squares[0] == squares[0]:
                    squares_of.setdefault(key[:2], {})[key[2]] = squares
            images.update({pair: Squares(of_loss) for pair, of_loss in squares_of.items()})
        measured.append(Measured(metric, cells, images))
    if "budget" in question:
        searches = {
            series.metric.name: _saved_searches(runs, saved[f"trials_{number}"])
            for number, series in enumerate(measured)
        }
        tuned = Tuned(
            question["alpha"],
            budget=question["budget"],
            trials=question["trials"],
            searches=searches,
            baseline=baseline,
        )
        return measured, baseline, tuned
    if question.get("searches") == 1:
        return measured, baseline, OneSearch(question["alpha"], question["judge"])
    if "searches" in question:
        searches, each = question["searches"], question["each"]
        bare = [Measured(series.metric, series.cells) for series in measured]
        return bare, baseline, BySearches(question["alpha"], question["judge"], searches=searches, each=each)
    if "plan" in question:
        plan = Plan(**{**question["plan"], "rule": Rule(question["plan"]["rule"])})
        return measured, baseline, until_decided(question["alpha"], plan, tuple(question["order"]))
    if "ratios" in question:
        ratios = {(dataset, model): ratio for dataset, model, ratio in question["ratios"]}
        return measured, baseline, Splits(question["alpha"], ratios=ratios)
    return measured, baseline, Design(question["alpha"], question.get("judge", "rotations"))


def _saved_scores(
    runs: Sequence[tuple[Any, ...]], values: tuple[NDArray[np.int64], NDArray[np.int64]] | None
) -> dict[Key, Scores]:
    planned: dict[Key, list[Seed]] = {}
    counts: dict[Key, dict[Seed, int]] = defaultdict(dict)
    totals: dict[Key, set[int]] = defaultdict(set)
    lost: dict[Key, set[Seed]] = defaultdict(set)
    for number, (dataset, model, loss, seed, correct, total, _, _, failed) in enumerate(runs):
        key = (dataset, model, loss)
        planned.setdefault(key, []).append(seed)
        if failed:
            lost[key].add(seed)
        if values is None and total >= 0:
            counts[key][seed] = correct
            totals[key].add(total)
        elif values is not None and values[1][number]:
            counts[key][seed] = int(values[0][number])
            totals[key].add(int(values[1][number]))
    return {
        key: Scores(counts[key], sole(totals[key]), seeds, frozenset(lost[key]))
        for key, seeds in planned.items()
    }


def _saved_joints(runs: Sequence[tuple[Any, ...]], saved: Mapping[str, NDArray[Any]]) -> dict[Pair, Joint]:
    rows: dict[Pair, dict[tuple[str, Seed], int]] = {}
    where: dict[Pair, tuple[int, int]] = {}
    for dataset, model, loss, seed, _, total, block, row, _ in runs:
        if block >= 0:
            rows.setdefault((dataset, model), {})[loss, seed] = row
            where[dataset, model] = block, total
    return {
        pair: Joint(rows[pair], saved[f"joint_{block}"], images) for pair, (block, images) in where.items()
    }
