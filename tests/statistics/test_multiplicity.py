"""Adjusted p-values against statsmodels and worked examples, and that asking more never means weaker."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from bench.statistics.multiplicity import holm

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
@settings(max_examples=20)
def test_statsmodels_agrees(p_values):
    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1], rtol=1e-12)


@given(probabilities, st.floats(0, 1))
@settings(max_examples=100)
def test_it_never_helps_to_ask_more(p_values, another):
    raw, adjusted = np.array(p_values), holm(p_values)
    assert np.all(adjusted >= raw)
    assert np.all(adjusted <= 1)
    order = np.argsort(raw)
    assert np.all(np.diff(adjusted[order]) >= 0)
    assert np.all(holm([*p_values, another])[:-1] >= adjusted)


@given(probabilities)
@settings(max_examples=60)
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
