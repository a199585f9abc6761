"""What does it save that a process keeps the memory which a step frees, on a CPU?

    python benchmarks/kept_memory.py [--rounds 5]

Processes that keep it (:func:`bench.training.device.keep_memory`, as every worker does) and processes that do
not take turns; each trains a few steps on letters of 28 × 28 in batches of 256. Prints the processor's time a
step, medians, and whether the weights came out the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.suite import Suite

MODELS = ("vgg5-tiny", "timm/test_efficientnet")
STEPS, WARM = 20, 5


def main() -> None:
    """Take turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return print(json.dumps(steps(*arguments.child)))
    print("| model | kept, ms a step | given back, ms a step | beside | same weights |")
    print("| --- | ---: | ---: | ---: | --- |")
    for model in MODELS:
        found: dict[str, list[tuple[float, str]]] = {"kept": [], "given back": []}
        for _ in range(arguments.rounds):
            for how, times in found.items():
                command = [sys.executable, __file__, "--child", model, how]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                times.append(tuple(json.loads(done.stdout)))
        kept, back = (statistics.median(took for took, _ in found[how]) for how in found)
        same = len({weights for times in found.values() for _, weights in times}) == 1
        print(
            f"| {model} | {kept:.1f} | {back:.1f} | {back / kept:.2f}× | {'yes' if same else 'NO'} |",
            flush=True,
        )


def steps(model: str, how: str) -> tuple[float, str]:
    """Milliseconds of the processor a step, and a digest of the weights."""
    from bench.training import device as devices
    from bench.training.loop import Training

    if how == "given back":
        devices.keep_memory = lambda: None
    device = devices.prepare("cpu")
    suite = Suite.model_validate(
        {
            "name": "memory",
            "question": "How fast?",
            "datasets": {"synthetic-letters": {"train_size": 256 * (STEPS + WARM + 1), "test_size": 100}},
            "models": model,
            "losses": "ce",
            "seeds": 1,
            "selection": "last",
            "recipe": {"batch_size": 256, "epochs": 1},
        }
    )
    training = Training(suite.runs()[0].resolve(), Path("data"), device)
    began = 0.0
    for number, _ in zip(range(STEPS + WARM), training.steps(), strict=False):
        if number + 1 == WARM:
            began = time.process_time()
    took = time.process_time() - began
    weights = hashlib.sha256()
    for value in training.step.model.state_dict().values():
        weights.update(value.contiguous().numpy().tobytes())
    return 1000 * took / STEPS, weights.hexdigest()


if __name__ == "__main__":
    main()
