"""The tables that the answers of the libraries end in."""

from collections.abc import Iterable, Iterator
from statistics import mean

import numpy as np
from tabulate import tabulate
from torch import Tensor

from benchmarks.peers.case import Case, Peer, answer

BOUNDED = ("fgsm", "pgd-20", "pgd-100", "mim-20", "apgd-ce", "apgd-t", "fab-t", "square")
MINIMAL = ("deepfool", "cw-l2")
DETERMINISTIC = ("fgsm", "mim-20", "fab-t", *MINIMAL)
"""They draw nothing: one seed says it all."""
BAR = 1.03
"""Our median minimum norm may be this much longer than a peer's."""


def bounded(case: Case, peers: list[Peer], seeds: list[int]) -> str:
    """A table of robust accuracies: a row an attack, a column a library; ours comes first."""
    rows = []
    for attack in BOUNDED:
        asked = seeds[:1] if attack in DETERMINISTIC else seeds
        found = [_accuracies(case, peer, attack, asked) for peer in peers]
        means = [mean(each) for each in found if each]
        gap = f"{means[0] - min(means[1:]):+.2f}" if len(means) > 1 else ""
        rows.append([attack, *map(_spread, found), gap])
    return _table(["attack", *(peer.NAME for peer in peers), "ours - lowest peer"], rows)


def _accuracies(case: Case, peer: Peer, attack: str, seeds: Iterable[int]) -> list[float]:
    points = (answer(peer, attack, case, seed) for seed in seeds)
    return [case.robust_accuracy(found) for found in points if found is not None]


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    return f"{mean(values):.2f}" + (f" ({low:.2f} to {high:.2f})" if len(values) > 1 else "")


def minimal(case: Case, attack: str, peers: list[Peer]) -> Iterator[tuple[list[str], float]]:
    """For each library that has the attack a row of median norms, and the ratio of ours to its."""
    answers = [(peer.NAME, answer(peer, attack, case, 0)) for peer in peers]
    lengths = [(name, case.lengths(points)) for name, points in answers if points is not None]
    _, ours = lengths[0]
    for name, theirs in lengths:
        both = ours.isfinite() & theirs.isfinite()
        own = theirs[theirs.isfinite()]
        ratio = _median(ours[both]) / _median(theirs[both])
        nearer = int((theirs < ours * 0.999).sum())
        row = [attack, name, f"{_median(own):.4f}", f"{len(own)} of {len(case.x)}", f"{ratio:.3f}", str(nearer)]
        yield row, ratio


def _median(values: Tensor) -> float:
    return float(np.median(values.numpy())) if len(values) else float("nan")


def norms_table(rows: list[list[str]]) -> str:
    """The rows of `minimal` under their titles."""
    return _table(["defense", "attack", "library", "median l2", "fooled", "ours / theirs", "nearer than ours"], rows)


def _table(titles: list[str], rows: list[list[str]]) -> str:
    return tabulate(rows, titles, tablefmt="github", disable_numparse=True)
