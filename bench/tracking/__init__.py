"""Run folders → MLflow: what is shown of a run (:mod:`~bench.tracking.record`), where it is kept
(:mod:`~bench.tracking.store`), and the mirror itself (:mod:`~bench.tracking.mirror`).
"""
