"""Long tails, wrong labels and splits by group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import datasets
from bench.datasets import choose_dataset
from bench.datasets.variants import grouped_split, long_tail, pair_flip_noise, symmetric_noise
from bench.errors import BenchError


def cao(per_class: int, classes: int, ratio: float) -> list[int]:
    """LDAM-DRW's ``imbalance_cifar.py``, line by line; its imb_factor is 1 / ratio."""
    return [int(per_class * ((1 / ratio) ** (k / (classes - 1.0)))) for k in range(classes)]


@pytest.mark.parametrize(("classes", "per_class", "ratio"), [(10, 5000, 100), (10, 5000, 10), (100, 500, 50)])
def test_a_long_tail_is_that_of_cao_et_al(classes: int, per_class: int, ratio: float) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(classes), per_class))
    kept = long_tail(labels, classes, ratio, seed=0)
    counts = np.bincount(labels[kept])
    # A power of 1 / ratio and a negative power of ratio may be rounded to either side of a whole number.
    assert np.abs(counts - cao(per_class, classes, ratio)).max() <= 1
    assert counts[0] / counts[-1] == pytest.approx(ratio, rel=0.1)
    assert (np.diff(kept) > 0).all()
    assert np.array_equal(kept, long_tail(labels, classes, ratio, seed=0))
    assert not np.array_equal(kept, long_tail(labels, classes, ratio, seed=1))


def test_a_long_tail_takes_what_there_is() -> None:
    labels = np.repeat(np.arange(3), [100, 2, 1])
    assert np.bincount(labels[long_tail(labels, 3, 2, 0)]).tolist() == [34, 2, 1]
    assert len(long_tail(labels[:100], 1, 5, 0)) == 100


@given(st.integers(2, 30), st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=50)
def test_pairs_are_flipped_to_the_next_class(classes: int, share: float, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, 200)
    noisy = pair_flip_noise(labels, classes, share, seed)
    changed = noisy != labels
    assert changed.sum() == round(share * 200)
    assert ((noisy - labels)[changed] % classes == 1).all()
    assert np.array_equal(changed, symmetric_noise(labels, classes, share, seed) != labels)


@given(st.lists(st.integers(0, 12), min_size=4, max_size=80), st.integers(0, 99))
@settings(max_examples=80)
def test_groups_stay_together(groups: list[int], seed: int) -> None:
    found = np.array(groups)
    first, second = grouped_split(found, len(groups) // 4, np.random.default_rng(seed))
    assert sorted([*first, *second]) == [*range(len(groups))]
    assert not {*found[first]} & {*found[second]}
    if len({*groups}) > 1:
        assert len(first)
        assert len(second)
        largest = np.bincount(found).max()
        assert abs(len(first) - len(groups) // 4) <= largest


# ------------------------------------------------------------------------------------------- in data sets


def load(**options: Any) -> datasets.Images:
    return datasets.load(choose_dataset({"digits": options}), Path("nowhere"))


def test_a_long_tail_of_digits() -> None:
    data = load(long_tail=20)
    counts = torch.bincount(data.train_labels)
    assert counts[0] >= 10 * counts[9]
    assert (counts.diff() <= 0).all()
    assert torch.bincount(data.test_labels).min() > 40
    smaller = load(long_tail=20, train_size=500, label_noise=0.2, noise_kind="pair_flip")
    assert len(smaller.train_labels) < len(data.train_labels)
    assert data.source == smaller.source == load().source
    assert len({data.digest, smaller.digest, load().digest}) == 3


def test_what_came_later_is_described_where_it_is_used() -> None:
    plain = choose_dataset("digits").describe()
    assert not {"long_tail", "noise_kind"} & plain.keys()
    assert choose_dataset({"digits": {"long_tail": 10}}).describe() == {**plain, "long_tail": 10.0}
    assert choose_dataset({"digits": {"noise_kind": "symmetric"}}).describe() == plain
    named = choose_dataset({"digits": {"long_tail": 10, "label_noise": 0.2, "noise_kind": "pair_flip"}})
    assert named.label() == "digits(label_noise=0.2, noise_kind=pair_flip, long_tail=10)"
    with pytest.raises(ValueError, match=r"long_tail: found 0\.5"):
        choose_dataset({"digits": {"long_tail": 0.5}})


def test_counts_of_classes_are_recorded_and_shown(write_suite: Any, bench: Any, tmp_path: Path) -> None:
    import json

    chosen = {"digits": {"long_tail": 20, "label": "tail"}}
    suite = write_suite(datasets=chosen, losses=["ce"], baseline=None, seeds=1, recipe={"epochs": 1})
    status, _, said = bench("run", suite, "--workers", "1", "--json")
    assert status == 0, said
    [file] = (tmp_path / "results" / "runs").glob("*/result.json")
    counts = json.loads(file.read_text())["class_counts"]
    assert counts == torch.bincount(load(long_tail=20).train_labels).tolist()
    _, printed, _ = bench("report", suite)
    said = " ".join(printed.split())
    assert f"tail: its 10 classes have {min(counts)} to {max(counts)} training images" in said
    methods = (tmp_path / "results" / "small" / "methods.md").read_text()
    assert "Training images per class fall exponentially: tail by a factor of 20" in " ".join(methods.split())


def test_one_class_has_no_other_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one_class.py").write_text(
        "import numpy as np\n"
        "def make():\n"
        "    images = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3), dtype=np.uint8)\n"
        "    return images[:4], [0] * 4, images[4:6], [0] * 2, images[6:], [0] * 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    data = datasets.load(choose_dataset("one_class:make"), tmp_path)
    assert data.form.classes == 1
    assert data.form.shape == (3, 6, 6)  # channels last were recognised
    assert data.validation is not None
    assert [len(part) for part in (data.train_labels, data.validation[1], data.test_labels)] == [4, 2, 2]
    with pytest.raises(BenchError, match="label_noise: it has one class"):
        datasets.load(choose_dataset({"one_class:make": {"label_noise": 0.5}}), tmp_path)
