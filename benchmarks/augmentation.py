"""How much faster is batched augmentation than torchvision's PIL transforms, and how far from them?

Both do the reference's augmentation (perspective, then rotation) to the same 28 × 28 digits on one thread,
in alternating rounds, so that whatever else the machine does hits both alike. Takes a few seconds.

    python benchmarks/augmentation.py [--rounds 9]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torchvision import transforms as torchvision_transforms
from torchvision.transforms import functional as pil

from bench.training import augment
from bench.transforms import choose_transform

TRANSFORMS = [choose_transform("perspective"), choose_transform("rotation")]
SIDE, BATCHED, ONE_BY_ONE = 28, 8192, 512
"""Image side, and images in a round of each kind: about as many milliseconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="alternating rounds (default 9)")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    images = digits(BATCHED)
    generator = torch.Generator().manual_seed(0)

    def batched(size: int) -> Callable[[], int]:
        def one_round() -> int:
            # Drawing is part of the work, and the conversion from the uint8 of memory too.
            parameters = augment.draw(TRANSFORMS, BATCHED, (1, SIDE, SIDE), generator)
            for start in range(0, BATCHED, size):
                rows = slice(start, start + size)
                augment.apply(TRANSFORMS, parameters, images[rows].float(), rows)
            return BATCHED

        return one_round

    reference = torchvision_transforms.Compose(
        [torchvision_transforms.RandomPerspective(0.5, 0.5), torchvision_transforms.RandomRotation(10)]
    )
    arrays = images[:ONE_BY_ONE, 0].numpy()

    def one_by_one() -> int:
        for array in arrays:
            np.asarray(reference(Image.fromarray(array)))
        return ONE_BY_ONE

    base = "torchvision, one PIL image at a time"
    contenders = {base: one_by_one}
    contenders |= {f"bench, chunks of {size:,}": batched(size) for size in (100, 500, 1024)}
    rates = measure(contenders, rounds)
    print(f"images per second on one thread, median of {rounds} alternating rounds (slowest to fastest)")
    for name, measured in rates.items():
        ratio = statistics.median(own / other for own, other in zip(measured, rates[base], strict=True))
        spread = f"({min(measured):,.0f} to {max(measured):,.0f})"
        print(f"{name:38}{statistics.median(measured):>10,.0f}  {spread:24}{ratio:>6.1f}×")
    mean, differing = difference(images[:1000].float())
    print(f"mean absolute difference at equal parameters {mean:.6f} of 1; pixels that differ {differing:.3%}")


def digits(count: int) -> torch.Tensor:
    """Handwriting of 8 × 8 enlarged to uint8 [count, 1, SIDE, SIDE], repeated as often as needed."""
    small = torch.from_numpy(load_digits().images * (255 / 16)).float()[:, None]
    large = torch.nn.functional.interpolate(small, size=(SIDE, SIDE), mode="bilinear").round().byte()
    return large.repeat(-(-count // len(large)), 1, 1, 1)[:count]


def measure(contenders: dict[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Images per second of each contender, round by round, after one round to warm up."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, one_round in contenders.items():
            start = time.perf_counter()
            done = one_round()
            if number:
                rates[name].append(done / (time.perf_counter() - start))
    return rates


def difference(images: torch.Tensor) -> tuple[float, float]:
    """Mean absolute pixel difference (of 1) from torchvision at equal parameters, and the share differing."""
    parameters = augment.draw(TRANSFORMS, len(images), (1, SIDE, SIDE), torch.Generator().manual_seed(1))
    ours = augment.apply(TRANSFORMS, parameters, images, slice(0, len(images)))
    last = SIDE - 1
    start = torch.tensor([[0, 0], [last, 0], [last, last], [0, last]])
    signs = torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    theirs = []
    for image, inwards, degrees in zip(images, *parameters, strict=True):
        picture = Image.fromarray(image[0].byte().numpy())
        if inwards.any():
            end = (start + signs * inwards).tolist()
            picture = pil.perspective(picture, start.tolist(), end, pil.InterpolationMode.BILINEAR)
        theirs.append(np.array(pil.rotate(picture, degrees.item())))
    gap = (ours[:, 0] - torch.from_numpy(np.stack(theirs)).float()).abs()
    return gap.mean().item() / 255, (gap > 0).float().mean().item()


if __name__ == "__main__":
    main()
