"""The front door: what ``import bench`` gives, and what the verbs of the command stand on.

:mod:`~bench.front.door` is the API itself. :mod:`~bench.front.asking` reads what is asked for,
:mod:`~bench.front.naming` names functions as suites do, :mod:`~bench.front.training` and
:mod:`~bench.front.reporting` do what verbs do, and :mod:`~bench.front.report` is what they give back.
"""
