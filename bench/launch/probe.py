"""``python -m bench.launch.probe PACK``: trains the first run of a pack when told to, and says how fast.

Reads seconds from its standard input, one number a line, trains for that long and answers with one line of
JSON. Nothing is written anywhere.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench.launch.pack import Pack

if TYPE_CHECKING:
    from bench.training.loop import Training

REHEARSED = 4  # steps before the first answer


def main(path: Path) -> None:
    """Say what a run needs, then answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed here is no answer
    pack = Pack.read(path)
    sys.path[:0] = [folder for folder in pack.search_path if folder not in sys.path]
    import torch

    from bench.training.device import prepare
    from bench.training.loop import Training

    device = prepare(pack.device)
    training = Training(pack.runs[0].resolve(), pack.data, device)
    for number, _ in enumerate(training.steps(), start=1):
        if number > REHEARSED:
            break
    # The last batch of an epoch, and its end, need memory of their own.
    training.taken = max(training.taken, training.data.steps_per_epoch - 1)
    for _ in training.steps():
        pass
    training.end_epoch()
    if device.type == "cuda":
        memory, (available, _) = torch.cuda.max_memory_reserved(), torch.cuda.mem_get_info()
    else:
        memory, available = 0, 2**62
    print(json.dumps({"memory": memory, "available": available + memory}), file=answers, flush=True)
    steps = _endless(training)
    for line in sys.stdin:
        began, taken = time.monotonic(), 0
        while time.monotonic() - began < float(line):
            next(steps)
            taken += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
        rate = taken * training.recipe.batch_size / (time.monotonic() - began)
        print(json.dumps({"rate": rate}), file=answers, flush=True)


def _endless(training: Training) -> Iterator[None]:
    while True:
        yield from training.steps()
        training.end_epoch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
