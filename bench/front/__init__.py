"""The front door: what ``import bench`` gives, and what the verbs of the command stand on.

:mod:`~bench.front.door` is the API itself. :mod:`~bench.front.suites` is a suite in Python's hands,
:mod:`~bench.front.naming` names functions as suite files do, and :mod:`~bench.front.asking` reads what is
asked for. :mod:`~bench.front.training` and :mod:`~bench.front.reporting` do what verbs do, and give back a
:mod:`~bench.front.report`, or what :mod:`~bench.front.looks` has.
"""
