"""Two checkpoints: published tables of Newcombe and Fagerland, statsmodels, and the binomial by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint, proportions_ztest

from bench.statistics.proportions import (
    McNemar,
    clopper_pearson,
    mcnemar,
    newcombe_paired,
    unpaired_z,
    wilson,
)

cells = st.tuples(*[st.integers(0, 40)] * 4).filter(lambda t: sum(t) > 0)


@pytest.mark.parametrize(
    ("b", "c", "exact", "mid_p", "asymptotic", "corrected"),
    [
        # Fagerland et al. (2013): airway hyper-responsiveness before and after a transplantation (Bentur
        # et al. 2009), exact .070, mid-p .039, asymptotic .034.
        (1, 7, 0.0703125, 0.0390625, 0.0338949, 0.0770999),
        # Complete response before and after consolidation therapy (Cavo et al. 2012), to six digits in the
        # tests of the authors' R package contingencytables.
        (6, 16, 0.052479, 0.034690, 0.033006, 0.055009),
    ],
)
def test_fagerland_2013(b, c, exact, mid_p, asymptotic, corrected):
    got = mcnemar(b, c)
    shown = got.exact, got.mid_p, got.asymptotic, got.corrected
    assert shown == pytest.approx((exact, mid_p, asymptotic, corrected), abs=6e-7)


@given(st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=80)
def test_mcnemar_against_statsmodels_and_by_hand(b, c):
    got, table = mcnemar(b, c), [[0, b], [c, 0]]
    assert got.exact == pytest.approx(statsmodels_mcnemar(table, exact=True).pvalue)
    if b + c:
        assert got.asymptotic == pytest.approx(
            statsmodels_mcnemar(table, exact=False, correction=False).pvalue
        )
        here = math.comb(b + c, b) / 2 ** (b + c)
        beyond = sum(math.comb(b + c, k) for k in range(min(b, c))) / 2 ** (b + c)
        assert got.mid_p == pytest.approx(2 * beyond + (here if b != c else here / 2), rel=1e-9)
    if b != c:
        assert got.corrected == pytest.approx(statsmodels_mcnemar(table, exact=False, correction=True).pvalue)


@given(st.integers(0, 3000), st.integers(0, 3000))
@settings(max_examples=80)
def test_mcnemar_is_symmetric_and_a_probability(b, c):
    got, other = mcnemar(b, c), mcnemar(c, b)
    values = got.exact, got.mid_p, got.asymptotic, got.corrected
    assert all(0 < p <= 1 for p in values)
    assert values == (other.exact, other.mid_p, other.asymptotic, other.corrected)
    assert got.mid_p <= got.exact


def test_statsmodels_corrects_equal_counts_the_wrong_way():
    """With b = c there is no difference, so p is 1; |0 − 1| would make it less."""
    assert mcnemar(5, 5).corrected == 1
    assert statsmodels_mcnemar([[0, 5], [5, 0]], exact=False, correction=True).pvalue < 1
    assert mcnemar(0, 0) == McNemar(0, 0, 1, 1, 1, 1)


def test_newcombe_paired_published():
    # contingencytables, Newcombe square-and-add, Cavo et al.: −0.0621 (−0.1186 to −0.0046).
    got = newcombe_paired(59, 6, 16, 80)
    assert [round(v, 4) for v in (got.estimate, got.low, got.high)] == [-0.0621, -0.1186, -0.0046]


@given(cells, st.integers(0, 30))
@settings(max_examples=80)
def test_newcombe_paired_mirrors_and_pairing_helps(table, images):
    both, b, c, neither = table
    got, other = newcombe_paired(both, b, c, neither), newcombe_paired(both, c, b, neither)
    assert (other.estimate, other.low, other.high) == (-got.estimate, -got.high, -got.low)
    assert -1 <= got.low <= got.estimate <= got.high <= 1
    total = sum(table)
    low, high = confint_proportions_2indep(both + b, total, both + c, total, method="newcomb")
    if both * neither > b * c:
        assert got.high - got.low <= (high - low) * (1 + 1e-12)
    assert newcombe_paired(both + images, b, c, neither).estimate * (total + images) == pytest.approx(b - c)


@given(st.integers(0, 50), st.integers(1, 50), st.floats(0.5, 0.999))
@settings(max_examples=80)
def test_statsmodels_agrees(correct, total, confidence):
    correct = min(correct, total)
    want = proportion_confint(correct, total, alpha=1 - confidence, method="wilson")
    assert wilson(correct, total, confidence) == pytest.approx(want, abs=1e-12)
    other = (7 * correct + 3) % (total + 1)
    p = unpaired_z(correct, total, other, total)
    assert p == unpaired_z(other, total, correct, total)
    assert 0 < p <= 1
    if 0 < correct + other < 2 * total:
        assert p == pytest.approx(proportions_ztest([correct, other], [total, total])[1])
    else:
        assert p == 1


@given(st.integers(0, 60), st.integers(1, 60), st.floats(0.5, 0.999))
@settings(max_examples=80)
def test_clopper_pearson_is_scipys(count, total, confidence):
    count = min(count, total)
    want = stats.binomtest(count, total).proportion_ci(confidence, method="exact")
    assert clopper_pearson(count, total, confidence) == pytest.approx((want.low, want.high), abs=1e-9)
    low, high = clopper_pearson(total - count, total, confidence)
    assert (1 - high, 1 - low) == pytest.approx(clopper_pearson(count, total, confidence), abs=1e-12)


@pytest.mark.parametrize("total", [1, 5, 10])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_clopper_pearson_never_covers_less_than_it_says(total, confidence):
    ends = [clopper_pearson(count, total, confidence) for count in range(total + 1)]
    for share in (0.01, 0.05, 0.2, 0.5, 0.77, 0.99):
        covered = sum(
            stats.binom.pmf(count, total, share)
            for count, (low, high) in enumerate(ends)
            if low <= share <= high
        )
        assert covered >= confidence - 1e-12


def test_none_of_ten_still_allows_a_quarter():
    assert clopper_pearson(0, 10, 0.9) == (0, pytest.approx(1 - 0.05**0.1))
    assert clopper_pearson(10, 10, 0.9) == (pytest.approx(0.05**0.1), 1)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (lambda: mcnemar(-1, 3), "b must be a whole number of at least 0, found -1"),
        (lambda: mcnemar(1, 3.0), "c must be a whole number of at least 0, found 3"),
        (lambda: mcnemar(float("nan"), 3), "b must be a whole number"),
        (lambda: wilson(5, 4), "5 correct answers out of 4 cannot be"),
        (lambda: wilson(0, 0), "0 correct answers out of 0 cannot be"),
        (lambda: clopper_pearson(5, 4), "5 correct answers out of 4 cannot be"),
        (lambda: clopper_pearson(0, 0), "0 correct answers out of 0 cannot be"),
        (lambda: clopper_pearson(1, 4, 1.0), "confidence must lie between 0 and 1, found 1.0"),
        (lambda: wilson(1, 4, 95), "confidence must lie between 0 and 1, found 95"),
        (lambda: wilson(True, 4), "correct must be a whole number"),
        (lambda: newcombe_paired(0, 0, 0, 0), "0 correct answers out of 0 cannot be"),
        (lambda: unpaired_z(5, 4, 1, 4), "5 correct answers out of 4"),
    ],
)
def test_bad_requests(request_, message):
    with pytest.raises(ValueError, match=message):
        request_()
