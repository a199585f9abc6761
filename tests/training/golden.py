"""Prints the id and a digest of the final weights of a run for each name that recipes have had all along.

For a process of its own, with the instructions that every x86-64 processor has: the same bits on all of them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from bench.suite import Suite
from bench.training.device import prepare
from bench.training.loop import Training

ADAM = {"adam": {"lr": 0.003}}
RECIPES: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": ADAM, "augment": ["perspective", {"shift": {"pixels": 1}}]},
    "adam, weight_decay": {"optimizer": {"adam": {"weight_decay": 0.01}}, "schedule": "cosine"},
    "adamw": {
        "optimizer": "adamw",
        "schedule": "one_cycle",
        "augment": ["rotation", {"crop": {"padding": 1}}],
    },
    "sgd": {"optimizer": {"sgd": {"lr": 0.03}}, "schedule": {"cosine": {"warmup_epochs": 1}}, "mix": "mixup"},
    "nesterov": {
        "optimizer": {"sgd": {"lr": 0.03, "nesterov": True, "weight_decay": 1e-4}},
        "schedule": "random_cube",
        "augment": ["flip"],
        "mix": "cutmix",
    },
    "bf16": {"optimizer": ADAM, "precision": "bf16"},
}


def main(folder: Path) -> None:
    """Train them all, on images below ``folder``."""
    found = {}
    for name, recipe in RECIPES.items():
        suite = Suite.model_validate(
            {
                "name": "golden",
                "question": "Are they as they were?",
                "datasets": {"digits": {"train_size": 200, "test_size": 100}},
                "models": {"vgg5-tiny": {"width": 4}},
                "losses": {"mix_ent": {"learn": "square"}},
                "seeds": 1,
                "selection": "validation",
                "recipe": {"epochs": 2, "batch_size": 32, **recipe},
            }
        )
        [run] = suite.runs()
        training = Training(run.resolve(), folder, prepare("cpu"))
        while training.epoch < 2:
            for _ in training.steps():
                pass
            training.end_epoch()
        state = {**training.step.model.state_dict(), **training.step.objective.state_dict()}
        digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in state.values()))
        found[name] = [run.id, digest.hexdigest()[:16]]
    print(json.dumps(found, indent=4))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
