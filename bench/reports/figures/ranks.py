"""Critical-difference diagrams (Demšar, JMLR 7, 2006): average ranks over data sets, and who does not differ.

Only with several data sets, which are the sample here: one diagram a model. Ranks are those of the correct
answers of the seeds that all losses have finished; ties on counts are ties.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.reports.documents import CellSummary
from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Sketch, some
from bench.statistics.ranking import CriticalDifferenceDiagram, critical_difference_diagram

NAMES = 2.0  # inches for a name, on either side
LINE, BAR, TOP, FOOT = 0.17, 0.085, 0.55, 0.1  # inches: of a name, of a bar, above and below both


class Ranking(NamedTuple):
    """Counts of correct answers of one model."""

    model: str
    losses: list[str]
    datasets: list[str]
    counts: NDArray[np.int64]  # [data sets, losses]
    left_out: list[str]  # data sets that some loss has nothing on


def draw(material: Material) -> list[Sketch]:
    """One diagram a model that has results on several data sets.

    Raises:
        NothingToDraw: no model has.
    """
    models = dict.fromkeys(model for _, model in material.pairs)
    if len(dict.fromkeys(dataset for dataset, _ in material.pairs)) < 2:
        raise NothingToDraw("average ranks need several data sets, and this suite has one")
    found = [_ranking(material, model) for model in models]
    drawn = [r for r in found if len(r.datasets) > 1 and len(r.losses) > 1]
    if not drawn:
        raise NothingToDraw(
            "no model has seeds that all of two or more losses have finished on two data sets"
        )
    sketches = []
    for number, ranking in enumerate(drawn):
        diagram = critical_difference_diagram(ranking.counts, material.report.alpha)
        model = style.said(ranking.model)
        title = f"Average ranks of the losses over {len(ranking.datasets)} data sets, with {model}"
        sketches.append(
            Sketch(
                style.numbered("ranks", number, len(drawn)),
                title,
                _in_words(material, ranking, diagram),
                _figure(material, ranking, diagram),
            )
        )
    return sketches


def _ranking(material: Material, model: str) -> Ranking:
    """Sums over the seeds that every loss has finished, so that a row compares like with like."""
    of_model = {dataset: cells for (dataset, name), cells in material.pairs.items() if name == model}
    losses = [
        loss for loss in material.suite.labels("losses") if all(_has(c, loss) for c in of_model.values())
    ]
    rows, datasets = [], []
    for dataset, cells in of_model.items():
        chosen = [next(c for c in cells if c.loss == loss) for loss in losses]
        counts = [dict(zip(c.seeds, c.counts, strict=True)) for c in chosen]
        seeds = set(counts[0]).intersection(*counts) if counts else set()
        if seeds and len({c.test_images for c in chosen}) == 1:
            rows.append([sum(count[seed] for seed in seeds) for count in counts])
            datasets.append(dataset)
    left_out = [dataset for dataset in of_model if dataset not in datasets]
    return Ranking(model, losses, datasets, np.array(rows, dtype=np.int64), left_out)


def _has(cells: list[CellSummary], loss: str) -> bool:
    return any(cell.loss == loss for cell in cells)


def _figure(material: Material, ranking: Ranking, diagram: CriticalDifferenceDiagram) -> Figure:
    k = len(ranking.losses)
    half = math.ceil(k / 2)
    bars = BAR * (len(diagram.cliques) + 1)
    height = TOP + bars + half * LINE + FOOT
    figure = style.sheet(style.DOUBLE, height + 0.3)
    axes = figure.subplots()
    # Inches from the top, and ranks from left (worst) to right (best).
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    scale = (style.DOUBLE - 2 * NAMES - 0.9) / (k - 1)  # inches a rank
    room = (NAMES + 0.3) / scale
    axes.set_xlim(k + room, 1 - room)
    names = dict(enumerate(style.fitted(ranking.losses, NAMES, style.NORMAL)))
    ranks = diagram.average_ranks
    _ruler(axes, k, diagram.critical_difference)
    for place, method in enumerate(diagram.order):
        best_half = place < half
        row = place if best_half else k - 1 - place
        y = TOP + bars + row * LINE
        edge = 1 - 0.25 / scale if best_half else k + 0.25 / scale
        axes.plot([ranks[method], ranks[method], edge], [TOP, y, y], color=style.BLACK, linewidth=0.6)
        axes.annotate(
            f"{ranks[method]:.2f}  {names[method]}" if best_half else f"{names[method]}  {ranks[method]:.2f}",
            (edge, y),
            (3 if best_half else -3, 0),
            textcoords="offset points",
            ha="left" if best_half else "right",
            va="center",
            fontweight="bold" if ranking.losses[method] == material.report.baseline else "normal",
        )
    for number, clique in enumerate(diagram.cliques):
        y = TOP + BAR * (number + 1)
        reach = 0.04 / scale
        ends = [ranks[clique[0]] - reach, ranks[clique[-1]] + reach]
        axes.plot(ends, [y, y], color=style.BLACK, linewidth=2.6, solid_capstyle="butt")
    title = f"{style.heading('', ranking.model, 2)}: average ranks over {len(ranking.datasets)} data sets"
    axes.set_title(title + (" (few: ranks need about 10)" if diagram.note else ""))
    style.head(figure, material.report)
    return figure


def _ruler(axes: Axes, methods: int, difference: float) -> None:
    axes.plot([1, methods], [TOP, TOP], color=style.BLACK, linewidth=0.8)
    for rank in range(1, methods + 1):
        axes.plot([rank, rank], [TOP, TOP - 0.06], color=style.BLACK, linewidth=0.6)
        axes.text(rank, TOP - 0.08, str(rank), ha="center", va="bottom", fontsize=style.SMALL)
    shown = min(difference, methods - 1)
    y = 0.2
    axes.plot([1, 1 + shown], [y, y], color=style.BLACK, linewidth=0.8, marker="|", markersize=5)
    axes.text(1 + shown / 2, y - 0.05, f"CD {difference:.2f}", ha="center", va="bottom", fontsize=style.SMALL)


def _in_words(material: Material, ranking: Ranking, diagram: CriticalDifferenceDiagram) -> str:
    order = [f"{style.said(ranking.losses[m])} {diagram.average_ranks[m]:.2f}" for m in diagram.order]
    alike = [", ".join(style.said(ranking.losses[m]) for m in clique) for clique in diagram.cliques]
    said = [
        *style.cautions(material.report),
        f"Average ranks over {len(ranking.datasets)} data sets, 1 is best: {some(order, 20)}.",
        f"Ranks differ if they are {diagram.critical_difference:.2f} apart (Nemenyi, "
        f"α = {material.report.alpha:g}).",
        f"Not shown to differ: {some(alike)}." if alike else "All differ.",
    ]
    if ranking.left_out:
        said.append(
            f"Left out, for lack of results: {some([style.said(name) for name in ranking.left_out])}."
        )
    return " ".join([*said, *([f"{diagram.note}."] if diagram.note else [])])
