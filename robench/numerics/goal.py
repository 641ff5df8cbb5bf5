"""Goal of an attack: any class but the label, or one target class."""

from dataclasses import dataclass

import torch
from torch import Tensor

from robench.numerics.losses import label_logit, margin, rivals
from robench.numerics.rejection import class_logits


@dataclass(frozen=True)
class Goal:
    """The predictions that count as successes of an attack on some examples.

    Attributes:
        y: labels, int64 (N,).
        target: the class of each example that the network shall predict, int64 (N,); None if any class but the label
            will do.
        rejects: whether logits have K+1 columns, of which the last is that of a rejection; then only `reached` and
            `margin` are defined.
    """

    y: Tensor
    target: Tensor | None = None
    rejects: bool = False

    def reached(self, logits: Tensor) -> Tensor:
        """Return whether each prediction is a success, bool (N,)."""
        predicted = self._classes(logits).argmax(1)
        return predicted != self.y if self.target is None else predicted == self.target

    def margin(self, logits: Tensor) -> Tensor:
        """Return how far the logits are from a success, (N,): negative if they are one.

        The margin is Z_y - max_{i != y} Z_i without a target, and max_{i != t} Z_i - Z_t with target t. For two classes
        both are the same.
        """
        logits = self._classes(logits)
        return margin(logits, self.y) if self.target is None else -margin(logits, self.target)

    def gaps(self, logits: Tensor) -> Tensor:
        """Return the gap Z_k - Z_y of each class to the label, (N, K), minus infinity for the label.

        With targets t, all but the target's gap, Z_t - max_{i != t} Z_i, are minus infinity.
        """
        if self.target is None:
            return rivals(logits, self.y) - label_logit(logits, self.y)[:, None]
        lowest = torch.full_like(logits, float("-inf"))
        return lowest.scatter(1, self.target[:, None], -self.margin(logits)[:, None])

    def take(self, rows: Tensor) -> "Goal":
        """Return the goal on some of the examples; an example may be taken several times."""
        return Goal(self.y[rows], None if self.target is None else self.target[rows], self.rejects)

    def to(self, device: torch.device) -> "Goal":
        """Return the goal on a device."""
        return Goal(self.y.to(device), None if self.target is None else self.target.to(device), self.rejects)

    def _classes(self, logits: Tensor) -> Tensor:
        return class_logits(logits, self.y) if self.rejects else logits
