"""Versions of a user's code: which finished runs count for the code as it is now, and what jobs train.

:mod:`~bench.versions.digests` finds them in suites and runs, :mod:`~bench.versions.store` keeps them,
:mod:`~bench.versions.counting` says which finished runs count.
"""
