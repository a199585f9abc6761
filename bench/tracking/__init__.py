"""Run folders → MLflow: the :mod:`~bench.tracking.record` of a run, the :mod:`~bench.tracking.store` that
keeps it, and the :mod:`~bench.tracking.mirror` that writes it there.
"""
