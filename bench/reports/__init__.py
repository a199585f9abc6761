"""Comparisons → one document → a terminal, Markdown, LaTeX, a page, figures.

:mod:`~bench.reports.build` makes a :class:`~bench.reports.schema.Report` of a suite's results, and
:mod:`~bench.reports.external` the like of anybody's table: built once, and printed by ``--json``.
:mod:`~bench.reports.document` turns it into :mod:`~bench.reports.blocks`, with the tables of
:mod:`~bench.reports.comparison_tables` and :mod:`~bench.reports.rank_tables`: in these,
:mod:`~bench.reports.columns` says what a column is, :mod:`~bench.reports.formats` how numbers and names are
written, and :mod:`~bench.reports.answer` what may be said. :mod:`~bench.reports.render` draws blocks, and
:mod:`~bench.reports.html` makes a page of them; :mod:`~bench.reports.figures` draws pictures;
:mod:`~bench.reports.files` puts all of it on disk. For a paper, :mod:`~bench.reports.methods` has prose,
which cites :mod:`~bench.reports.references`. :mod:`~bench.reports.diff` lays two reports side by side.

``bench evaluate``: :mod:`~bench.reports.audit` and its :mod:`~bench.reports.audit_text`. ``bench export``:
:mod:`~bench.reports.card`, the model card, with lines of Python from :mod:`~bench.reports.loading`.
:mod:`~bench.reports.claim` needs but two numbers.
"""
