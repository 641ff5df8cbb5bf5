"""Intervals and tests on counts of examples. Fractions in, fractions out; reports convert to percentages."""

from collections.abc import Sequence
from functools import cache
from math import comb, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np

Column = np.ndarray[Any, np.dtype[Any]]


def wilson(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval for a binomial proportion (Wilson 1927), as fractions in [0, 1].

    It also covers the mean of n independent numbers in [0, 1] with the sum `successes`: their variance is at most that
    of successes and failures with the same mean.

    Raises:
        ValueError: n is not positive or successes is outside [0, n].
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n and n > 0, got {successes} of {n}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, z2 = successes / n, z * z
    middle = share + z2 / (2 * n)
    spread = z * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low, high = (middle - spread) / (1 + z2 / n), (middle + spread) / (1 + z2 / n)
    return (0.0 if successes == 0 else low, 1.0 if successes == n else high)


@cache
def clear_majority(draws: int, confidence: float = 0.95) -> int:
    """Return the smallest number of draws on one side for which an exact two-sided binomial test rejects one half.

    If the draws are too few for any number to reject it, the number is one more than the draws.
    """
    alpha = (1 - confidence) / 2
    return next((k for k in range(draws + 1) if at_least(k, draws, 0.5) <= alpha), draws + 1)


def drawn_interval(robust: Column, right: Column, draws: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return an interval of the share of robust examples where repeated draws decide about each, as fractions.

    An example is robust if a draw is no success of the attack with a probability of at least one half. The draws leave
    it open if an exact binomial test does not reject one half, or if verdict and draws disagree. The interval reaches
    from Wilson's lower end with all open examples broken to his upper end with all of them robust, so it covers the
    draws as well as the examples.

    Args:
        robust: the verdicts, bool (N,).
        right: how many of the draws were no success, int (N,).
        draws: number of draws for each example.
        confidence: of the interval, and of each two-sided test.

    Raises:
        ValueError: there are no examples.
    """
    clear = clear_majority(draws, confidence)
    surely_robust = int((robust & (right >= clear)).sum())
    surely_broken = int((~robust & (right <= draws - clear)).sum())
    n = len(robust)
    return wilson(surely_robust, n, confidence)[0], wilson(n - surely_broken, n, confidence)[1]


def at_least(successes: int, n: int, share: float) -> float:
    """Return the probability of at least so many successes in n independent trials, each with probability `share`.

    Raises:
        ValueError: successes is outside [0, n] or share is not between 0 and 1.
    """
    if not 0 <= successes <= n or not 0 < share < 1:
        raise ValueError(f"need 0 <= successes <= n and 0 < share < 1, got {successes} of {n} and {share}")
    if successes == 0:
        return 1.0
    from scipy.special import bdtrc  # a tenth of a second, which most reports need not spend

    return float(bdtrc(successes - 1, n, share))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided exact p value of McNemar's test (1947) on paired verdicts.

    Args:
        only_first: number of examples that only the first classifies correctly.
        only_second: number of examples that only the second classifies correctly.

    Raises:
        ValueError: a count is negative.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"counts must not be negative, got {only_first} and {only_second}")
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail: int = sum(comb(n, k) for k in range(fewer + 1))
    return min(1.0, tail / 2 ** (n - 1)) if n else 1.0


def mcnemar_drop(lost: int, gained: int) -> float:
    """Return the one-sided exact p value of McNemar's test: the chance of at least `lost` losses between equals.

    Args:
        lost: number of examples that only the first classifies correctly.
        gained: number of examples that only the second classifies correctly.

    Raises:
        ValueError: a count is negative.
    """
    if min(lost, gained) < 0:
        raise ValueError(f"counts must not be negative, got {lost} and {gained}")
    n = lost + gained
    # A binomial at one half is symmetric: sum the shorter of the two tails.
    shorter: int = sum(comb(n, k) for k in range(gained + 1 if lost > gained else lost))
    share: float = shorter / 2**n
    return share if lost > gained else 1.0 - share


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's (1979) adjusted p values in the given order; those of at most alpha are significant together.

    The chance of even one false positive stays below alpha, however the tests depend on each other.
    """
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = highest
    return adjusted
