"""One training: a function of the run alone. Launching decides only where it happens.

:mod:`bench.training.run` takes a run to its result by the :mod:`~bench.training.loop` of its epochs;
:mod:`~bench.training.data` gives its batches, which :mod:`~bench.training.augment` perturbs and
:mod:`~bench.training.mix` mixes; :mod:`~bench.training.step` is one step as a device does it,
:mod:`~bench.training.replay` records and replays it; :mod:`~bench.training.parameters` are what is trained,
:mod:`~bench.training.optimization` builds the optimizer, :mod:`~bench.training.schedules` its learning rates;
:mod:`~bench.training.evaluation` scores; :mod:`~bench.training.checkpoint` saves the state of a training,
:mod:`~bench.training.weights` the weights; :mod:`~bench.training.device` makes a device deterministic.
"""
