"""Data sets in memory: how they are split, cut, made noisy, and what a user's own may return."""

from __future__ import annotations

import hashlib
import itertools
import math
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from bench import datasets
from bench.datasets import FORMS, Images, choose_dataset, stratified_split, symmetric_noise
from bench.errors import BenchError

NOWHERE = Path("/nonexistent")  # these data sets need no files


def load(value: Any) -> Images:
    return datasets.load(choose_dataset(value), NOWHERE)


# ---------------------------------------------------------------------------------------------- splits


@given(st.lists(st.integers(0, 6), min_size=1, max_size=80), st.floats(0, 1), st.integers(0, 1000))
def test_a_split_is_exact_and_keeps_every_class_s_share(kinds: list[int], share: float, seed: int) -> None:
    labels = np.array(kinds)
    size = round(share * len(labels))
    first, second = stratified_split(labels, size, np.random.default_rng(seed))
    assert len(first) == size
    assert sorted([*first, *second]) == list(range(len(labels)))
    assert list(first) == sorted(first)
    assert list(second) == sorted(second)
    for label in set(kinds):
        assert abs((labels[first] == label).sum() - (labels == label).sum() * size / len(labels)) < 1


def test_a_split_depends_on_labels_and_seed_alone() -> None:
    labels = np.repeat(np.arange(5), 20)
    one, again, other = (stratified_split(labels, 30, np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_what_rounding_leaves_over_goes_to_the_largest_remainders_then_the_smaller_class() -> None:
    # Of 10 images, 5: classes are due 3.5, 0.5, 1 images; the one left over goes to class 0.
    labels = np.array([0] * 7 + [1] + [2] * 2)
    first, _ = stratified_split(labels, 5, np.random.default_rng(0))
    assert list(np.bincount(labels[first], minlength=3)) == [4, 0, 1]
    # Of 9 images, 4: due 2.67 and 1.33.
    labels = np.array([0] * 6 + [1] * 3)
    first, _ = stratified_split(labels, 4, np.random.default_rng(0))
    assert list(np.bincount(labels[first])) == [3, 1]


def test_nothing_can_be_split_too() -> None:
    first, second = stratified_split(np.array([], dtype=int), 0, np.random.default_rng(0))
    assert len(first) == len(second) == 0


# ----------------------------------------------------------------------------------------- label noise


@given(st.integers(0, 200), st.integers(2, 30), st.floats(0, 1), st.integers(0, 1000))
def test_noise_replaces_exactly_its_share_by_another_class(
    count: int, classes: int, share: float, seed: int
) -> None:
    labels = np.arange(count) % classes
    noisy = symmetric_noise(labels, classes, share, seed)
    assert (noisy != labels).sum() == round(share * count)
    assert np.array_equal(labels, np.arange(count) % classes)  # what it was given stays
    assert noisy.size == 0 or (noisy.min() >= 0 and noisy.max() < classes)
    assert np.array_equal(noisy, symmetric_noise(labels, classes, share, seed))


def test_noise_is_uniform_over_the_other_classes_and_over_images() -> None:
    labels = np.repeat(np.arange(5), 4000)
    noisy = symmetric_noise(labels, 5, 0.5, seed=3)
    for true in range(5):
        replaced = noisy[(labels == true) & (noisy != true)]
        seen = np.delete(np.bincount(replaced, minlength=5), true)
        assert chisquare(seen).pvalue > 1e-3
    hit = (noisy != labels).reshape(20, -1).sum(axis=1)
    assert chisquare(hit).pvalue > 1e-3


def test_noise_is_for_training_labels_only() -> None:
    clean, noisy = load("digits"), load({"digits": {"label_noise": 0.3}})
    assert int((clean.train_labels != noisy.train_labels).sum()) == round(0.3 * 1347)
    assert torch.equal(clean.test_labels, noisy.test_labels)
    assert torch.equal(clean.train_images, noisy.train_images)
    other = load({"digits": {"label_noise": 0.3, "noise_seed": 1}})
    assert not torch.equal(noisy.train_labels, other.train_labels)


# --------------------------------------------------------------------------------------------- built in


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    data, bunch = load("digits"), load_digits()
    images = torch.cat([data.train_images, data.test_images]).flatten(1).numpy()
    labels = torch.cat([data.train_labels, data.test_labels]).numpy()
    ours = np.column_stack([images, labels])
    theirs = np.column_stack([np.rint(bunch.data * (255 / 16)), bunch.target]).astype(np.int64)
    assert sorted(map(tuple, ours)) == sorted(map(tuple, theirs))


def test_digits_are_split_the_same_way_always() -> None:
    data = load("digits")
    assert data.train_images.shape == (1347, 1, 8, 8)
    assert data.test_images.shape == (450, 1, 8, 8)
    assert data.train_images.dtype == torch.uint8
    assert data.train_labels.dtype == torch.int64
    # Every number that was ever measured on digits hangs on this.
    content = [data.train_images, data.train_labels, data.test_images, data.test_labels]
    digest = hashlib.sha256(b"".join(part.numpy().tobytes() for part in content)).hexdigest()
    assert digest[:16] == "865c4117972db5f6"


def test_no_digit_is_both_trained_and_tested_on() -> None:
    data = load("digits")
    train, test = (
        {image.numpy().tobytes() for image in part} for part in (data.train_images, data.test_images)
    )
    assert not train & test
    assert len(train) == 1347
    assert len(test) == 450


def test_mean_and_std_of_digits_are_those_of_the_training_images() -> None:
    data = load("digits")
    pixels = data.train_images.double() / 255
    assert FORMS["digits"].mean == (round(float(pixels.mean()), 4),)
    assert FORMS["digits"].std == (round(float(pixels.std()), 4),)


def test_synthetic_letters_take_their_sizes_and_seed() -> None:
    data = load({"synthetic-letters": {"train_size": 520, "test_size": 52, "label_noise": 0.5}})
    assert data.train_images.shape == (520, *data.form.shape)
    assert data.test_images.shape == (52, *data.form.shape)
    assert data.form == FORMS["synthetic-letters"]
    assert torch.bincount(data.test_labels).tolist() == [2] * 26
    clean = load({"synthetic-letters": {"train_size": 520, "test_size": 52}})
    assert int((data.train_labels != clean.train_labels).sum()) == 260
    other = load({"synthetic-letters": {"train_size": 520, "test_size": 52, "seed": 1}})
    assert not torch.equal(clean.train_images, other.train_images)


def test_data_sets_without_files_are_always_present(tmp_path: Path) -> None:
    for name in ("digits", "synthetic-letters"):
        assert datasets.present(choose_dataset(name), tmp_path / "none")
        datasets.fetch(choose_dataset(name), tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_forms_have_one_mean_and_one_std_a_channel(form: datasets.Form) -> None:
    assert len(form.mean) == len(form.std) == form.shape[0]
    assert all(0 < value < 1 for value in form.mean + form.std)


# ---------------------------------------------------------------------------------------- smaller sets


def test_a_smaller_set_keeps_every_class_s_share() -> None:
    whole, smaller = load("digits"), load({"digits": {"train_size": 500, "test_size": 100}})
    assert (len(smaller.train_labels), len(smaller.test_labels)) == (500, 100)
    due = torch.bincount(whole.train_labels) * (500 / 1347)
    assert (torch.bincount(smaller.train_labels) - due).abs().max() < 1
    other = load({"digits": {"train_size": 500, "test_size": 100, "noise_seed": 1}})
    assert not torch.equal(smaller.train_images, other.train_images)


def test_the_size_it_has_is_the_whole_set() -> None:
    whole, same = load("digits"), load({"digits": {"train_size": 1347, "test_size": 450}})
    assert torch.equal(whole.train_images, same.train_images)
    assert torch.equal(whole.test_labels, same.test_labels)


@pytest.mark.parametrize(("option", "has"), [("train_size", 1347), ("test_size", 450)])
def test_a_size_beyond_the_data_set_is_refused(option: str, has: int) -> None:
    with pytest.raises(BenchError, match=f"'digits': {option}: found {has + 1}; it has {has} such images"):
        load({"digits": {option: has + 1}})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"digits": {"train_size": 0}}, "digits: train_size: found 0"),
        ({"digits": {"label_noise": 1.5}}, "digits: label_noise: found 1.5"),
        ({"digits": {"seed": 1}}, "digits: unknown key 'seed'"),
        ({"synthetic-letters": {"test_size": 25}}, "test_size: found 25"),
        ("emnist-leters", "unknown data set 'emnist-leters'; .*did you mean 'emnist-letters'"),
    ],
)
def test_what_does_not_hold_is_refused_before_anything_is_loaded(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_dataset(value)


# ------------------------------------------------------------------------------------ the user's own

Own = Callable[..., Images]

_GOOD = """
    def make(side=6, channels=None, classes=3, **kinds):
        rng = np.random.default_rng(0)
        shape = (side, side) if channels is None else (channels, side, side)
        images = rng.integers(0, 256, (30, *shape), dtype=np.uint8)
        labels = np.arange(30) % classes
        return images[:20], labels[:20], images[20:], labels[20:]
"""

_numbers = itertools.count()  # a module is imported once: each test needs a name of its own


@pytest.fixture
def load_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Own:
    """Load ``make`` of a module with this source, called with these options."""
    monkeypatch.syspath_prepend(tmp_path)

    def load_it(source: str, **options: Any) -> Images:
        name = f"own_data_{next(_numbers)}"
        text = "import numpy as np, torch\n" + textwrap.dedent(source)
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return load({f"{name}:make": options})

    return load_it


def test_own_arrays_without_a_channel_get_one(load_own: Own) -> None:
    data = load_own(_GOOD)
    assert data.train_images.shape == (20, 1, 6, 6)
    assert data.test_images.shape == (10, 1, 6, 6)
    assert data.train_images.dtype == torch.uint8
    assert data.train_labels.dtype == torch.int64
    assert (data.form.shape, data.form.classes) == ((1, 6, 6), 3)


def test_own_colour_images_are_described_channel_by_channel(load_own: Own) -> None:
    data = load_own(_GOOD, channels=3, classes=5)
    assert (data.form.shape, data.form.classes) == ((3, 6, 6), 5)
    pixels = data.train_images.double() / 255
    assert data.form.mean == pytest.approx(pixels.mean(dim=(0, 2, 3)).tolist(), rel=1e-12)
    assert data.form.std == pytest.approx(pixels.std(dim=(0, 2, 3), unbiased=False).tolist(), rel=1e-12)


@pytest.mark.parametrize("kind", ["torch.uint8", "torch.int32", "torch.int64", "torch.uint16"])
def test_own_tensors_and_any_integer_labels_will_do(load_own: Own, kind: str) -> None:
    data = load_own(
        f"""
        def make():
            images = torch.arange(4 * 8 * 8).remainder(256).to(torch.uint8).view(4, 1, 8, 8)
            labels = torch.tensor([0, 1, 2, 1]).to({kind})
            return [images, labels, images[:2], labels[:2]]
        """
    )
    assert data.train_labels.tolist() == [0, 1, 2, 1]
    assert data.train_labels.dtype == torch.int64
    assert data.form.classes == 3


def test_own_data_take_the_options_of_all_data_sets(load_own: Own) -> None:
    data = load_own(_GOOD, train_size=12, test_size=5, label_noise=0.5, side=4)
    assert data.train_images.shape == (12, 1, 4, 4)
    assert len(data.test_labels) == 5
    assert torch.bincount(data.train_labels, minlength=3).sum() == 12
    with pytest.raises(BenchError, match="test_size: found 11; it has 10 such images"):
        load_own(_GOOD, test_size=11)


def test_a_channel_of_one_colour_is_not_divided_by_zero(load_own: Own) -> None:
    data = load_own(
        """
        def make():
            images = np.full((4, 2, 8, 8), 51, dtype=np.uint8)
            images[:2, 1] = 0
            return images, np.array([0, 1, 0, 1]), images, np.array([0, 1, 0, 1])
        """
    )
    assert data.form.mean == pytest.approx((0.2, 0.1))
    assert data.form.std == pytest.approx((1.0, 0.1))
    assert all(map(math.isfinite, data.form.std))


_PARTS = "images = np.zeros((4, 8, 8), np.uint8); labels = np.array([0, 1, 0, 1])\n    "


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return images, labels", "it returned a list of 2, expected train images, train labels, test im"),
        ("return None", "it returned nothing, expected train images"),
        ("return {'a': 1}", "it returned a mapping with a, expected"),
        (
            "return images / 255, labels, images, labels",
            r"train images are float32 \[1, 8, 8\], test images uint8 \[1, 8, 8\]; .* shape and type",
        ),
        ("return images + np.nan, labels, images, labels", "train images have values that are not finite"),
        (
            "return images.astype(int), labels, images, labels",
            "train images are torch.int64 .* uint16 or flo",
        ),
        (
            "return images, labels + 1, images, labels + 1",
            "labels begin at 1, expected .* subtract 1 from all",
        ),
        ("return images[0], labels, images, labels", r"train images are torch.uint8 \[8, 8\], expected"),
        ("return images, labels, images[:0], labels[:0]", r"test images are .* \[0, 8, 8\], .*at least one"),
        ("return None, labels, images, labels", "train images or labels are no arrays of numbers"),
        ("return images, list('abab'), images, labels", "train images or labels are no arrays of numbers"),
        ("return images, labels / 1, images, labels", r"train labels are torch.float64 \[4\], expected one"),
        ("return images, labels[:3], images, labels", r"train labels are torch.int64 \[3\], .* of 4 images"),
        ("return images, labels, images, np.eye(4, dtype=int)", r"test labels are torch.int64 \[4, 4\]"),
        ("return images, labels - 1, images, labels", "train labels go down to -1, expected .* from 0"),
        ("return images, labels, images, labels - 3", "test labels go down to -3"),
        (
            "return images, labels, images[:, :7], labels",
            r"train images are uint8 \[1, 8, 8\], test images uint8 \[1, 7,",
        ),
        ("return images, labels * 10**9, images, labels", "labels run up to 1000000000, expected 0 to 65535"),
        ("raise TypeError('inner trouble')", "TypeError: inner trouble"),
        ("raise FileNotFoundError('no such disk')", "FileNotFoundError: no such disk"),
    ],
)
def test_a_wrong_return_gets_one_message(load_own: Own, body: str, message: str) -> None:
    with pytest.raises(BenchError, match=message) as caught:
        load_own(f"def make():\n    {_PARTS}{body}\n")
    assert str(caught.value).startswith("data set 'own_data_")
    assert len(str(caught.value).splitlines()) == 1


def test_an_option_it_does_not_take_is_named(load_own: Own) -> None:
    with pytest.raises(BenchError, match=r"make\(colour=red\)': TypeError: .*unexpected .*'colour'"):
        load_own("def make():\n    return None", colour="red")


def test_a_missing_callable_is_named(load_own: Own) -> None:
    with pytest.raises(BenchError, match=r"cannot be imported: .* has no attribute 'make'"):
        load_own("def made(): ...")
    with pytest.raises(BenchError, match="is 3, not a callable"):
        load_own("make = 3")
