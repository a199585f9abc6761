"""The run folder: the only source of truth.

``results/runs/<run id>/`` holds at most five files:

``run.json``
    the resolved description, who trained it, where and with what; one entry an attempt.
``metrics.jsonl``
    one line an epoch.
``checkpoint.pt``
    only while the run is unfinished.
``predictions.npz``
    what the run answers to each test image: :mod:`bench.predictions`. Older runs have a ``predictions.npy``,
    uint8 [2, N], with the predicted and the true class alone.
``weights.safetensors``
    only where the suite keeps weights: those of the epoch that counts.
``result.json``
    written last: its presence, and nothing else, means done.
``failure.json``
    instead of a result: the reason and the trace. Such a run stays failed until someone retries it.
``work/``
    only while the run is unfinished, and where a trainer of the user's own trains it: whatever that keeps.

Every file appears whole: written under a name of its own, then moved into place.
"""
