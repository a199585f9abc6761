"""Losses of other libraries as they come: each works, or is refused with what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Tried = Callable[..., str]

ONE_HOT = "it takes a row of 0 and 1 for each label: give it the option `target: one_hot`"
NO_CLASSIFIER = "give it a method `logits(features)` that classifies, or add a loss of the logits to it"
SHAPE = "it is called as f(logits, target): docs/own-loss.md shows a wrapper"
PML = "pytorch_metric_learning.losses"
EMBEDDED = {"num_classes": 10, "embedding_size": 128}

THIRD_PARTY: list[tuple[str, dict[str, Any], str]] = [
    ("torch.nn:CrossEntropyLoss", {"weight": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}, ""),
    (
        "torch.nn:CrossEntropyLoss",
        {"weight": [1, 2]},
        "its option weight has 2 entries, and there are 10 c",
    ),
    (
        "torch.nn:CrossEntropyLoss",
        {"reduction": "none"},
        "it returns [4], expected one number, the mean over ",
    ),
    ("torch.nn:CrossEntropyLoss", {"smoothing": 0.1}, "did you mean 'label_smoothing'?"),
    ("torch.nn.functional:cross_entropy", {"label_smoothing": 0.1}, ""),
    ("torch.nn:MultiMarginLoss", {}, ""),
    ("torch.nn:NLLLoss", {}, "it takes log-probabilities, and gets logits; use the loss that takes logits"),
    ("torch.nn:KLDivLoss", {"target": "one_hot"}, "it takes log-probabilities, and gets logits"),
    ("torch.nn:BCEWithLogitsLoss", {}, ONE_HOT),
    ("torch.nn:BCEWithLogitsLoss", {"target": "one_hot", "pos_weight": [9] * 10}, ""),
    ("torch.nn:BCELoss", {}, "call it with logits.softmax(1) and the option `target: one_hot`"),
    ("torch.nn:MSELoss", {}, ONE_HOT),
    ("torch.nn:MultiLabelMarginLoss", {}, SHAPE),
    (
        "torch.nn:TripletMarginLoss",
        {},
        "it is called as f(logits, target), so write a function that also gives",
    ),
    ("timm.loss:LabelSmoothingCrossEntropy", {}, ""),
    ("timm.loss:BinaryCrossEntropy", {}, ""),
    ("timm.loss:PolyCrossEntropy", {}, ""),
    ("timm.loss:SoftTargetCrossEntropy", {}, ONE_HOT),
    ("timm.loss:JsdCrossEntropy", {}, SHAPE),
    ("torchvision.ops:sigmoid_focal_loss", {}, f"{ONE_HOT}, and give it the option `reduction: mean`"),
    ("torchvision.ops:sigmoid_focal_loss", {"target": "one_hot", "reduction": "mean"}, ""),
    ("kornia.losses:FocalLoss", {}, "it needs the option alpha"),
    ("kornia.losses:FocalLoss", {"alpha": 0.5}, "give it the option `reduction: mean`"),
    ("kornia.losses:focal_loss", {"alpha": 0.5, "reduction": "mean"}, ""),
    ("kornia.losses:LovaszSoftmaxLoss", {}, SHAPE),
    ("monai.losses:FocalLoss", {}, ONE_HOT),
    ("monai.losses:FocalLoss", {"target": "one_hot"}, ""),
    ("monai.losses:DiceLoss", {"target": "one_hot", "softmax": True}, ""),
    (f"{PML}:ArcFaceLoss", {}, "it needs the options num_classes, embedding_size"),
    (f"{PML}:ArcFaceLoss", EMBEDDED, ""),
    (f"{PML}:ArcFaceLoss", {**EMBEDDED, "embedding_size": 10}, "each image has 128 features"),
    (f"{PML}:SubCenterArcFaceLoss", EMBEDDED, ""),
    (f"{PML}:TripletMarginLoss", {}, NO_CLASSIFIER),
    (f"{PML}:SupConLoss", {}, NO_CLASSIFIER),
]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [pytest.param(*each, id=f"{each[0]}-{'-'.join(map(str, each[1])) or 'plain'}") for each in THIRD_PARTY],
)
def test_losses_of_others(tried: Tried, name: str, options: dict[str, Any], words: str) -> None:
    said = tried(losses={name: options})
    assert words in said
    assert (said == "") == (words == "")
    assert name in said or not said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torch.nn:CrossEntropyLoss", ""),
        ("torch.nn:BCEWithLogitsLoss", ""),
        ("timm.loss:SoftTargetCrossEntropy", ""),
        (
            "timm.loss:LabelSmoothingCrossEntropy",
            "it takes class numbers, and recipe.mix makes",
        ),
        ("torch.nn:MultiMarginLoss", "it takes class numbers, and recipe.mix makes probabilities of them"),
        ("torch.nn:BCELoss", "call it with logits.softmax(1) (docs"),
    ],
)
def test_losses_of_others_where_labels_are_mixed(tried: Tried, name: str, words: str) -> None:
    said = tried(losses=name, recipe={"mix": "mixup"})
    assert words in said
    assert (said == "") == (words == "")
