"""Comparisons of cells with their baseline, and how they are shown.

``bench report``: :mod:`~bench.reports.comparison` reads a suite's run folders, and with
:mod:`~bench.reports.agreement` the answers to single images. ``bench compare``: :mod:`~bench.reports.tables`
reads anybody's file, :mod:`~bench.reports.columns` finds out which column is which,
:mod:`~bench.reports.rows` and :mod:`~bench.reports.scores` make counts of it, and
:mod:`~bench.reports.compare` asks the question; :mod:`~bench.reports.claim` needs but two numbers.

Both meet in :mod:`~bench.reports.analysis`, which turns counts into comparisons
(:mod:`~bench.reports.documents`); :mod:`~bench.reports.text` writes them as Markdown,
:mod:`~bench.reports.terminal` draws that, :mod:`~bench.reports.html` makes one page of all, and
:mod:`~bench.reports.figures` the figures; :mod:`~bench.reports.beside` lays two reports side by side. For a
paper, :mod:`~bench.reports.latex` has tables and :mod:`~bench.reports.methods` prose, which cites
:mod:`~bench.reports.references`. :mod:`~bench.reports.files` puts a suite's tables on disk.

``bench evaluate``: :mod:`~bench.reports.audit` and its :mod:`~bench.reports.audit_text`. ``bench export``:
:mod:`~bench.reports.card`, the model card, with lines of Python from :mod:`~bench.reports.loading`.
"""
