"""Indicators of a wrong setup: another network, other labels or other pixels than are meant."""

import numpy as np

from robench.numerics.stats import at_least, mcnemar_drop, wilson
from robench.store import Column

ALPHA = 0.01
"""Largest chance of a false finding, for each one-sided exact test."""
FEW = 20
"""Fewest images on which a share tells more than luck."""
MOST = 0.5
"""Largest share of one class among the labels; above it, one class for everything may be the data's doing."""


def setup_faults(labels: Column, predicted: Column, classes: int, published: float | None = None) -> dict[str, float]:
    """Return the indicators of `attacks/diagnostics.toml` that a wrong setup raises; empty if nothing is wrong.

    Args:
        labels: class numbers, int64 (N,).
        predicted: the network's classes of the clean images, int64 (N,); `classes` for a rejection.
        classes: number of classes of the network.
        published: clean accuracy that is published for this network, in percent.
    """
    found: dict[str, float] = {}
    _, high = wilson(int((labels == predicted).sum()), len(labels))
    accepted = predicted != classes  # a rejection is an error, but it says nothing about the order of the classes
    labels, predicted = labels[accepted], predicted[accepted]
    right = labels == predicted
    if len(np.unique(labels)) > 1:  # images of one class say nothing about the order of classes
        if _guesses(int(right.sum()), len(labels), classes):
            found["at-chance"] = 1.0
        if len(labels) >= FEW and len(np.unique(predicted)) == 1 and right.mean() <= MOST:
            found["one-class"] = 1.0
        if gain := _gain_of_renaming(labels, predicted):
            found["permuted-labels"] = gain
    if published is not None and 100.0 * high < published:
        found["below-published"] = round(published - 100.0 * high, 6)
    return found


def _guesses(right: int, n: int, classes: int) -> bool:
    """Return whether guessing explains the number of right answers; few images tell only if they are not above chance.

    One-sided exact binomial test at `ALPHA` of the hypothesis that an answer is right with probability 1 / classes.
    """
    if right * classes <= n:
        return True
    return n >= FEW and at_least(right, n, 1.0 / classes) > ALPHA


def _gain_of_renaming(labels: Column, predicted: Column) -> float:
    """Return by how many points accuracy rises if classes are renamed; 0 if chance explains the rise.

    The names that fit best on every second image are tested on the others, and the other way round, with the one-sided
    exact McNemar test.
    """
    if len(labels) < FEW:
        return 0.0
    seen, places = np.unique(np.concatenate([labels, predicted]), return_inverse=True)
    labels, predicted = places[: len(labels)], places[len(labels) :]
    renamed = np.empty_like(predicted)
    for half, other in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        renamed[other] = _best_names(labels[half], predicted[half], len(seen))[predicted[other]]
    before, after = predicted == labels, renamed == labels
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    if mcnemar_drop(gained, lost) > ALPHA:
        return 0.0
    return round(100.0 * (gained - lost) / len(labels), 6)


def _best_names(labels: Column, predicted: Column, classes: int) -> Column:
    """Return for each predicted class the label that makes most images right (assignment problem, Kuhn 1955)."""
    from scipy.optimize import linear_sum_assignment  # takes half a second

    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (predicted, labels), 2)
    counts += np.eye(classes, dtype=np.int64)  # where images say nothing, a class keeps its name
    names: Column = linear_sum_assignment(counts, maximize=True)[1]
    return names
