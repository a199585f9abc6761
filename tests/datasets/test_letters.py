"""The synthetic letters: balanced, repeatable, and neither trivial nor impossible."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from bench.datasets.letters import synthetic_letters

Letters = tuple[Tensor, Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def letters() -> Letters:
    return synthetic_letters(2000, 700)


def test_shapes_and_kinds(letters: Letters) -> None:
    train_images, train_labels, test_images, test_labels = letters
    assert train_images.shape == (2000, 1, 28, 28)
    assert test_images.shape == (700, 1, 28, 28)
    assert train_images.dtype == test_images.dtype == torch.uint8
    assert train_labels.shape == (2000,)
    assert test_labels.shape == (700,)
    assert train_labels.dtype == test_labels.dtype == torch.int64


@pytest.mark.parametrize("size", [0, 1, 26, 27, 259, 260, 261, 1000])
def test_classes_are_balanced_up_to_one_image(size: int) -> None:
    images, labels, _, _ = synthetic_letters(size, 0)
    counts = torch.bincount(labels, minlength=26)
    assert len(images) == counts.sum() == size
    assert len(counts) == 26
    assert counts.max() - counts.min() <= 1


def test_the_same_seed_gives_the_same_bits(letters: Letters) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(threads, 2))
        again = synthetic_letters(2000, 700)
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, letters, again))
    other = synthetic_letters(2000, 700, seed=1)
    assert not torch.equal(letters[0], other[0])
    assert not torch.equal(letters[2], other[2])


def test_a_smaller_set_is_the_beginning_of_a_larger_one(letters: Letters) -> None:
    smaller = synthetic_letters(300, 30)
    assert torch.equal(smaller[0], letters[0][:300])
    assert torch.equal(smaller[1], letters[1][:300])
    assert torch.equal(smaller[2], letters[2][:30])
    assert torch.equal(smaller[3], letters[3][:30])


def test_no_two_images_are_alike(letters: Letters) -> None:
    everything = torch.cat([letters[0], letters[2]]).flatten(1)
    assert len(everything.unique(dim=0)) == len(everything)


def test_the_data_set_has_not_changed_unnoticed(letters: Letters) -> None:
    """Runs are named by their description: who changes the pictures must raise `recipe_version`."""
    images, labels, _, _ = letters
    assert labels[:8].tolist() == [19, 4, 10, 11, 25, 2, 24, 6]
    assert images.float().mean().item() == pytest.approx(39.15, abs=0.1)  # FreeType versions may differ a bit
    assert images.float().std().item() == pytest.approx(67.56, abs=0.1)


def test_letters_are_white_on_black_and_centred(letters: Letters) -> None:
    images = letters[0].float() / 255
    assert 0.12 < images.mean() < 0.2
    frame = torch.ones(28, 28, dtype=torch.bool)
    frame[2:-2, 2:-2] = False
    assert images[..., frame].mean() < 0.04
    weight = images.sum((0, 1))
    places = torch.arange(28) - 13.5
    assert abs((weight.sum(0) * places).sum() / weight.sum()) < 0.5
    assert abs((weight.sum(1) * places).sum() / weight.sum()) < 0.5
    assert images.flatten(1).amax(1).min() > 0.4  # nothing has vanished


def test_neither_trivial_nor_impossible(letters: Letters) -> None:
    """Neighbours in raw pixels get some of it right; a small network gets 94 % from 10,400 images."""
    train_images, train_labels, test_images, test_labels = letters
    blurred = [torch.nn.functional.avg_pool2d(part.float(), 2) for part in (train_images, test_images)]
    train, test = (part.flatten(1).numpy() for part in blurred)
    accuracy = KNeighborsClassifier(3).fit(train, train_labels.numpy()).score(test, test_labels.numpy())
    assert 0.3 < accuracy < 0.7


def test_importing_it_is_light() -> None:
    code = "import sys, bench.datasets.letters; print({'torch', 'matplotlib', 'PIL'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
