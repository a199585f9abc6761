"""Which images the runs of a suite get right together: read from their predictions, kept with the report.

``agreement.npz`` holds all that the comparisons are made of, so they can be made again without predictions:

``dataset``, ``model``, ``loss``, ``seed``, ``run_id``
    [R] of every planned run.
``correct``, ``total``
    [R] of every finished one; −1 where there is none.
``block``, ``row``
    [R] where the run is found in a matrix; −1 where it is in none.
``joint_0``, ``joint_1``, …
    G of one data set × model each: images that two runs both get right. Models are not compared. Unsigned
    integers of as few bytes as the number of images needs: convert before subtracting.
``failed``
    [R] whether the run has failed.
``question``
    baseline, α and margin (a fraction) as JSON; and where seeds are added until decided, by which rule.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.progress import watched
from bench.reports.analysis import Joint, Question, Scores, sole
from bench.reports.documents import Key, Seed
from bench.results import Damaged, RunFolder
from bench.statistics.agreement import joint_correct, pack
from bench.statistics.stopping import Plan

LARGEST = 4_000
"""Runs of one data set × model up to which their matrix is made: it takes 128 MB and some seconds then, and
32 MB are kept."""

Joints = dict[tuple[str, str], Joint]


def read_joints(runs: pd.DataFrame, results: Path) -> tuple[Joints, list[str]]:
    """One matrix for each data set × model whose runs answered the same images; and why others have none.

    Args:
        runs: of :func:`bench.results.frame`.
    """
    joints: Joints = {}
    notes = []
    done = runs[runs.state == "done"]
    groups = list(done.groupby(["dataset", "model"], sort=False))
    for (dataset, model), group in watched(groups, "comparing answers"):
        if len(group) < 2:
            continue
        where = f"{dataset} × {model}: no intervals for new images: "
        if len(group) > LARGEST:
            notes.append(f"{where}{len(group):,} runs are more than {LARGEST:,}")
            continue
        try:
            packed, images = _answers([RunFolder(results, run) for run in group.run_id])
        except Damaged as damage:
            notes.append(where + str(damage))
            continue
        keys = zip(group.loss, (int(seed) for seed in group.seed), strict=True)
        rows: dict[tuple[str, Seed], int] = {key: row for row, key in enumerate(keys)}
        # In two bytes a number, up to 65,535 images: there may be a matrix for each of fifty models.
        matrix = joint_correct(packed).astype(np.min_scalar_type(images))
        joints[str(dataset), str(model)] = Joint(rows, matrix, images)
    return joints, notes


def _answers(folders: list[RunFolder]) -> tuple[NDArray[np.uint64], int]:
    """Which images each run gets right, as packed bits: an eighth of a byte an image is all that is kept."""
    truth: NDArray[Any] | None = None
    packed = []
    for folder in folders:
        result = folder.result()
        if result is None:
            raise Damaged(f"{folder.path}: its result is gone")
        predicted, true = folder.predictions(result)
        if truth is None:
            truth = true.copy()
        elif not np.array_equal(truth, true):
            raise Damaged(f"run {folder.run_id} was tested on other images than run {folders[0].run_id}")
        packed.append(pack((predicted == true)[None])[0])
    assert truth is not None
    return np.stack(packed), len(truth)


def to_bytes(runs: pd.DataFrame, joints: Joints, question: Question) -> bytes:
    """``agreement.npz``: the same bytes for the same runs."""
    blocks = {key: number for number, key in enumerate(joints)}
    block, row = [], []
    keys = zip(runs.dataset, runs.model, runs.loss, runs.seed, runs.state, strict=True)
    for dataset, model, loss, seed, state in keys:
        joint = joints.get((dataset, model)) if state == "done" else None
        place = joint.rows.get((loss, int(seed)), -1) if joint else -1
        row.append(place)
        block.append(blocks[dataset, model] if place >= 0 else -1)
    counts = {
        name: np.where(runs.state == "done", runs[name].astype(float).fillna(-1), -1).astype(np.int64)
        for name in ("correct", "total")
    }
    words = {name: np.array(runs[name], dtype=np.str_) for name in ("dataset", "model", "loss", "run_id")}
    failed = np.array(runs.state == "failed", dtype=np.bool_)
    content = io.BytesIO()  # numpy dates all members 1980, so the bytes do not depend on the time
    np.savez_compressed(
        content,
        allow_pickle=False,
        question=np.array(json.dumps(asdict(question), sort_keys=True)),
        seed=np.array(runs.seed, dtype=np.int64),
        block=np.array(block, dtype=np.int64),
        row=np.array(row, dtype=np.int64),
        failed=failed,
        **words,
        **counts,
        **{f"joint_{blocks[key]}": joint.matrix for key, joint in joints.items()},
    )
    return content.getvalue()


def load(path: Path) -> tuple[dict[Key, Scores], Question, Joints]:
    """What :func:`bench.reports.analysis.analyse` takes, from an ``agreement.npz``."""
    with np.load(path, allow_pickle=False) as file:
        saved = dict(file)
    planned: dict[Key, list[Seed]] = {}
    counts: dict[Key, dict[Seed, int]] = {}
    totals: dict[Key, set[int]] = {}
    rows: dict[int, dict[tuple[str, Seed], int]] = {}
    where: dict[int, tuple[tuple[str, str], int]] = {}
    lost: dict[Key, set[Seed]] = {}
    columns = ("dataset", "model", "loss", "seed", "correct", "total", "block", "row", "failed")
    for dataset, model, loss, seed, correct, total, block, row, failed in zip(
        *(saved[name].tolist() for name in columns), strict=True
    ):
        key = (dataset, model, loss)
        planned.setdefault(key, []).append(seed)
        counts.setdefault(key, {})
        totals.setdefault(key, set())
        lost.setdefault(key, set()).update([seed] if failed else [])
        if total >= 0:
            counts[key][seed] = correct
            totals[key].add(total)
        if block >= 0:
            rows.setdefault(block, {})[loss, seed] = row
            where[block] = (dataset, model), total
    cells = {key: Scores(counts[key], sole(totals[key]), seeds, lost[key]) for key, seeds in planned.items()}
    joints = {
        pair: Joint(rows[block], saved[f"joint_{block}"], images) for block, (pair, images) in where.items()
    }
    asked = json.loads(str(saved["question"]))
    asked |= {"plan": asked["plan"] and Plan(**asked["plan"]), "order": tuple(asked["order"])}
    return cells, Question(**asked), joints
