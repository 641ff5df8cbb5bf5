"""Choose the class that the next run on each example leads to."""

from torch import Tensor


def untried(score: Tensor, tries: Tensor) -> Tensor:
    """Return the class of the largest score (A, K) among those without a run, (A,)."""
    return score.masked_fill(tries > 0, float("-inf")).argmax(1)


def most_promising(gap: Tensor, tries: Tensor, discount: float) -> Tensor:
    """Return the class of the largest gap (A, K) among those that had runs, (A,).

    Each run after a class's first makes its gap count as worse by the share `discount`.
    """
    # Gaps are negative while an example is not broken, so the discount makes them worse.
    return (gap * (1 + discount * (tries - 1))).masked_fill(tries == 0, float("-inf")).argmax(1)
