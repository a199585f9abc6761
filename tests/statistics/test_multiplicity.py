"""Adjusted p-values against statsmodels and worked examples, and that asking more never means weaker."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from bench.statistics.multiplicity import benjamini_hochberg, hochberg, holm, hommel

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_demsar_2006():
    # J. Mach. Learn. Res. 7, § 3.2.2: three versions of C4.5 against plain C4.5. p = .016 and .019 are below
    # .05/3 and .05/2, p = .607 is above .05: the first two are rejected.
    adjusted = holm([0.607, 0.019, 0.016])
    np.testing.assert_allclose(adjusted, [0.607, 0.048, 0.048])
    assert (adjusted < 0.05).tolist() == [False, True, True]


def test_r_package_hdlsskst():
    # Its documentation of Holm(): of these, exactly .001 and .0025 are rejected at .05.
    p_values = [0.50, 0.01, 0.001, 0.69, 0.02, 0.05, 0.0025]
    assert (holm(p_values) < 0.05).tolist() == [False, False, True, False, False, False, True]


@given(probabilities)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_statsmodels_agrees(p_values):
    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1], rtol=1e-12)


@given(probabilities, st.floats(0, 1))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_it_never_helps_to_ask_more(p_values, another):
    raw, adjusted = np.array(p_values), holm(p_values)
    assert np.all(adjusted >= raw)
    assert np.all(adjusted <= 1)
    order = np.argsort(raw)
    assert np.all(np.diff(adjusted[order]) >= 0)
    assert np.all(holm([*p_values, another])[:-1] >= adjusted)


@given(probabilities)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_order_does_not_matter(p_values):
    np.testing.assert_array_equal(holm(p_values[::-1])[::-1], holm(p_values))


def test_missing_p_values_stay_missing_and_count():
    adjusted = holm([0.01, None, 0.04, float("nan")])
    np.testing.assert_allclose(adjusted, [0.04, np.nan, 0.12, np.nan])
    np.testing.assert_allclose(adjusted[[0, 2]], holm([0.01, 1.0, 0.04, 1.0])[[0, 2]])
    assert np.all(np.isnan(holm([None, None])))
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("wrong", [-0.1, 1.5])
def test_bad_p_values(wrong):
    with pytest.raises(ValueError, match=f"between 0 and 1, found {wrong}"):
        holm([0.5, wrong])


def test_family_wise_error_by_simulation():
    """Five true hypotheses: at least one false alarm in 5 % of 4,000 families, and not more."""
    families = np.random.default_rng(9).random((4000, 5))
    alarms = np.array([holm(family).min() < 0.05 for family in families])
    assert alarms.mean() == pytest.approx(1 - 0.99**5, abs=0.011)


# Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995), § 4.1: fifteen endpoints of the treatment of
# myocardial infarction.
INFARCTION = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459),
    *(0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.000),
]
METHODS = {hochberg: "simes-hochberg", hommel: "hommel", benjamini_hochberg: "fdr_bh", holm: "holm"}


def test_benjamini_and_hochberg_1995():
    # The text: Bonferroni and Hochberg's procedure reject the three smallest, theirs the four smallest.
    assert (hochberg(INFARCTION) < 0.05).sum() == 3
    assert (benjamini_hochberg(INFARCTION) < 0.05).sum() == 4


@pytest.mark.parametrize("method", [hochberg, hommel, benjamini_hochberg])
@given(probabilities, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_others_are_those_of_statsmodels(method, p_values, random):
    adjusted = method(p_values)
    want = multipletests(p_values, method=METHODS[method])[1]
    np.testing.assert_allclose(adjusted, want, rtol=1e-12, atol=1e-300)
    order = random.sample(range(len(p_values)), len(p_values))
    np.testing.assert_array_equal(method([p_values[i] for i in order]), adjusted[order])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_hommel_is_the_closed_test_of_simes(p_values):
    """By definition: the largest Simes p over all intersections that a hypothesis is in."""

    def simes(chosen: tuple[int, ...]) -> float:
        p = np.sort([p_values[i] for i in chosen])
        return float(np.min(len(p) * p / np.arange(1, len(p) + 1)))

    m = len(p_values)
    subsets = [s for size in range(1, m + 1) for s in itertools.combinations(range(m), size)]
    want = [max(simes(s) for s in subsets if i in s) for i in range(m)]
    np.testing.assert_allclose(hommel(p_values), want, rtol=1e-12, atol=1e-300)


@given(probabilities)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_from_the_most_careful_to_the_least(p_values):
    tiny = 1 + 1e-12
    assert np.all(hochberg(p_values) <= holm(p_values) * tiny)
    assert np.all(hommel(p_values) <= hochberg(p_values) * tiny)
    assert np.all(benjamini_hochberg(p_values) <= hommel(p_values) * tiny)
    assert np.all(benjamini_hochberg(p_values) * tiny >= p_values)


@pytest.mark.parametrize("method", METHODS)
def test_missing_everywhere_stays_missing_and_counts(method):
    adjusted = method([0.01, None, 0.04, float("nan")])
    assert np.isnan(adjusted[[1, 3]]).all()
    np.testing.assert_allclose(adjusted[[0, 2]], method([0.01, 1.0, 0.04, 1.0])[[0, 2]])
    assert np.isnan(method([None, None])).all()
    assert method([]).shape == (0,)
    with pytest.raises(ValueError, match=r"between 0 and 1, found 1\.5"):
        method([0.5, 1.5])
