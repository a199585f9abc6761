"""Comparisons of cells with their baseline, and how they are shown.

:mod:`bench.reports.analysis` turns counts into comparisons (:mod:`~bench.reports.documents`);
:mod:`~bench.reports.comparison` feeds it from a suite's run folders, with what
:mod:`~bench.reports.agreement` says about single images; :mod:`~bench.reports.text` writes the tables as
Markdown; :mod:`~bench.reports.html` the page; :mod:`~bench.reports.files` puts them on disk.
"""
