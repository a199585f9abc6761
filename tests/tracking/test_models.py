"""Models of runs that kept their weights, as MLflow loads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers import alike
from mirrored import begin, make_suite, mirrored

from bench.tracking.mirror import Mirror
from bench.tracking.store import default_uri


def test_a_model_is_what_was_trained_and_is_logged_once(results: Path) -> None:
    import mlflow.pytorch
    import torch
    from safetensors.torch import save

    from bench import models

    suite = make_suite(losses="ce")
    kept, other = (begin(results, run) for run in suite.runs())
    network = models.build(suite.runs()[0].resolve().model, (1, 8, 8), 10).eval()
    truth = np.arange(10, dtype=np.uint8)
    scores = {"correct": 10, "total": 10, "epoch": 1, "nll": 0.5, "brier": 0.1, "ece": 0.01, "seconds": 1.0}
    kept.finish(scores, alike(truth, truth, scores), save(network.state_dict()))
    other.finish(scores, alike(truth, truth, scores))
    uri = default_uri(results)
    Mirror(suite, results, uri).sync()
    assert [Mirror(suite, results, uri).log_models(results / "data") for _ in range(2)] == [1, 0]
    run = mirrored(uri)[1][kept.run_id]
    place = run.info.artifact_uri.removeprefix("file://") + "/model"
    loaded = mlflow.pytorch.load_model(place)
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(loaded(images), network(images))
    described = mlflow.models.get_model_info(place).signature.to_dict()
    assert '"shape": [-1, 1, 8, 8]' in described["inputs"]
    assert '"shape": [-1, 10]' in described["outputs"]
