"""Intervals against SciPy."""

import pytest
from scipy.stats import binomtest

from robench.stats import mcnemar, wilson


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 540), (3, 7), (270, 540), (539, 540), (540, 540)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_equals_scipy(k, n, confidence):
    expected = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert wilson(k, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("k", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(k, n):
    with pytest.raises(ValueError, match="need 0 <= successes"):
        wilson(k, n)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 1), (3, 3), (5, 17), (40, 12), (200, 260)])
def test_mcnemar_equals_scipy(b, c):
    expected = binomtest(min(b, c), b + c).pvalue if b + c else 1.0
    assert mcnemar(b, c) == mcnemar(c, b) == pytest.approx(expected, rel=1e-9)
