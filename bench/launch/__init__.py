"""Runs → packs → jobs, and their states.

:mod:`~bench.launch.grouping` decides which runs share a job, :mod:`~bench.launch.pack` is the order that a
job gets, :mod:`~bench.launch.worker` carries it out by one :mod:`~bench.launch.attempt` a run,
:mod:`~bench.launch.side_by_side` says how many at once on one GPU (:mod:`~bench.launch.probe` is measured).

:mod:`~bench.launch.local` trains on this machine and watches. Through a queue, :mod:`~bench.launch.cluster`
has a :mod:`~bench.launch.submitter` submit :mod:`~bench.launch.arrays` of jobs by a
:mod:`~bench.launch.profile` until nothing is missing; :mod:`~bench.launch.continuation` does so while nobody
watches. :mod:`~bench.launch.submission` is one array on disk, :mod:`~bench.launch.ended` the note of a job
that ended, :mod:`~bench.launch.queue` the state of all jobs, :mod:`~bench.launch.status` that of the suite.
Both ways ask :mod:`~bench.launch.executors` to run jobs: Slurm, or this machine.
"""
