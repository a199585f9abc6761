"""The network of a finished run that kept its weights, as MLflow keeps models."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from bench import datasets, models
from bench.results.folder import RunFolder
from bench.runs import Run


def save_model(run: Run, folder: RunFolder, data: Path, place: Path) -> str:
    """Save what ``mlflow.pytorch.load_model`` loads, with its signature: normalised images [N, C, H, W] to
    logits [N, classes], both float32.

    Returns the digest of its weights; empty, and nothing is saved, where there is nothing to save: the run
    has not finished, kept no weights, or is of a trainer of the user's own.

    Raises:
        BenchError: the weights are not what the run wrote, or the data set, whose form decides that of the
            network, cannot be read.
    """
    result = folder.result()
    if run.trainer is not None or result is None or (weights := folder.weights(result)) is None:
        return ""
    import mlflow.pytorch
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec
    from safetensors.torch import load

    resolved = run.resolve()
    form = datasets.FORMS.get(resolved.dataset.name) or datasets.load(resolved.dataset, data).form
    shape, classes = form.shape, form.classes
    network = models.build(resolved.model, shape, classes)
    network.load_state_dict(load(weights))
    images, logits = (TensorSpec(np.dtype("float32"), (-1, *ends)) for ends in (shape, (classes,)))
    signature = ModelSignature(inputs=Schema([images]), outputs=Schema([logits]))
    options: dict[str, Any] = {"signature": signature, "pip_requirements": ["lossbench", "torch"]}
    if "serialization_format" in inspect.signature(mlflow.pytorch.save_model).parameters:
        options["serialization_format"] = "pickle"  # not a trace, which would be of one number of images
    mlflow.pytorch.save_model(network.eval(), str(place), **options)
    return result.weights_sha256 or ""
