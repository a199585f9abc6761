"""RandAugment and random erasing of batches against torchvision's, of one image at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import Generator, Tensor
from torchvision.transforms import InterpolationMode, RandomErasing, autoaugment
from training.test_augment import IMAGES, augmented, chosen, drawn
from training.test_library_optimizers import assert_same, finished, interrupted, training

from bench.errors import BenchError
from bench.suite import Suite
from bench.training import augment, randaugment
from bench.training.loop import Training
from bench.transforms import RandAugment, choose_transform

Make = Callable[..., Suite]


def by_torchvision(name: str, options: RandAugment, images: Tensor, negative: bool) -> Tensor:
    """One operation of torchvision's RandAugment, of PIL images."""
    theirs = autoaugment.RandAugment(options.num_ops, options.magnitude, options.num_magnitude_bins)
    magnitudes, signed = theirs._augmentation_space(options.num_magnitude_bins, tuple(images.shape[2:]))[name]
    magnitude = float(magnitudes[options.magnitude]) if magnitudes.ndim > 0 else 0.0
    magnitude *= -1.0 if signed and negative else 1.0
    results = []
    for pixels in images.byte().permute(0, 2, 3, 1).numpy():
        image = Image.fromarray(pixels.squeeze(2) if images.shape[1] == 1 else pixels)
        result = autoaugment._apply_op(image, name, magnitude, InterpolationMode.NEAREST, None)
        results.append(torch.from_numpy(np.array(result)).float().view(*pixels.shape))
    return torch.stack(results).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    "options", [RandAugment(), RandAugment(magnitude=30), RandAugment(magnitude=0)], ids=str
)
@pytest.mark.parametrize("images", IMAGES.values(), ids=IMAGES.keys())
def test_every_operation_is_torchvisions_bit_for_bit(images: Tensor, options: RandAugment) -> None:
    images = images[:40]
    for number, name in enumerate(randaugment.OPERATIONS):
        for negative in (0, 1):
            parameters = torch.tensor([number, negative]).expand(len(images), 1, 2)
            result = randaugment.apply(options, parameters, images)
            assert torch.equal(result, by_torchvision(name, options, images, bool(negative))), (
                name,
                negative,
            )


def test_operations_follow_each_other_as_drawn() -> None:
    images, options = IMAGES["colour"], RandAugment(num_ops=3, magnitude=12)
    parameters = randaugment.draw(options, len(images), Generator().manual_seed(0))
    result = randaugment.apply(options, parameters, images)
    for number, (image, row) in enumerate(zip(images[:30], parameters, strict=False)):
        expected = image[None]
        for operation, negative in row.tolist():
            expected = by_torchvision(randaugment.OPERATIONS[operation], options, expected, bool(negative))
        assert torch.equal(result[number], expected[0])


def test_operations_and_signs_are_drawn_alike() -> None:
    assert [*autoaugment.RandAugment()._augmentation_space(31, (28, 28))] == [*randaugment.OPERATIONS]
    parameters = randaugment.draw(RandAugment(num_ops=2), 7000, Generator().manual_seed(0))
    pairs = torch.bincount((parameters[:, 0, 0] * 14 + parameters[:, 1, 0]) * 2 + parameters[:, 0, 1])
    assert len(pairs) == 14 * 14 * 2
    assert stats.chisquare(pairs.numpy()).pvalue > 0.001


def test_a_chunk_is_what_it_is_in_the_whole() -> None:
    images, transforms = IMAGES["colour"], chosen("randaugment", "flip", "erasing")
    parameters, mean = drawn(transforms, images), torch.tensor([10.0, 20.0, 30.0]).view(1, 3, 1, 1)
    whole = augment.apply(transforms, parameters, images, slice(0, 100), mean)
    part = augment.apply(transforms, parameters, images[30:57], slice(30, 57), mean)
    assert torch.equal(whole[30:57], part)


def test_images_stay_as_they_are() -> None:
    before = IMAGES["noise"].clone()
    augmented(chosen("randaugment", "erasing"), IMAGES["noise"])
    assert torch.equal(before, IMAGES["noise"])


# ------------------------------------------------------------------------------------------- erasing


def boxes(value: Any, count: int, height: int, width: int) -> Tensor:
    [found] = augment.draw([choose_transform(value)], count, (3, height, width), Generator().manual_seed(3))
    return found


