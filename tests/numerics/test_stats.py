"""Intervals and tests against SciPy, Holm against its definition."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest

from robench.numerics.stats import holm, mcnemar, mcnemar_drop, wilson


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


@pytest.mark.parametrize("lost", [0, 1, 3, 14, 40, 1500])
@pytest.mark.parametrize("gained", [0, 1, 3, 14, 40, 1500])
def test_the_one_sided_test_equals_scipy(lost, gained):
    expected = binomtest(lost, lost + gained, alternative="greater").pvalue if lost + gained else 1.0
    assert mcnemar_drop(lost, gained) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_negative_counts_are_refused():
    for test in (mcnemar, mcnemar_drop):
        with pytest.raises(ValueError, match="must not be negative"):
            test(3, -1)


def rejected(p, alpha):
    """Holm's procedure as he states it: from the smallest on, until one is above alpha over what is left."""
    places = set()
    for rank, place in enumerate(np.argsort(p, kind="stable")):
        if p[place] > alpha / (len(p) - rank):
            break
        places.add(int(place))
    return places


def test_holm_is_the_closure_of_bonferroni():
    """A hypothesis falls if every set of hypotheses that holds it falls by Bonferroni (Marcus et al. 1976)."""
    p, alpha = [0.011, 0.02, 0.013, 0.9, 0.04], 0.05
    falls = set()
    for place in range(len(p)):
        sets = [each for each in product((False, True), repeat=len(p)) if each[place]]
        if all(min(p[i] for i in range(len(p)) if each[i]) <= alpha / sum(each) for each in sets):
            falls.add(place)
    assert {place for place, value in enumerate(holm(p)) if value <= alpha} == falls == rejected(p, alpha)


def test_holm_equals_its_step_down_procedure():
    draw = np.random.default_rng(0)
    for _ in range(300):
        p = list(draw.uniform(size=draw.integers(1, 9)) ** draw.uniform(1, 6))
        adjusted = holm(p)
        assert all(value >= before for value, before in zip(adjusted, p, strict=True))
        assert max(adjusted) <= 1.0
        for alpha in (0.01, 0.05, 0.2):
            assert {place for place, value in enumerate(adjusted) if value <= alpha} == rejected(p, alpha)


def test_holm_of_nothing_is_nothing():
    assert holm([]) == []
