"""Batched augmentation against the real thing: torchvision's transforms of one PIL image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from sklearn.datasets import load_digits
from torch import Generator, Tensor
from torchvision import transforms as torchvision_transforms
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as pil

from bench.registry import Choice
from bench.training import augment
from bench.transforms import TRANSFORMS, choose_transform

ALWAYS = {"perspective": {"p": 1.0}}
REFERENCE = ["perspective", "rotation"]  # what arXiv:2501.13709 trains with


def chosen(*values: object) -> list[Choice]:
    return [choose_transform(value) for value in values]


def drawn(transforms: list[Choice], images: Tensor, seed: int = 0) -> augment.Parameters:
    _, channels, height, width = images.shape
    shape = (channels, height, width)
    return augment.draw(transforms, len(images), shape, Generator().manual_seed(seed))


def augmented(transforms: list[Choice], images: Tensor, seed: int = 0) -> Tensor:
    return augment.apply(transforms, drawn(transforms, images, seed), images, slice(0, len(images)))


def digits(side: int = 28, count: int = 300) -> Tensor:
    """Real handwriting, float32 [count, 1, side, side], whole numbers from 0 to 255."""
    images = torch.from_numpy(load_digits().images[:count] * (255 / 16)).float()[:, None]
    return torch.nn.functional.interpolate(images, size=(side, side), mode="bilinear").round()


def noise(count: int, *shape: int) -> Tensor:
    """The hardest case: no two neighbours alike, and borders that are not black."""
    return torch.randint(0, 256, (count, *shape), generator=Generator().manual_seed(1)).float()


def corners(inwards: Tensor, width: int, height: int) -> tuple[list[list[int]], list[list[int]]]:
    """torchvision's start and end points for one image."""
    start = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    signs = [[1, 1], [-1, 1], [-1, -1], [1, -1]]
    return start, (torch.tensor(start) + torch.tensor(signs) * inwards).tolist()


def by_torchvision(transforms: list[Choice], parameters: augment.Parameters, images: Tensor) -> Tensor:
    """The same parameters, one PIL image at a time."""
    _, channels, height, width = images.shape
    results = []
    for i, pixels in enumerate(images.byte().permute(0, 2, 3, 1).numpy()):
        image = Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels)
        for transform, rows in zip(transforms, parameters, strict=True):
            row = rows[i]
            if transform.name == "perspective" and row.any():
                image = pil.perspective(image, *corners(row, width, height), InterpolationMode.BILINEAR, 0)
            elif transform.name == "rotation":
                image = pil.rotate(image, row.item(), InterpolationMode.NEAREST, fill=0)
            elif transform.name == "shift":
                image = pil.affine(image, 0.0, row.tolist(), 1.0, [0.0, 0.0])
            elif transform.name == "crop":
                padded = pil.pad(image, transform.options.model_dump()["padding"])
                image = pil.crop(padded, *row.tolist(), height, width)
            elif transform.name == "flip" and row:
                image = pil.hflip(image)
        results.append(torch.from_numpy(np.array(image)).float().view(height, width, channels))
    return torch.stack(results).permute(0, 3, 1, 2)


IMAGES = {
    "digits": digits(),
    "digits 8×8": digits(8),
    "noise": noise(200, 1, 28, 28),
    "colour": noise(100, 3, 32, 32),
    "oblong": noise(100, 1, 20, 37),
}
EXACT = [{"rotation": {"degrees": 10}}, {"rotation": {"degrees": 180}}, {"shift": {"pixels": 3}}]
EXACT += [{"crop": {"padding": 4}}, "flip", {"flip": {"p": 1}}]


@pytest.mark.parametrize("images", IMAGES.values(), ids=IMAGES.keys())
@pytest.mark.parametrize("value", EXACT, ids=str)
def test_all_but_perspective_are_torchvisions_bit_for_bit(value: object, images: Tensor) -> None:
    transforms = chosen(value)
    parameters = drawn(transforms, images)
    result = augment.apply(transforms, parameters, images, slice(0, len(images)))
    assert torch.equal(result, by_torchvision(transforms, parameters, images))


