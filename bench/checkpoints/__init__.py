"""Weights that others have published, and weights that runs leave: read, tried, handed on.

:mod:`~bench.training.reading` takes tensors out of a file and runs none of its code;
:mod:`~bench.checkpoints.keys` renames them; :mod:`~bench.checkpoints.fitting` puts them into a network and
finds out which class its outputs stand for; :mod:`~bench.checkpoints.answers` asks it about test images.
:mod:`~bench.checkpoints.repetition` gets at the weights of a run that kept none.
"""
