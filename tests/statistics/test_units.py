"""Values as whole numbers: with the digits that they have, and no run rounds another in silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.statistics.units import DIGITS, in_units, unit_for


@given(st.lists(st.floats(-1e12, 1e12, allow_subnormal=False).filter(lambda v: abs(v) > 1e-9), min_size=1))
def test_values_become_whole_numbers_with_the_digits_that_they_have(values: list[float]) -> None:
    sizes = sorted(map(abs, values))
    try:
        unit = unit_for(values)
    except BenchError:
        assert sizes[-1] > 1e9 * sizes[(len(sizes) - 1) // 2]
        return
    counts = [in_units(value, unit) for value in values]
    for value, count in zip(values, counts, strict=True):
        assert abs(count / unit - value) <= 1e-11 * sizes[-1]
        assert abs(count / unit - value) <= max(1e-3 * sizes[(len(sizes) - 1) // 2], 1e-15 * abs(value))
    assert sum(map(abs, counts)) < 2**62  # as many seeds as there are can be summed up


def test_a_run_that_went_wrong_does_not_round_the_others() -> None:
    usual = [0.1234567, 0.1234568, 0.2, 0.21, 0.22]
    unit = unit_for([*usual, 4e8])
    assert [count / unit for count in (in_units(value, unit) for value in usual)] == usual
    with pytest.raises(
        BenchError, match=r"4e\+16 is too large a value of a metric beside 0.2: its logarithm"
    ):
        unit_for([*usual, 4e16])


def test_values_that_are_equal_but_for_float_noise_are_equal() -> None:
    unit = unit_for([0.3, 0.1 + 0.2])
    assert in_units(0.3, unit) == in_units(0.1 + 0.2, unit)
    assert unit_for([0.0]) == unit_for([]) == 10**DIGITS
    with pytest.raises(BenchError, match=r"1e\+20 is too large a value of a metric"):
        unit_for([1.0, -1e20])
