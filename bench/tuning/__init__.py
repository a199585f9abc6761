"""Searches: what their trials have found, and which setting of each has won.

:mod:`~bench.tuning.trials` reads trials from run folders, :mod:`~bench.tuning.winners` chooses by their
validation scores, and so says what a tuned suite asks for next.
"""
