"""What every library is asked, and how its answers are judged."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from robench.classifiers import load_model
from robench.classifiers.precision import arithmetic
from robench.data import find_dataset
from robench.numerics.ball import Ball, distance, finite, in_box
from robench.specs import ThreatModel
from robench.specs.settings import Precision

DIGITS = ThreatModel.parse("linf", "0.2")
"""Of the digits defenses."""
REL_STEP = 3 / 31
"""Of PGD and MIM, as a fraction of eps."""
CONSTANTS, RATE, FIRST_CONSTANT = 9, 0.01, 1e-3
"""C&W l2: binary search steps, learning rate, and where the search begins."""
DEEPFOOL_STEPS, OVERSHOOT = 100, 0.02
DIRECTIONS = 128
"""Pairs of probes a step of SPSA."""


@dataclass(frozen=True)
class Effort:
    """How long the attacks run whose length is not in their names.

    Attributes:
        iterations: of C&W l2, for each constant.
        queries: of Square.
        spsa_steps: of SPSA, 2 * `DIRECTIONS` queries each.
        zoo_updates: of ZOO, two queries each.
    """

    iterations: int = 1000
    queries: int = 5000
    spsa_steps: int = 20
    zoo_updates: int = 10_000


@dataclass(frozen=True)
class Case:
    """A network in evaluation mode and examples (N, C, H, W), all on one device, and what is allowed.

    Attributes:
        total: how many examples a robust accuracy is a share of; those left out of x count as broken.
        classes: how many the network knows.
        batch: images that a library is given, or told to take, at a time.
        precision: of the search; answers are always judged in float32.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    ids: Tensor
    total: int
    threat: ThreatModel = DIGITS
    classes: int = 10
    batch: int = 1024
    precision: Precision = "fp32"
    effort: Effort = Effort()

    @classmethod
    def of(cls, name: str, limit: int | None) -> "Case":
        """The first examples of the digits test split that are classified correctly."""
        split = find_dataset("digits").load("test").limit(limit)
        return cls(load_model(name), split.x[:], split.y, split.ids, len(split)).right()

    @property
    def eps(self) -> float:
        """The radius."""
        return self.threat.eps

    def right(self) -> "Case":
        """What the network classifies correctly; `total` stays."""
        return self.take(~self.wrong(self.x))

    def first(self, limit: int) -> "Case":
        """Fewer examples, as if there were no others."""
        return replace(self.take(slice(limit)), total=len(self.x[:limit]))

    def take(self, rows: Tensor | slice) -> "Case":
        """Some of the examples; `total` stays."""
        return replace(self, x=self.x[rows], y=self.y[rows], ids=self.ids[rows])

    def batches(self) -> Iterator["Case"]:
        """The examples, `batch` at a time."""
        for start in range(0, len(self.x), self.batch):
            yield self.take(slice(start, start + self.batch))

    def wrong(self, points: Tensor) -> Tensor:
        """Which points a fresh pass misclassifies, bool (N,)."""
        with torch.no_grad(), arithmetic("fp32", points.device):
            return torch.cat([self.model(part) for part in points.split(self.batch)]).argmax(1) != self.y

    def fooled(self, points: Tensor) -> Tensor:
        """Which points are misclassified by a fresh pass and valid images, bool (N,)."""
        return self.wrong(points) & finite(points) & in_box(points)

    def robust_accuracy(self, points: Tensor) -> float:
        """In percent of `total`; rounding beyond eps is forgiven as everywhere (`Ball.contains`)."""
        broken = self.fooled(points) & Ball(self.x, self.threat.norm, self.eps).contains(points)
        return 100 * (len(self.x) - int(broken.sum())) / self.total

    def lengths(self, points: Tensor) -> Tensor:
        """The l2 norms of the perturbations, float64 (N,); infinite where the network is not fooled."""
        return torch.where(self.fooled(points), distance(points, self.x, "l2"), float("inf"))


Attack = Callable[[Case, int], Tensor]
"""The adversarial points, like `case.x`, of a case under a seed."""


class Peer(Protocol):
    """A module that runs one library's attacks by the names of `attacks/*.toml`."""

    NAME: str
    ATTACKS: Mapping[str, Attack]


def in_batches(attack: Attack) -> Attack:
    """Of a library that takes all it is given at once."""
    return lambda case, seed: torch.cat([attack(part, seed) for part in case.batches()])


def answer(peer: Peer, attack: str, case: Case, seed: int) -> Tensor | None:
    """A library's points, with every global generator seeded; None if it lacks the attack."""
    if attack not in peer.ATTACKS:
        return None
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return peer.ATTACKS[attack](case, seed).detach()
