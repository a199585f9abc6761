"""Comparisons of cells with their baseline, and how they are shown.

:mod:`bench.reports.comparison` turns results into a :class:`~bench.reports.comparison.Report`;
:mod:`~bench.reports.text` writes it as Markdown; :mod:`~bench.reports.files` puts it on disk.
"""
