"""Intervals against values by hand and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from gaufuse.experiment.statistics import deviation, estimate, estimate_of_groups, t_quantile


@pytest.mark.parametrize("freedom", [1.0, 1.5, 2.0, 3.0, 4.0, 7.3, 30.0, 500.0])
@pytest.mark.parametrize("probability", [0.5, 0.8, 0.95, 0.975, 0.995])
def test_t_quantile(freedom, probability):
    expected = stats.t.ppf(probability, freedom)
    assert t_quantile(probability, freedom) == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_t_quantile_by_hand():
    # One degree of freedom: tan(pi (p - 1/2)). Two: (2 p - 1) sqrt(2 / (1 - (2 p - 1)^2)).
    assert t_quantile(0.975, 1.0) == pytest.approx(math.tan(math.pi * 0.475), rel=1e-9)
    assert t_quantile(0.975, 2.0) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)), rel=1e-9)
    with pytest.raises(ValueError, match="no t quantile"):
        t_quantile(0.975, 0.5)


def test_t_interval_by_hand():
    found = estimate([1.0, 2.0, 3.0])
    half = 4.302652729911275 / math.sqrt(3)  # standard deviation 1
    assert (found.mean, found.values) == (2.0, 3)
    assert (found.low, found.high) == pytest.approx((2.0 - half, 2.0 + half))
    assert found.sign == 0
    assert estimate([10.0, 11.0, 12.0]).sign == 1
    assert estimate([-10.0, -11.0, -12.0]).sign == -1
    assert deviation([1.0, 2.0, 3.0]) == 1.0


def test_paired_differences_are_scipys_paired_test():
    rng = np.random.default_rng(3)
    control = 40 + 4 * rng.standard_normal(7)
    arm = control + 1.5 + rng.standard_normal(7)
    expected = stats.ttest_rel(arm, control).confidence_interval(0.95)
    found = estimate(arm - control)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-7)


def test_mean_of_groups_is_welchs():
    """Half the difference of a and -b is the mean of the means of a and b."""
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal(5), 3 + 4 * rng.standard_normal(8)
    expected = stats.ttest_ind(a, -b, equal_var=False).confidence_interval(0.95)
    found = estimate_of_groups([a, b])
    assert found.mean == pytest.approx((a.mean() + b.mean()) / 2)
    assert (found.low, found.high) == pytest.approx((expected.low / 2, expected.high / 2), rel=1e-7)
    assert found.values == 13


def test_groups_that_do_not_vary_add_nothing():
    values = [1.0, 2.0, 4.0]
    own, with_constant = estimate(values), estimate_of_groups([values, [5.0, 5.0]])
    assert with_constant.mean == pytest.approx((own.mean + 5.0) / 2)
    assert with_constant.high - with_constant.low == pytest.approx((own.high - own.low) / 2)
    assert estimate([2.0, 2.0]).low == 2.0


def test_one_value_has_no_interval():
    assert estimate([3.0]).low is None
    assert estimate([3.0]).sign == 0
    assert deviation([3.0]) is None
    assert estimate_of_groups([[1.0, 2.0], [3.0]]).high is None
    with pytest.raises(ValueError, match="at least one value in every group"):
        estimate([])


def test_bootstrap_is_about_scipys():
    values = 2 + np.random.default_rng(7).standard_normal(30)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    found = estimate(values, "bootstrap")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.02)
    assert estimate(values, "bootstrap") == found
    with pytest.raises(ValueError, match="method must be one of t, bootstrap"):
        estimate(values, "normal")
