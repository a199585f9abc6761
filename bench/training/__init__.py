"""One training: a function of the run alone. Launching decides only where it happens.

:mod:`bench.training.run` takes a run to its result by the :mod:`~bench.training.loop` of its epochs;
:mod:`~bench.training.data` holds what a run sees,
:mod:`~bench.training.augment` perturbs and :mod:`~bench.training.mix` mixes batches of it;
:mod:`~bench.training.step` is one step as a device does it, :mod:`~bench.training.replay` records and replays
it; :mod:`~bench.training.parameters` are what is trained, :mod:`~bench.training.optimization` builds the
optimizer, :mod:`~bench.training.schedules` has its learning rates;
:mod:`~bench.training.evaluation` scores; :mod:`~bench.training.checkpoint` saves what a training needs to go
on; :mod:`~bench.training.weights` makes a file of the weights where they are to be kept;
:mod:`~bench.training.device` makes a device repeat itself.
"""
