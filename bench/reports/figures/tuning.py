"""Tuning: how good a loss gets with how many trials, and what it cares for.

Above, over the budget: the unbiased test curve, of which the verdict is at the suite's budget, and beside it
the median best validation score with its band, for the picture. Below, a panel a hyperparameter: every trial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bench.reports.figures import style
from bench.reports.figures.material import Material, NothingToDraw, Sketch, axis, who
from bench.reports.formats import listed
from bench.reports.schema import SearchOf
from bench.settings import OF_LOSS
from bench.space import Range, range_of
from bench.statistics.bands import median_curve

COLUMNS = 2
ROW = 1.9
"""Height of a row of panels, in inches."""
MOST_ROWS = 4
CHOSEN = {"color": style.GREY, "linewidth": 0.5, "linestyle": ":"}


def draw(material: Material) -> list[Sketch]:
    """One sheet a data set × model.

    Raises:
        NothingToDraw: losses are not tuned, or no search has ended.
    """
    tuning = material.report.tuning
    if tuning is None:
        raise NothingToDraw("the suite has no tune: all losses were trained by one recipe")
    ended = [search for search in tuning.searches if search.curve]
    if not ended:
        raise NothingToDraw("no search has ended")
    pairs = dict.fromkeys((search.dataset, search.model) for search in ended)
    return [_sheet(material, [s for s in ended if (s.dataset, s.model) == pair]) for pair in pairs]


def _sheet(material: Material, searches: Sequence[SearchOf]) -> Sketch:
    tuning, metric = material.report.tuning, material.metric
    assert tuning is not None
    names = list(dict.fromkeys(name for search in searches for name in search.settings[0].setting))
    names = names[: COLUMNS * (MOST_ROWS - 1)]
    rows = 1 + math.ceil(len(names) / COLUMNS)
    figure = style.sheet(style.DOUBLE, 0.4 + ROW * rows)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    looks = _looks(material, searches)
    for search in searches:
        look, scale = looks[search.loss], metric.scale
        panels[0].plot(search.budgets, scale * _numbers(search.curve), **look.line())
        validation = _numbers([trial.validation for trial in search.settings])
        sign = 1 if metric.higher_is_better else -1
        median = sign * median_curve(sign * validation, search.budgets)
        panels[1].plot(search.budgets, scale * median, **look.line())
        low, high = (scale * _numbers(end) for end in (search.band_low, search.band_high))
        panels[1].fill_between(search.budgets, low, high, color=look.colour, alpha=0.12, linewidth=0)
    for panel, images in zip(panels, ("test", "validation"), strict=False):
        panel.set(xlabel="trials", ylabel=axis(f"{images} {style.brief(metric.name)}", metric, metric.unit))
        panel.axvline(tuning.budget, **CHOSEN)
    for panel, name in zip(panels[COLUMNS:], names, strict=False):
        _trials(panel, name, searches, looks, material)
    for panel in panels[COLUMNS + len(names) :]:
        panel.set_axis_off()
    legend = [
        (style.entry(**looks[search.loss].line(marker=looks[search.loss].marker, markersize=3)), search.loss)
        for search in searches
    ]
    fitting = style.fitted([name for _, name in legend], style.DOUBLE / 2)
    entries = [(handle, name) for (handle, _), name in zip(legend, fitting, strict=True)]
    pair = searches[0].dataset, searches[0].model
    style.head(figure, material.report, entries, style.heading(*pair, style.DOUBLE))
    bests = [
        f"{style.brief(search.loss)} {metric.scale * (search.best_of or math.nan):.4g} {metric.unit}".strip()
        for search in searches
    ]
    alt = (
        f"Mean test {style.brief(metric.name)} after tuning {who(pair)} with {tuning.budget} trials: "
        f"{listed(bests)}; over 1 to {searches[0].budgets[-1]} trials, and every trial by hyperparameter."
    )
    return Sketch("Tuning: what a budget gives, and what a loss cares for", alt, figure)


def _looks(material: Material, searches: Sequence[SearchOf]) -> dict[str, style.Look]:
    """The baseline is black; the others in turn, always as in the other sheets."""
    rivals = [loss for loss in material.suite.labels("losses") if loss != material.report.baseline]
    return {
        search.loss: style.BASELINE
        if search.loss == material.report.baseline
        else style.LOOKS[rivals.index(search.loss) % len(style.LOOKS)]
        for search in searches
    }


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _trials(
    panel: Axes, name: str, searches: Sequence[SearchOf], looks: dict[str, style.Look], material: Material
) -> None:
    """One hyperparameter: the validation score of every trial that is done."""
    metric, space = material.metric, None
    for search in searches:
        if name not in search.settings[0].setting:
            continue
        space = _range(name, search.loss, material) or space
        trials = [trial for trial in search.settings if trial.validation is not None]
        values = [trial.setting[name] for trial in trials]
        places = (
            [space.values.index(value) for value in values] if space and space.kind == "choice" else values
        )
        look = looks[search.loss]
        scores = metric.scale * _numbers([trial.validation for trial in trials])
        panel.scatter(places, scores, s=5, color=look.colour, marker=look.marker, linewidths=0, alpha=0.7)
    panel.set(
        xlabel=style.fitted([name], style.DOUBLE / COLUMNS - 0.8)[0],
        ylabel=axis(f"validation {style.brief(metric.name)}", metric, metric.unit),
    )
    if space is not None and space.kind == "log":
        panel.set_xscale("log")
        style.logarithmic(panel.xaxis, (1.0,))
    if space is not None and space.kind == "choice":
        labels = style.fitted([str(value) for value in space.values], style.DOUBLE / 8)
        panel.set_xticks(range(len(labels)), labels)


def _range(name: str, loss: str, material: Material) -> Range | None:
    tuning = material.report.tuning
    assert tuning is not None
    if name in tuning.space:
        return range_of(tuning.space[name])
    option = name.removeprefix(OF_LOSS)
    choice = next(entry.choice for entry in material.suite.losses if entry.label == loss)
    options = tuning.losses.get(loss, {}) | tuning.losses.get(choice.name, {})
    return range_of(options[option]) if option in options else None
