"""Decide finally about every success, by a fresh float32 forward pass of the stored point."""

from dataclasses import dataclass

import torch
from torch import Tensor

from robench.access.microbatches import MicroBatcher
from robench.classifiers.frozen import FrozenNetwork, check_clean, check_repeatable
from robench.data.pixels import Images
from robench.numerics.ball import Ball, distance, finite, in_box
from robench.numerics.losses import margin

FAULTS = ("", "not finite", "outside [0, 1]", "outside the ball", "not misclassified")
"""Possible faults of a claimed success, in the order of checking; 0 is confirmed."""
TIE = 1e-4
"""Largest lead of the true class, relative to the largest logit, that is within rounding."""
CONFIRMED, NOT_FINITE, OUTSIDE_BOX, OUTSIDE_BALL, NOT_MISCLASSIFIED = range(len(FAULTS))


@dataclass(frozen=True)
class JudgeResult:
    """The judge's decision about some points.

    Attributes:
        fault: an index into `FAULTS` for each point, int64 (M,).
        prediction: the class of each point, int64 (M,); -1 if the point is not finite.
        distance: distance to the clean example in the ball's norm, float64 (M,).
        tied: whether a point is not misclassified, but so closely that rounding may decide, bool (M,).
    """

    fault: Tensor
    prediction: Tensor
    distance: Tensor
    tied: Tensor

    @property
    def confirmed(self) -> Tensor:
        """Mask of the points that are successes, bool (M,)."""
        return self.fault == CONFIRMED


class Judge:
    """Rule on claimed successes and on clean examples, in float32 whatever the search used.

    Attributes:
        forwards: forward passes spent on judging.
        looks_like_probabilities: whether the clean logits are non-negative and sum to 1.
    """

    def __init__(self, network: FrozenNetwork, batcher: MicroBatcher) -> None:
        self.network, self.batcher, self.forwards = network, batcher, 0
        self.looks_like_probabilities = False

    def predict(self, x: Images) -> Tensor:
        """Return logits (M, K) in float32, on the network's device, for images on any device.

        Raises:
            InputError: the network cannot take such images, or does not return logits.
        """
        logits = self.batcher(self.network.predict, x, differentiates=False)
        self.forwards += len(x)
        return logits

    def clean(self, x: Images, y: Tensor, ids: Tensor) -> Tensor:
        """Return the predicted classes (N,) of clean examples.

        Raises:
            InputError: NaN or infinite logits, labels that the network does not know, or answers that change
                when the question is repeated.
        """
        logits = self.predict(x)
        check_clean(logits, y, ids)
        # Ask again with the same micro-batch, so that only randomness inside the network can change the answers.
        again = x[: self.batcher.forward_size]
        check_repeatable(logits[: len(again)], self.predict(again))
        self.looks_like_probabilities = bool(((logits >= 0).all() & ((logits.sum(1) - 1).abs() < 1e-4).all()).item())
        return logits.argmax(1)

    def rule(self, ball: Ball, points: Tensor, y: Tensor) -> JudgeResult:
        """Rule on points (M, C, H, W) claimed to be misclassified inside `ball`; y are the true labels."""
        sound = finite(points)
        logits = self.predict(torch.where(sound.view(-1, 1, 1, 1), points, ball.center))
        prediction = torch.where(sound, logits.argmax(1), -1)
        fault = torch.full_like(y, CONFIRMED)
        # The first fault in the list is the one that is named, so it is written last.
        fault[(prediction == y) | ~finite(logits)] = NOT_MISCLASSIFIED
        fault[~ball.contains(points)] = OUTSIDE_BALL
        fault[~in_box(points)] = OUTSIDE_BOX
        fault[~sound] = NOT_FINITE
        gap = margin(logits, y) <= TIE * logits.abs().amax(1).clamp_min(1.0)
        tied = (fault == NOT_MISCLASSIFIED) & gap & finite(logits)
        return JudgeResult(fault, prediction, distance(points, ball.center, ball.norm), tied)
