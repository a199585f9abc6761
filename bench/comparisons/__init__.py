"""Results → comparisons: from run folders, or from anybody's table, to verdicts with their evidence.

:mod:`~bench.comparisons.runs` and :mod:`~bench.comparisons.external` read what was measured,
:mod:`~bench.comparisons.analysis` compares it with the baseline, by the rules of
:mod:`~bench.comparisons.designs`, :mod:`~bench.comparisons.until_decided` or
:mod:`~bench.comparisons.resampled`, which share :mod:`~bench.comparisons.adjustment`, and
:mod:`~bench.comparisons.comparison` is what comes out of that.
:mod:`~bench.comparisons.agreement_file` keeps all that comparisons are made of. Nothing here knows
how they are shown.
"""
