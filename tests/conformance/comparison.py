"""What every library is asked, how its answers are judged, and the tables they end in."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Protocol

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor, nn

from robench.ball import Ball, distance, finite, in_box
from robench.classifiers import load_model
from robench.data import find_dataset

EPS = 0.2
"""The linf radius of the digits defenses."""
REL_STEP = 3 / 31
"""Of PGD and MIM, as a fraction of eps."""
BOUNDED = ("fgsm", "pgd-20", "pgd-100", "mim-20", "apgd-ce", "apgd-t", "fab-t", "square")
MINIMAL = ("deepfool", "cw-l2")
DETERMINISTIC = ("fgsm", "mim-20", "fab-t", *MINIMAL)
"""They draw nothing: one seed says it all."""
CONSTANTS, ITERATIONS, RATE, FIRST_CONSTANT = 9, 1000, 0.01, 1e-3
"""C&W l2: binary search steps, iterations for each, learning rate, and where the search begins."""
DEEPFOOL_STEPS, OVERSHOOT = 100, 0.02
QUERIES, CLASSES = 5000, 10
BAR = 1.03
"""Our median minimum norm may be this much longer than a peer's."""


@dataclass(frozen=True)
class Case:
    """A network in evaluation mode and the test examples (N, 1, 8, 8) that it classifies correctly.

    Attributes:
        total: how many examples were asked about, misclassified ones included.
    """

    name: str
    model: nn.Module
    x: Tensor
    y: Tensor
    ids: Tensor
    total: int

    @classmethod
    def of(cls, name: str, limit: int | None) -> "Case":
        """The first examples of the digits test split."""
        split, model = find_dataset("digits").load("test").limit(limit), load_model(name)
        with torch.no_grad():
            right = model(split.x).argmax(1) == split.y
        return cls(name, model, split.x[right], split.y[right], split.ids[right], len(split))

    def first(self, limit: int) -> "Case":
        """Fewer examples."""
        x, y, ids = self.x[:limit], self.y[:limit], self.ids[:limit]
        return Case(self.name, self.model, x, y, ids, len(x))

    def fooled(self, points: Tensor) -> Tensor:
        """Which points are misclassified by a fresh pass and valid images, bool (N,)."""
        with torch.no_grad():
            wrong = self.model(points).argmax(1) != self.y
        return wrong & finite(points) & in_box(points)

    def robust_accuracy(self, points: Tensor) -> float:
        """In percent of all examples; 1e-6 beyond eps is forgiven."""
        broken = self.fooled(points) & Ball(self.x, "linf", EPS).contains(points)
        return 100 * (len(self.x) - int(broken.sum())) / self.total

    def lengths(self, points: Tensor) -> Tensor:
        """The l2 norms of the perturbations, float64 (N,); infinite where the network is not fooled."""
        return torch.where(self.fooled(points), distance(points, self.x, "l2"), float("inf"))


Attack = Callable[[Case, int], Tensor]
"""The adversarial points (N, 1, 8, 8) of a case under a seed."""


class Peer(Protocol):
    """A module that runs one library's attacks by the names above."""

    NAME: str
    ATTACKS: Mapping[str, Attack]


def answer(peer: Peer, attack: str, case: Case, seed: int) -> Tensor | None:
    """A library's points, with every global generator seeded; None if it lacks the attack."""
    if attack not in peer.ATTACKS:
        return None
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return peer.ATTACKS[attack](case, seed).detach()


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
