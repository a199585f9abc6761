"""Runs → packs → jobs, and what became of them.

:mod:`bench.launch.pack` is the order that a job gets; :mod:`~bench.launch.worker` carries it out;
:mod:`~bench.launch.local` submits to this machine and watches; :mod:`~bench.launch.status` says how a suite
stands, from its files alone.
"""