@pytest.mark.parametrize("ranges", [{}, {"scale": [0.1, 0.9], "ratio": [0.2, 4]}], ids=str)
def test_boxes_are_distributed_as_torchvisions(ranges: dict[str, Any]) -> None:
    height, width, count = 20, 31, 4000
    found = boxes({"erasing": {"p": 1, **ranges}}, count, height, width)
    torch.manual_seed(0)
    theirs = RandomErasing(**{"p": 1, **ranges})
    image = torch.zeros(3, height, width)
    params = [RandomErasing.get_params(image, theirs.scale, theirs.ratio, [0.0])[:4] for _ in range(count)]
    expected = torch.tensor([(0, 0, 0, 0) if (h, w) == (height, width) else (i, j, i + h, j + w)
                             for i, j, h, w in params])  # fmt: skip
    for column in range(4):
        assert stats.ks_2samp(found[:, column], expected[:, column]).pvalue > 0.001
    areas = [((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])).numpy() for b in (found, expected)]
    assert stats.ks_2samp(*areas).pvalue > 0.001


def test_some_images_are_left_whole_and_boxes_filled() -> None:
    images = IMAGES["colour"]
    found = boxes({"erasing": {"p": 0.4}}, 100, 32, 32)
    assert 20 < int(found.any(1).sum()) < 60
    transforms, mean = chosen({"erasing": {"p": 0.4}}), torch.tensor([10.5, 20.5, 30.5])
    result = augment.apply(transforms, [found], images, slice(0, 100), mean.view(1, 3, 1, 1))
    for image, erased, (top, left, bottom, right) in zip(images, result, found.tolist(), strict=True):
        expected = image.clone()
        expected[:, top:bottom, left:right] = mean[:, None, None]
        assert torch.equal(erased, expected)
    black = augment.apply(chosen({"erasing": {"p": 0.4, "value": 0}}), [found], images, slice(0, 100))
    assert (black[result != images] == 0).all()


def test_the_mean_is_what_normalises_to_nothing(make_suite: Make, tmp_path: Path) -> None:
    erase_all = {
        "erasing": {"p": 1, "scale": [0.9, 0.9], "ratio": [1, 1]}
    }  # 8 × 8 pixels of 8 × 8 do not fit
    made = training(make_suite, tmp_path, {"augment": [{**erase_all}]})
    raw, mean = made.data.images[:50].float(), made.data.normalised.mean
    erased = augment.apply([choose_transform({"erasing": {"p": 1}})],
                           [torch.tensor([[0, 0, 8, 8]]).expand(50, 4)], raw, slice(0, 50), mean)  # fmt: skip
    assert made.data.normalised(erased).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ([{"randaugment": {"magnitude": 31}}], "magnitude: found 31, expected less than the 31 of num_magn"),
        ([{"randaugment": {"n": 2}}], "unknown key 'n'; allowed: magnitude, num_magnitude_bins, num_ops"),
        ([{"erasing": {"scale": [0.3, 0.1]}}], "scale: found 0.3 to 0.1, expected shares of the image"),
        ([{"erasing": {"ratio": [0, 1]}}], "ratio: found 0 to 1, expected height by width, above 0"),
        ([{"erasing": {"value": 256}}], "value.*256.*less than or equal to 255"),
        (["erasing", "flip"], "augment: erasing comes last, found flip after it"),
        (["randaugmnt"], "unknown augmentation 'randaugmnt'; .*did you mean 'randaugment'"),
    ],
)
def test_wrong_options_are_named(make_suite: Make, augment: Any, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        make_suite(recipe={"augment": augment})


def test_images_of_other_channels_are_refused() -> None:
    with pytest.raises(BenchError, match="randaugment takes grey images or RGB, found 4 channels"):
        augment.draw(chosen("randaugment"), 3, (4, 8, 8), Generator())


ALL = {"batch_size": 10, "augment": ["flip", "randaugment", "erasing"], "mix": "mixup_or_cutmix"}


def test_interrupted_anywhere_to_the_same_bits(make_suite: Make, tmp_path: Path) -> None:
    def whole() -> Training:
        return training(make_suite, tmp_path, ALL)

    final = finished(whole())
    for steps in (1, 5, 9):
        assert_same(final, interrupted(whole, steps))


def test_two_losses_see_the_same_images(make_suite: Make, tmp_path: Path) -> None:
    ce, mae = (training(make_suite, tmp_path, ALL, losses=loss).data for loss in ("ce", "mae"))
    for (images, target), (same, same_target) in zip(ce.batches(1), mae.batches(1), strict=True):
        assert torch.equal(images, same)
        assert torch.equal(target, same_target)
    assert not torch.equal(next(ce.batches(0))[0], next(ce.batches(1))[0])
