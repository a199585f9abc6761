"""Which runs make the same mistakes? The share of test images on which two runs differ, for every two runs.

Runs are in the order of losses, and of seeds within them: a pale block on the diagonal is a loss whose seeds
resemble each other, a pale block beside it are two losses that do the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.comparisons.runs import Joint
from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Sketch, who
from bench.reports.figures.panels import grids
from bench.reports.formats import some
from bench.statistics.agreement import discordant

FINE = 600
"""Runs up to which each has a line of its own; more are shown as the means of whole cells."""
SIDE, HEAD = 2.35, 0.3  # inches: of a matrix with its names, and above all of them


class Matrix(NamedTuple):
    """Percent of images on which two runs differ: one right, the other wrong."""

    losses: list[str]
    starts: list[int]  # first row of each loss, and the number of rows at the end
    percent: NDArray[np.float64]  # NaN on the diagonal
    blocks: NDArray[np.float64]  # mean of each two losses [losses, losses]


def matrix(joint: Joint, losses: Sequence[str]) -> Matrix:
    """Rows by loss, in the order of ``losses``, and by seed."""
    place = {loss: k for k, loss in enumerate(losses)}
    order = sorted(joint.rows, key=lambda key: (place[key[0]], key[1]))
    rows = [joint.rows[key] for key in order]
    percent = 100 * discordant(joint.matrix)[np.ix_(rows, rows)] / joint.images
    percent = percent.astype(np.float64)
    np.fill_diagonal(percent, np.nan)
    owners = [loss for loss, _ in order]
    present = list(dict.fromkeys(owners))
    starts = [*(owners.index(loss) for loss in present), len(owners)]
    finite = np.isfinite(percent)
    sums, counts = (
        np.add.reduceat(np.add.reduceat(table, starts[:-1], axis=0), starts[:-1], axis=1)
        for table in (np.where(finite, percent, 0.0), finite.astype(np.float64))
    )
    blocks = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return Matrix(present, starts, percent, blocks)


def draw(material: Material) -> list[Sketch]:
    """One matrix a data set × model.

    Raises:
        NothingToDraw: there are no two runs that answered the same images.
    """
    joints, reasons = material.joints
    if not joints:
        raise NothingToDraw("; ".join(reasons) or "no two runs of a data set × model have finished")
    losses = material.suite.labels("losses")
    matrices = [(pair, matrix(joint, losses)) for pair, joint in joints.items()]
    columns = min(2, len(matrices))
    sketches = []
    for figure, panels in grids(matrices, columns, SIDE, HEAD):
        for panel, (pair, table) in panels:
            panel.set_title(style.heading(*pair, figure.get_figwidth() / columns - 1.0), pad=3)
            _draw_panel(figure, panel, table)
        style.head(figure, material.report, title="Images on which two runs differ (%)")
        text = some(
            [f"{who(pair)}: {_in_words(table)} of the images" for _, (pair, table) in panels], 8, "; "
        )
        alt = f"How often two runs differ, on average: one right, the other wrong. {text}."
        sketches.append(Sketch("Share of test images on which two runs differ", alt, figure))
    return sketches


def _draw_panel(figure: Figure, panel: Axes, table: Matrix) -> None:
    fine = len(table.percent) <= FINE
    image, starts = (table.percent, table.starts) if fine else (table.blocks, range(len(table.losses) + 1))
    # One loss gone wrong must not make all others look alike: what is far above most has the last colour.
    low, usual, highest = np.nanpercentile(image, [0, 75, 100]) if np.isfinite(image).any() else (0, 1, 1)
    high = max(min(highest, 2 * usual), low + 1e-9)
    drawn = panel.imshow(
        image,
        cmap=matplotlib.colormaps["cividis_r"].with_extremes(bad="white"),
        vmin=low,
        vmax=high,
        interpolation="nearest",
        aspect="auto",
    )
    middle = [(a + b - 1) / 2 for a, b in pairwise(starts)]
    names = style.fitted(table.losses, 1.1)
    panel.set_yticks(middle, names)
    panel.set_xticks([])
    panel.tick_params(length=0)
    for edge in starts[1:-1]:
        for line in (panel.axhline, panel.axvline):
            line(edge - 0.5, color="white", linewidth=0.8 if len(names) < 8 else 0.3)
    panel.spines[:].set_visible(False)
    bar = figure.colorbar(
        drawn, ax=panel, shrink=0.8, pad=0.02, extend="max" if highest > high else "neither"
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=style.SMALL)


def _in_words(table: Matrix) -> str:
    within = np.diag(table.blocks)
    across = table.blocks[~np.eye(len(within), dtype=bool)]
    clauses = []
    if np.isfinite(within).any():
        clauses.append(f"two seeds of one loss on {np.nanmin(within):.2f} to {np.nanmax(within):.2f} %")
    if across.size:
        clauses.append(f"runs of two losses on {np.nanmin(across):.2f} to {np.nanmax(across):.2f} %")
    return " and ".join(clauses)