# Mean absolute difference on the 0–1 scale, share of pixels that differ at all, and share that differ by
# more than one grey level. The last are pixels mapped exactly onto the input's edge, where rounding errors
# decide between border and black: more of them in 8×8, and visible only where the border is not black.
BOUNDS = {
    "digits": (3e-4, 1e-3, 5e-4),
    "digits 8×8": (3e-3, 8e-3, 4e-3),
    "noise": (6e-4, 2e-3, 1e-3),
    "colour": (6e-4, 2e-3, 1e-3),
    "oblong": (6e-4, 2e-3, 1e-3),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("values", [[ALWAYS], [ALWAYS, "rotation"]], ids=["perspective", "both"])
def test_perspective_differs_by_rounding_only(name: str, values: list[object]) -> None:
    images, transforms = IMAGES[name], chosen(*values)
    parameters = drawn(transforms, images)
    result = augment.apply(transforms, parameters, images, slice(0, len(images)))
    difference = (result - by_torchvision(transforms, parameters, images)).abs()
    mean, differing, visible = BOUNDS[name]
    assert difference.mean() / 255 < mean
    assert (difference > 0).float().mean() < differing
    assert (difference > 1).float().mean() < visible


def test_perspective_keeps_flat_areas_and_whole_numbers() -> None:
    white = torch.full((200, 1, 28, 28), 255.0)
    assert set(augmented(chosen(ALWAYS), white).unique().tolist()) == {0.0, 255.0}
    result = augmented(chosen(ALWAYS), digits())
    assert torch.equal(result, result.byte().float())


def test_the_most_distorted_perspective_is_finite() -> None:
    """Corners may then pass each other: there is a map, or none at all, but no NaN."""
    for images in (noise(2000, 1, 8, 8), noise(200, 1, 1, 1)):
        result = augmented(chosen({"perspective": {"distortion": 1, "p": 1}}), images)
        assert torch.equal(result, result.byte().float())


@pytest.mark.parametrize("distortion", [0.2, 0.5, 1.0])
def test_corners_are_drawn_as_torchvision_draws_them(distortion: float) -> None:
    count, height, width = 3000, 20, 37
    transforms = chosen({"perspective": {"distortion": distortion, "p": 1}})
    [inwards] = augment.draw(transforms, count, (1, height, width), Generator().manual_seed(0))
    ours = torch.tensor([corners(row, width, height)[1] for row in inwards])
    torch.manual_seed(0)
    get_params = torchvision_transforms.RandomPerspective.get_params
    theirs = torch.tensor([get_params(width, height, distortion)[1] for _ in range(count)])
    assert torch.equal(ours.amin(0), theirs.amin(0))  # inclusive at both ends, as randint(low, high + 1) is
    assert torch.equal(ours.amax(0), theirs.amax(0))
    for corner in range(4):
        for axis in range(2):
            assert stats.ks_2samp(ours[:, corner, axis], theirs[:, corner, axis]).pvalue > 1e-3
    moves = inwards.flatten(1).double().T.corrcoef()
    assert (moves - torch.eye(8)).abs().max() < 0.08  # eight independent draws; 0.018 is one sd


def test_other_parameters_are_drawn_as_torchvision_draws_them() -> None:
    count = 3000
    transforms = chosen(
        {"rotation": {"degrees": 10}},
        {"shift": {"pixels": 2}},
        {"crop": {"padding": 2}},
        {"flip": {"p": 0.3}},
    )
    parameters = augment.draw(transforms, count, (1, 20, 40), Generator().manual_seed(0))
    torch.manual_seed(0)
    affine = torchvision_transforms.RandomAffine.get_params
    shifts = [affine([0, 0], [2 / 40, 2 / 20], None, None, [40, 20])[1] for _ in range(count)]
    crop = torchvision_transforms.RandomCrop.get_params
    padded = torch.zeros(1, 24, 44)
    theirs = [
        torch.tensor([torchvision_transforms.RandomRotation.get_params([-10, 10]) for _ in range(count)]),
        torch.tensor(shifts),
        torch.tensor([crop(padded, (20, 40))[:2] for _ in range(count)]),
    ]
    for ours, reference in zip(parameters[:3], theirs, strict=True):
        for column, expected in zip(ours.view(count, -1).T, reference.view(count, -1).T, strict=True):
            assert stats.ks_2samp(column, expected).pvalue > 1e-3
    angles, shift, window, flip = parameters
    assert angles.abs().max() <= 10
    assert set(shift.unique().tolist()) == {-2, -1, 0, 1, 2}
    shares = torch.bincount((shift + 2).flatten(), minlength=5) / (2 * count)
    assert shares.tolist() == pytest.approx([1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8], abs=0.03)
    assert set(window.unique().tolist()) == {0, 1, 2, 3, 4}
    assert flip.float().mean().item() == pytest.approx(0.3, abs=0.03)


def test_p_is_the_share_of_images_that_are_touched() -> None:
    [inwards] = augment.draw(chosen("perspective"), 10_000, (1, 28, 28), Generator().manual_seed(0))
    # Of those chosen, one in 8⁸ draws no movement at all.
    assert inwards.flatten(1).any(1).float().mean().item() == pytest.approx(0.5, abs=0.02)


EVERYTHING = [*REFERENCE, {"shift": {"pixels": 2}}, {"crop": {"padding": 2}}, "flip"]


@pytest.mark.parametrize("images", [digits(), noise(300, 3, 32, 32)], ids=["grey", "colour"])
def test_an_image_does_not_depend_on_its_chunk(images: Tensor) -> None:
    transforms = chosen(*EVERYTHING)
    parameters = drawn(transforms, images)
    whole = augment.apply(transforms, parameters, images, slice(0, 300))
    for size in (1, 7, 100, 256):
        starts = range(0, 300, size)
        parts = [slice(start, start + size) for start in starts]
        chunks = [augment.apply(transforms, parameters, images[rows], rows) for rows in parts]
        assert torch.equal(torch.cat(chunks), whole)


@pytest.mark.parametrize(
    "values",
    [
        [{"perspective": {"distortion": 0, "p": 1}}],
        [{"perspective": {"p": 0}}],
        [{"rotation": {"degrees": 0}}],
        [{"shift": {"pixels": 0}}],
        [{"crop": {"padding": 0}}],
        [{"flip": {"p": 0}}],
        [],
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 32, 32), (2, 5, 9)], ids=str)
def test_nothing_asked_nothing_changed(values: list[object], shape: tuple[int, ...]) -> None:
    images = noise(20, *shape)
    assert torch.equal(augmented(chosen(*values), images), images)


