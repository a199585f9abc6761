"""Runs → packs → jobs, and what became of them.

:mod:`~bench.launch.grouping` decides which runs share a job, :mod:`~bench.launch.pack` is the order that a
job gets, :mod:`~bench.launch.worker` carries it out, :mod:`~bench.launch.side_by_side` says how many do so on
one GPU (:mod:`~bench.launch.probe` is what it measures, :mod:`~bench.launch.gpus` which there are).

:mod:`~bench.launch.local` trains on this machine and watches. Through a queue, :mod:`~bench.launch.cluster`
has a :mod:`~bench.launch.submitter` submit what is missing, by a :mod:`~bench.launch.profile`, until nothing
is; :mod:`~bench.launch.continuation` does so while nobody watches. :mod:`~bench.launch.submission` is one
array of jobs on disk, :mod:`~bench.launch.ended` is what a job says when it ends, :mod:`~bench.launch.queue`
what became of it all, and :mod:`~bench.launch.status` says how a suite stands. Both ways ask
:mod:`~bench.launch.executors` to run jobs: Slurm, or this machine.
"""
