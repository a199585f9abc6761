"""The joint-correct matrix against counting images one by one, and everything that follows from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from bench.statistics.agreement import (
    TILE,
    difference_products,
    discordant,
    joint_correct,
    only_first,
    pack,
)


def answers(runs: int, images: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((runs, images)) < 0.9


shapes = st.tuples(st.integers(1, 9), st.integers(1, 200), st.integers(0, 99))


@given(shapes)
@settings(max_examples=60)
def test_it_counts_what_both_get_right(shape):
    correct = answers(*shape)
    as_numbers = correct.astype(int)
    joint = joint_correct(pack(correct))
    np.testing.assert_array_equal(joint, as_numbers @ as_numbers.T)
    np.testing.assert_array_equal(joint.diagonal(), correct.sum(axis=1))


@pytest.mark.parametrize("runs", [TILE - 1, TILE, TILE + 1, 2 * TILE + 3])
def test_tiles_meet(runs):
    correct = answers(runs, 70)
    as_numbers = correct.astype(int)
    np.testing.assert_array_equal(joint_correct(pack(correct)), as_numbers @ as_numbers.T)


def test_mcnemars_tables_are_those_of_scikit_learn():
    correct = answers(5, 333)
    joint = joint_correct(pack(correct))
    for a in range(5):
        for b in range(5):
            table = confusion_matrix(correct[a], correct[b], labels=[True, False])
            assert only_first(joint)[a, b] == table[0, 1]
            assert only_first(joint)[b, a] == table[1, 0]
            assert discordant(joint)[a, b] == table[0, 1] + table[1, 0]


@given(shapes)
@settings(max_examples=60)
def test_products_of_differences_need_no_differences(shape):
    seeds, images, seed = shape
    correct = answers(2 * seeds, images, seed)
    loss, baseline = np.arange(seeds), np.arange(seeds, 2 * seeds)[::-1]
    table = correct[loss].astype(int) - correct[baseline].astype(int)
    products = difference_products(joint_correct(pack(correct)), loss, baseline)
    np.testing.assert_array_equal(products, table @ table.T)
    assert products.sum() == (table.sum(axis=0) ** 2).sum()
    np.testing.assert_array_equal(products, difference_products(joint_correct(pack(correct)), baseline, loss))


def test_integers_of_zero_and_one_are_booleans():
    correct = answers(3, 100)
    for dtype in (np.uint8, np.int64):
        np.testing.assert_array_equal(pack(correct.astype(dtype)), pack(correct))


def test_nothing_is_nothing():
    assert joint_correct(pack(np.zeros((0, 10), dtype=bool))).shape == (0, 0)
    np.testing.assert_array_equal(joint_correct(pack(np.zeros((2, 0), dtype=bool))), np.zeros((2, 2)))
    assert difference_products(np.eye(2, dtype=int), [], []).shape == (0, 0)


@pytest.mark.parametrize(
    ("correct", "message"),
    [
        ([True, False], r"must be \[runs, images\], found an array of shape \(2,\)"),
        ([[0.0, 1.0]], "integers of 0 and 1, found float64"),
        ([[0, 2]], "integers of 0 and 1, found int64"),
    ],
)
def test_bad_answers(correct, message):
    with pytest.raises(ValueError, match=message):
        pack(correct)


@pytest.mark.parametrize(
    ("joint", "message"),
    [
        ([[5, 3]], r"must be \[runs, runs\]"),
        ([[5.0, 3.0], [3.0, 4.0]], "must be integers"),
        ([[5, 3], [2, 4]], "symmetric"),
        ([[5, 5], [5, 4]], "above its diagonal"),
        ([[-1, -2], [-2, -1]], "below 0"),
    ],
)
def test_bad_matrices(joint, message):
    with pytest.raises(ValueError, match=message):
        only_first(joint)


@pytest.mark.parametrize(
    ("loss", "baseline", "message"),
    [
        ([0, 1], [0], "every seed needs both runs, found 2 and 1"),
        ([0, 2], [0, 1], "between 0 and 1, found 0 to 2"),
        ([-1], [0], "between 0 and 1, found -1"),
        ([0.5], [0], "whole numbers, found float64"),
    ],
)
def test_bad_rows(loss, baseline, message):
    with pytest.raises(ValueError, match=message):
        difference_products([[5, 3], [3, 4]], loss, baseline)
