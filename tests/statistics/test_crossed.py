"""Seeds × images against statsmodels, a famous reader study, brute force and simulation."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from bench.statistics.crossed import Crossed, crossed_anova, crossed_bootstrap, crossed_from_mean_squares
from bench.statistics.paired import paired_t


def of_table(table: np.ndarray, confidence: float = 0.95) -> Crossed:
    wide = table.astype(np.int64)
    return crossed_anova(wide @ wide.T, wide.sum(axis=1), table.shape[1], confidence)


def simulated(seeds: int, images: int, seed: int = 0, spread: float = 1.0) -> np.ndarray:
    """Differences with an effect of the seed, one of the image, and noise."""
    draw = np.random.default_rng(seed)
    of_seed, of_image = draw.normal(scale=spread, size=(seeds, 1)), draw.normal(scale=spread, size=images)
    latent = 0.3 * of_seed + 0.8 * of_image + draw.normal(size=(seeds, images))
    return (latent > 1).astype(np.int8) - (latent < -1.2)


tables = st.tuples(st.integers(2, 7), st.integers(2, 40), st.integers(0, 500)).map(lambda v: simulated(*v))


def test_van_dyke():
    # Van Dyke et al. (1993), two modalities × 5 readers × 114 patients, as analysed by the R package MRMCaov
    # (README, jackknife, empirical AUC): MS(T:R) 0.0005510306, Cov2 0.0003440748, Cov3 0.0002390284, so
    # denominator 0.001076263; estimate −0.04380032, StdErr 0.02074862, df 15.25967, p 0.05166569; the
    # interval, from RJafroc: −0.087959499 to 0.00035885444. These are mean squares of one modality's figure
    # of merit: a difference has twice that, and one of single images 114 times more.
    readers, patients = 5, 114
    scale = 2 * patients
    excess = readers * (0.0003440748 - 0.0002390284)
    got = crossed_from_mean_squares(-0.04380032, scale * 0.0005510306, scale * excess, 0.0, readers, patients)
    assert got.se == pytest.approx(0.02074862, abs=1e-8)
    assert got.df == pytest.approx(15.25967, abs=2e-5)
    assert got.p == pytest.approx(0.05166569, abs=2e-8)
    assert (got.low, got.high) == pytest.approx((-0.087959499, 0.00035885444), abs=1e-7)


def test_statsmodels_agrees_on_the_mean_squares():
    table = simulated(4, 15, seed=3)
    long = pd.DataFrame(
        [(s, i, table[s, i]) for s in range(4) for i in range(15)], columns=["seed", "image", "d"]
    )
    want = anova_lm(ols("d ~ C(seed) + C(image)", long).fit())
    got = of_table(table)
    squares = want["sum_sq"] / want["df"]
    assert got.ms_seed == pytest.approx(squares["C(seed)"])
    assert got.ms_image == pytest.approx(squares["C(image)"])
    assert got.ms_residual == pytest.approx(squares["Residual"])


@given(tables)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_brute_force_agrees(table):
    seeds, images = table.shape
    got = of_table(table)
    of_seed, of_image, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    residual = table - of_seed[:, None] - of_image + mean
    assert got.estimate == pytest.approx(mean, abs=1e-15)
    assert got.ms_seed == pytest.approx(images * of_seed.var(ddof=1), abs=1e-12)
    assert got.ms_image == pytest.approx(seeds * of_image.var(ddof=1), abs=1e-12)
    assert got.ms_residual == pytest.approx((residual**2).sum() / (seeds - 1) / (images - 1), abs=1e-12)


@given(tables, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_mirrored_and_reordered(table, random):
    got, mirrored = of_table(table), of_table(-table)
    assert mirrored.estimate == -got.estimate
    assert (mirrored.se, mirrored.df, mirrored.p, mirrored.floor) == (got.se, got.df, got.p, got.floor)
    if got.p is not None:
        assert 0 < got.p <= 1
        assert (mirrored.low, mirrored.high, mirrored.t) == (-got.high, -got.low, -got.t)
    shuffled = table[random.sample(range(len(table)), len(table))]
    assert of_table(shuffled[:, ::-1]) == got


@given(tables)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_new_images_only_add_uncertainty(table):
    """Beside the t-test of the same differences, which holds the images fixed."""
    got = of_table(table)
    fixed = paired_t(table.sum(axis=1), table.shape[1])
    assert got.se >= fixed.se * (1 - 1e-12)
    if got.df is not None:
        assert got.df >= fixed.df * (1 - 1e-12)
    if got.ms_image <= got.ms_residual and fixed.p is not None:
        assert (got.se, got.p) == pytest.approx((fixed.se, fixed.p))


def test_what_more_would_buy():
    got = of_table(simulated(6, 200, seed=4))
    assert min(got.variance_seed, got.variance_image, got.variance_residual) > 0
    assert got.standard_error(6, 200) == pytest.approx(got.se)
    assert got.floor == pytest.approx(math.sqrt(got.variance_image / 200))
    assert got.floor < got.standard_error(1000, 200) < got.standard_error(7, 200) < got.se
    assert got.standard_error(6, 10**12) == pytest.approx(math.sqrt(got.variance_seed / 6), rel=1e-6)


def test_components_are_unbiased():
    """Simulated with known variances: the averages of 1,500 estimates are within four standard errors."""
    draw = np.random.default_rng(8)
    seeds, images, shift = 4, 12, 1000
    found = []
    for _ in range(1500):
        y = 3 * draw.normal(size=(seeds, 1)) + 2 * draw.normal(size=images)
        y = y + draw.normal(scale=5, size=(seeds, images)) + shift
        mean = y.mean()
        of_seed = images * y.mean(axis=1).var(ddof=1)
        of_image = seeds * y.mean(axis=0).var(ddof=1)
        rest = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + mean
        residual = (rest**2).sum() / (seeds - 1) / (images - 1)
        got = crossed_from_mean_squares(mean, of_seed, of_image, residual, seeds, images)
        found.append((got.variance_seed, got.variance_image, got.variance_residual))
    errors = np.std(found, axis=0) / math.sqrt(len(found))
    assert np.all(np.abs(np.mean(found, axis=0) - [9, 4, 25]) < 4 * errors)


def test_what_cannot_be_computed_is_none():
    assert crossed_anova(np.zeros((0, 0), int), np.zeros(0, int), 9) == Crossed(0, 9)
    assert of_table(np.array([[1, 0, 0, 0]])) == Crossed(1, 4, 0.25)
    assert of_table(np.array([[1], [0]])) == Crossed(2, 1, 0.5)
    flat = of_table(np.zeros((3, 5), int))
    assert (flat.estimate, flat.se, flat.floor, flat.p, flat.low) == (0, 0, 0, None, None)
    assert of_table(np.ones((3, 5), int)).p is None
    assert of_table(np.array([[1, 0]])).floor is None


def test_without_any_spread_between_seeds_the_images_alone_count():
    """Every seed gets the same images right: df is infinite, and p is that of the normal distribution."""
    got = of_table(np.tile([1, 1, 0, -1, 0, 1, 0, 0, 1, 0], (4, 1)))
    row = np.array([1, 1, 0, -1, 0, 1, 0, 0, 1, 0])
    assert got.df == math.inf
    assert got.se == pytest.approx(row.std(ddof=1) / math.sqrt(10))
    assert got.p == pytest.approx(math.erfc(row.mean() / got.se / math.sqrt(2)))


@pytest.mark.parametrize(
    ("products", "sums", "images", "confidence", "message"),
    [
        ([[4]], [1, 2], 10, 0.95, r"products must be \[S, S\]"),
        ([[4.0]], [2], 10, 0.95, "signed integers, found float64"),
        ([[4]], [2], 0, 0.95, "at least one image, found 0"),
        ([[4]], [6], 10, 0.95, "do not belong"),
        ([[4]], [3], 10, 0.95, "do not belong"),
        ([[12]], [2], 10, 0.95, "do not belong"),
        ([[4]], [2], 10, 95, "confidence must lie between 0 and 1"),
    ],
)
def test_bad_requests(products, sums, images, confidence, message):
    with pytest.raises(ValueError, match=message):
        crossed_anova(products, sums, images, confidence)


def test_no_seeds_to_plan_with():
    with pytest.raises(ValueError, match="at least one seed and one image, found 0 and 5"):
        of_table(simulated(3, 5)).standard_error(0, 5)


def test_the_bootstrap_is_the_one_of_loops():
    table = simulated(5, 60, seed=2)
    draw = np.random.default_rng(1)
    means = [table[draw.integers(5, size=5)][:, draw.integers(60, size=60)].mean() for _ in range(20_000)]
    want = np.quantile(means, [0.025, 0.975])
    np.testing.assert_allclose(crossed_bootstrap(table, resamples=20_000), want, atol=0.02)
    spread = np.std(means)
    assert np.abs(np.array(crossed_bootstrap(table, resamples=20_000)) - want).max() < spread / 10


def test_the_bootstrap_is_a_function():
    table = simulated(4, 30, seed=5)
    assert crossed_bootstrap(table, seed=3) == crossed_bootstrap(table, seed=3)
    assert crossed_bootstrap(table, seed=3) != crossed_bootstrap(table, seed=4)
    low, high = crossed_bootstrap(table)
    assert low < table.mean() < high
    assert crossed_bootstrap(np.zeros((3, 9), int)) == (0, 0)
    assert crossed_bootstrap(np.ones((3, 9), int)) == (1, 1)
    assert crossed_bootstrap(np.ones((1, 9), int)) is None


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ([[0.5, 0.5]], {}, "must be −1, 0 or 1"),
        ([[2, 0]], {}, "must be −1, 0 or 1"),
        ([1, 0], {}, "must be −1, 0 or 1"),
        ([[1, 0]], {"confidence": 1}, "confidence must lie"),
        ([[1, 0]], {"resamples": 0}, "resamples must be at least 1"),
    ],
)
def test_bad_bootstraps(table, options, message):
    with pytest.raises(ValueError, match=message):
        crossed_bootstrap(table, **options)
