"""A report in Python's hands: a table of numbers, text, LaTeX, HTML, JSON. In a notebook it shows itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.visible import visible, visible_json

if TYPE_CHECKING:
    import pandas as pd

    from bench.reports.blocks import Block, Document
    from bench.reports.schema import Analysed

_RENAMED = {"n": "n_compared", "sd": "sd_delta"}
"""Of a comparison, in the frame: what a cell has under the same name is something else there."""
_LISTS = ("seeds", "counts", "values")
"""Of a cell: one item a run."""


class Report:
    """What was found, by a suite's runs or in somebody's table.

    Args:
        document: all of it, as data: :class:`bench.reports.schema.Report` or ``Compared``.
        shown: the same as it is read.
        coming: what runs and waits still, to stand at the end.
        page: ``report.html``, where one was written.
    """

    def __init__(
        self, document: Analysed, shown: Document, coming: Sequence[Block] = (), page: Path | None = None
    ) -> None:
        self.document = document
        self.page = page
        """``report.html``, where one was written."""
        self._shown = shown
        self._coming = coming

    @property
    def answer(self) -> str:
        """In a sentence or three."""
        return self.document.answer

    @property
    def failed(self) -> int:
        """Runs that failed."""
        return sum(cell.failed for cell in self.document.cells)

    def verdicts(self) -> list[str]:
        """The words of all comparisons by the first metric, in the order of the table; without a verdict, as
        where the epoch was chosen on the test set, *undecided*."""
        return [c.verdict.word.value if c.verdict else "undecided" for c in self.document.comparisons]

    @property
    def coming(self) -> bool:
        """Whether runs are still to come, as far as that was looked at."""
        return bool(self._coming)

    def blocks(self, *, everything: bool = False) -> list[Block]:
        """What is shown, block by block."""
        return [*self._shown.blocks(everything=everything), *self._coming]

    def frame(self, each: Literal["cell", "run"] = "cell") -> pd.DataFrame:
        """The numbers, in each metric's unit; percentages as fractions.

        ``each="cell"``: a row for each data set × model × loss and metric: how it did, and how that compares
        with the baseline (docs/json.md has the words; ``n_compared`` and ``sd_delta`` are ``n`` and ``sd`` of
        the comparison). ``each="run"``: a row for each finished run and metric, with its ``value``.
        """
        import pandas as pd

        return pd.DataFrame(list(self._cells() if each == "cell" else self._runs()))

    def _cells(self) -> Iterator[dict[str, Any]]:
        from bench.reports.columns import flat

        families = (self.document, self.document.secondary)
        compared = {(*c.key, c.metric): flat(c) for family in families for c in family.comparisons}
        for family in families:
            for cell in family.cells:
                row = cell.model_dump(exclude={*_LISTS})
                comparison = compared.get((*cell.key, cell.metric), {})
                own = {_RENAMED.get(name, name): value for name, value in comparison.items()}
                yield row | {name: value for name, value in own.items() if name not in row}

    def _runs(self) -> Iterator[dict[str, Any]]:
        for cell in (*self.document.cells, *self.document.secondary.cells):
            named = {name: getattr(cell, name) for name in ("dataset", "model", "loss", "metric")}
            yield from (
                {**named, "seed": seed, "value": value}
                for seed, value in zip(cell.seeds, cell.values, strict=True)
            )

    def json(self) -> str:
        """The document that the command prints with ``--json``: docs/json.md."""
        return visible_json(self.document.model_dump_json(indent=1))

    def markdown(self, *, everything: bool = False) -> str:
        """As the command prints it into a file; ``everything``: also the evidence behind each verdict."""
        from bench.reports.render.markdown import markdown

        return visible(markdown(self.blocks(everything=everything)))

    def latex(self, label: str = "bench") -> str:
        """Tables to ``\\input`` into a paper, with booktabs; labels begin with ``tab:`` and ``label``."""
        from bench.reports.render.latex import latex

        return latex(self._shown, label)

    def html(self, *, everything: bool = False) -> str:
        """The same as a part of a page, without style. The whole page is in the suite's folder."""
        from bench.reports.render.html import html

        return html(self.blocks(everything=everything))

    def _repr_html_(self) -> str:
        return self.html()

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def __repr__(self) -> str:
        return self.markdown().rstrip("\n")