def test_the_generator_decides_everything() -> None:
    transforms, images = chosen(*EVERYTHING), digits(count=50)
    before, state = images.clone(), torch.get_rng_state()
    first = augmented(transforms, images, seed=3)
    assert torch.equal(first, augmented(transforms, images, seed=3))
    assert not torch.equal(first, augmented(transforms, images, seed=4))
    assert torch.equal(images, before)  # the caller's images stay as they are
    assert torch.equal(torch.get_rng_state(), state)  # and so does the global generator


def test_an_empty_chunk_is_empty() -> None:
    assert augmented(chosen(*EVERYTHING), torch.zeros(0, 1, 28, 28)).shape == (0, 1, 28, 28)


def test_names_and_options() -> None:
    ours = {"resized_crop", "perspective", "rotation", "shift", "crop", "flip", "randaugment", "erasing"}
    assert set(TRANSFORMS) == ours
    assert choose_transform("perspective").describe() == {"name": "perspective", "distortion": 0.5, "p": 0.5}
    assert choose_transform("rotation").describe() == {"name": "rotation", "degrees": 10.0}
    with pytest.raises(ValueError, match=r"unknown augmentation 'rotate'.*did you mean 'rotation'"):
        choose_transform("rotate")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"flip": {"p": 1.5}}, "p: found 1.5"),
        ({"crop": {"padding": -1}}, "padding: found -1"),
        ({"rotation": {"angle": 3}}, "unknown key 'angle'"),
        ("shift", "pixels"),
    ],
)
def test_wrong_options_are_named(value: object, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        choose_transform(value)


def test_a_gpu_that_is_not_asked_how_many_move_gets_the_same_pixels() -> None:
    images = noise(64, 1, 28, 28)
    [inwards] = drawn(chosen("perspective"), images)
    moves = inwards.flatten(1).any(1)
    assert 0 < int(moves.sum()) < 64
    everywhere = torch.where(moves[:, None, None, None], augment._all_in_perspective(images, inwards), images)
    assert torch.equal(everywhere, augmented(chosen("perspective"), images))
