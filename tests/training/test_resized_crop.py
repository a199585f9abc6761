"""``resized_crop`` against torchvision's RandomResizedCrop: the boxes, and what is cut out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torchvision import transforms
from torchvision.transforms import functional as pil

from bench.recipe import Recipe
from bench.training import augment, resized_crop
from bench.transforms import choose_transform

SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def boxes(count: int, stored: tuple[int, int], seed: int = 0, **limits: tuple[float, float]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return resized_crop.draw(count, stored, limits.get("scale", SCALE), limits.get("ratio", RATIO), generator)


@pytest.mark.parametrize("stored", [(64, 64), (40, 90), (12, 9)])
def test_boxes_have_torchvisions_distribution(stored: tuple[int, int]) -> None:
    ours = boxes(4000, stored).numpy()
    torch.manual_seed(1)
    image = torch.zeros(3, *stored)
    theirs = np.array([transforms.RandomResizedCrop.get_params(image, SCALE, RATIO) for _ in range(4000)])
    for k in range(4):
        assert stats.ks_2samp(ours[:, k], theirs[:, k]).pvalue > 0.001
    assert stats.ks_2samp(ours[:, 2] / ours[:, 3], theirs[:, 2] / theirs[:, 3]).pvalue > 0.001
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, :2] + ours[:, 2:] <= stored).all()
    assert (ours[:, 2:] > 0).all()


@pytest.mark.parametrize("stored", [(10, 100), (100, 10), (20, 20)])
def test_where_no_box_fits_it_is_torchvisions_middle(stored: tuple[int, int]) -> None:
    ratio = (0.9, 1.1)
    image, scale = torch.zeros(3, *stored), (0.99999, 1.0)
    if stored == (20, 20):
        ratio = (1.5, 1.6)
    expected = transforms.RandomResizedCrop.get_params(image, scale, ratio)
    assert boxes(5, stored, scale=scale, ratio=ratio).tolist() == [list(expected)] * 5


@pytest.mark.parametrize("side", [16, 32, 80])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_cut_out_is_pillows(side: int, channels: int) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, side, side, channels), dtype=np.uint8)
    raw = torch.from_numpy(images).permute(0, 3, 1, 2)
    drawn = boxes(len(images), (side, side))
    ours = resized_crop.cut(raw, drawn, (24, 20))
    theirs = torch.stack(
        [
            pil.pil_to_tensor(pil.resized_crop(Image.fromarray(image.squeeze()), *box, [24, 20]))
            for image, box in zip(images, drawn.tolist(), strict=True)
        ]
    ).float()
    assert ours.dtype == torch.float32
    assert (ours - theirs).abs().max() <= 2
    assert (ours - theirs).abs().mean() < 0.1
    assert torch.equal(ours, ours.round())
    # What a GPU does, of which nothing is drawn or asked for, is the same but for rounding.
    rows, columns = (
        resized_crop._weights(drawn[:, k], drawn[:, k + 2], side, size) for k, size in ((0, 24), (1, 20))
    )
    assert (rows[:, None] @ raw.float() @ columns[:, None].transpose(2, 3) - theirs).abs().max() < 1.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint16])
def test_other_types_keep_their_precision(dtype: torch.dtype) -> None:
    values = torch.rand(6, 3, 12, 12) * (1 if dtype == torch.float32 else 60_000)
    raw, drawn = values.to(dtype), boxes(6, (12, 12))
    ours = resized_crop.cut(raw, drawn, (16, 16))
    for image, box, found in zip(raw.float(), drawn.tolist(), ours, strict=True):
        top, left, height, width = box
        expected = torch.nn.functional.interpolate(
            image[None, :, top : top + height, left : left + width], (16, 16), mode="bilinear", antialias=True
        )[0]
        assert torch.allclose(found, expected if dtype == torch.float32 else expected.round(), atol=1)


def test_chunks_change_nothing() -> None:
    chosen = [choose_transform("resized_crop"), choose_transform("flip")]
    images = torch.randint(0, 256, (30, 3, 20, 20), dtype=torch.uint8)
    drawn = augment.draw(chosen, 30, (3, 12, 12), torch.Generator().manual_seed(0), stored=(3, 20, 20))
    whole = augment.apply(chosen, drawn, images, slice(0, 30), size=(12, 12))
    parts = [
        augment.apply(chosen, drawn, images[k : k + 7], slice(k, k + 7), size=(12, 12))
        for k in range(0, 30, 7)
    ]
    assert torch.equal(torch.cat(parts), whole)
    assert whole.shape == (30, 3, 12, 12)


def test_options() -> None:
    assert Recipe.model_validate({"augment": ["resized_crop", "flip"]}).crops_first
    assert not Recipe.model_validate({"augment": ["flip"]}).crops_first
    with pytest.raises(ValueError, match="resized_crop takes images as they are stored: it comes first"):
        Recipe.model_validate({"augment": ["flip", "resized_crop"]})
    for wrong in ({"scale": [0.5, 0.1]}, {"scale": [0.5, 1.5]}, {"ratio": [0, 1]}):
        with pytest.raises(ValueError, match=r"found .* to .*, expected two numbers above 0"):
            choose_transform({"resized_crop": wrong})
