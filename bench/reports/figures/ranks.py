"""Critical-difference diagrams (Demšar, JMLR 7, 2006): average ranks over data sets, and who does not differ.

Only with several data sets, which are the sample here: one diagram a model, of what
:mod:`bench.reports.ranking` found.
"""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Sketch
from bench.reports.formats import some
from bench.reports.ranking import why_no_ranks
from bench.reports.schema import Ranking

NAMES = 2.0  # inches for a name, on either side
LINE, BAR, TOP, FOOT = 0.17, 0.085, 0.55, 0.1  # inches: of a name, of a bar, above and below both


def draw(material: Material) -> list[Sketch]:
    """One diagram a model that has results on several data sets.

    Raises:
        NothingToDraw: no model has.
    """
    if reason := why_no_ranks(material.suite):
        raise NothingToDraw(reason)
    if not material.report.rankings:
        raise NothingToDraw(
            "no model has seeds that all of two or more losses have finished on two data sets"
        )
    sketches = []
    for ranking in material.report.rankings:
        title = f"Average ranks in {style.brief(material.metric.name)} over {len(ranking.datasets)} data sets"
        alt = f"{title}, 1 is best: {_in_words(ranking, material.report.alpha)}"
        figure = _figure(material, ranking, title)
        sketches.append(Sketch(f"{title}, with {style.brief(ranking.model)}", alt, figure))
    return sketches


def _figure(material: Material, ranking: Ranking, title: str) -> Figure:
    losses = [ranked.loss for ranked in ranking.losses]
    ranks = [ranked.average_rank for ranked in ranking.losses]
    k = len(losses)
    half = math.ceil(k / 2)
    bars = BAR * (len(ranking.alike) + 1)
    height = TOP + bars + half * LINE + FOOT
    figure = style.sheet(style.DOUBLE, height + 0.3)
    axes = figure.subplots()
    # Inches from the top, and ranks from left (worst) to right (best).
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    scale = (style.DOUBLE - 2 * NAMES - 0.9) / (k - 1)  # inches a rank
    room = (NAMES + 0.3) / scale
    axes.set_xlim(k + room, 1 - room)
    names = style.fitted(losses, NAMES, style.NORMAL)
    _ruler(axes, k, ranking.critical_difference)
    for place, (rank, name) in enumerate(zip(ranks, names, strict=True)):
        best_half = place < half
        row = place if best_half else k - 1 - place
        y = TOP + bars + row * LINE
        edge = 1 - 0.25 / scale if best_half else k + 0.25 / scale
        axes.plot([rank, rank, edge], [TOP, y, y], color=style.BLACK, linewidth=0.6)
        axes.annotate(
            f"{rank:.2f}  {name}" if best_half else f"{name}  {rank:.2f}",
            (edge, y),
            (3 if best_half else -3, 0),
            textcoords="offset points",
            ha="left" if best_half else "right",
            va="center",
            fontweight="bold" if losses[place] == material.report.baseline else "normal",
        )
    for number, alike in enumerate(ranking.alike):
        y = TOP + BAR * (number + 1)
        reach = 0.04 / scale
        ends = [ranks[losses.index(alike[0])] - reach, ranks[losses.index(alike[-1])] + reach]
        axes.plot(ends, [y, y], color=style.BLACK, linewidth=2.6, solid_capstyle="butt")
    few = " (few: ranks need about 10)" if ranking.note else ""
    axes.set_title(f"{title}, with {style.heading('', ranking.model, 2)}{few}")
    style.head(figure, material.report)
    return figure


def _ruler(axes: Axes, methods: int, difference: float) -> None:
    axes.plot([1, methods], [TOP, TOP], color=style.BLACK, linewidth=0.8)
    for rank in range(1, methods + 1):
        axes.plot([rank, rank], [TOP, TOP - 0.06], color=style.BLACK, linewidth=0.6)
        axes.text(rank, TOP - 0.08, str(rank), ha="center", va="bottom", fontsize=style.SMALL)
    width = min(difference, methods - 1)
    y = 0.2
    axes.plot([1, 1 + width], [y, y], color=style.BLACK, linewidth=0.8, marker="|", markersize=5)
    axes.text(1 + width / 2, y - 0.05, f"CD {difference:.2f}", ha="center", va="bottom", fontsize=style.SMALL)


def _in_words(ranking: Ranking, alpha: float) -> str:
    order = [f"{style.brief(ranked.loss)} {ranked.average_rank:.2f}" for ranked in ranking.losses]
    alike = [", ".join(map(style.brief, losses)) for losses in ranking.alike]
    clauses = [
        f"{some(order, 20)}.",
        f"Ranks differ if they are {ranking.critical_difference:.2f} apart (Nemenyi, α = {alpha:g}).",
        f"Not shown to differ: {some(alike, 8, '; ')}." if alike else "All differ.",
    ]
    if left_out := [*ranking.left_out, *ranking.left_out_losses]:
        clauses.append(f"Left out, for lack of results: {some([*map(style.brief, left_out)])}.")
    return " ".join([*clauses, *([f"{ranking.note}."] if ranking.note else [])])
