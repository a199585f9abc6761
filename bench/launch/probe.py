"""``python -m bench.launch.probe PACK``: trains the first run of a pack when told to, and says how fast.

Reads seconds from its standard input, one number a line, trains for that long and answers with one line of
JSON. Nothing is written anywhere.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from bench.launch.pack import Pack


def main(path: Path) -> None:
    """Print the memory that a run needs, then answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else is printed here is no answer
    pack = Pack.read(path)
    pack.find_modules()
    import torch

    from bench.training.device import prepare
    from bench.training.loop import Training

    device = prepare(pack.device)
    training = Training(pack.runs[0].resolve(), pack.data, device)
    for _ in zip(range(5), training.steps(), strict=False):  # four steps: all is there by then
        pass
    # The last batch of an epoch, and its end, need memory of their own.
    training.taken = max(training.taken, training.data.steps_per_epoch - 1)
    for _ in training.steps():
        pass
    training.end_epoch()
    memory, available = 0, 2**62
    if device.type == "cuda":
        memory, (available, _) = torch.cuda.max_memory_reserved(), torch.cuda.mem_get_info()
    print(json.dumps({"memory": memory, "available": available + memory}), file=answers)
    steps = training.steps()
    for line in sys.stdin:
        began, taken = time.monotonic(), 0
        while time.monotonic() - began < float(line):
            for _ in steps:
                taken += 1
                break
            else:
                training.end_epoch()
                steps = training.steps()
        if device.type == "cuda":
            torch.cuda.synchronize()
        rate = taken * training.data.step_size / (time.monotonic() - began)
        print(json.dumps({"rate": rate}), file=answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
