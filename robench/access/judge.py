"""Decide finally about every success, by a fresh float32 forward pass of the stored point."""

from dataclasses import dataclass

import torch
from torch import Tensor

from robench.access.microbatches import MicroBatcher
from robench.access.neighbours import (
    ALONE,
    KEPT,
    TRIALS,
    among_strangers,
    check_companions,
    check_service,
    check_sizes,
    dim_among_strangers,
    six,
)
from robench.classifiers.frozen import FrozenNetwork
from robench.classifiers.outputs import check_clean, check_repeatable, is_masked, largest
from robench.classifiers.service import Service
from robench.data.pixels import Images
from robench.devices import out_of_memory
from robench.errors import InputError
from robench.numerics.ball import Ball, distance, finite, in_box
from robench.numerics.goal import Goal

FAULTS = (
    "", "not finite", "outside [0, 1]", "outside the ball", "outside the mask", "not misclassified",
    "not of the target class",
)  # fmt: skip
"""Possible faults of a claimed success, in the order of checking; 0 is confirmed."""
TIE = 1e-4
"""Largest lead of the true class (with a target, of the target's strongest rival), relative to the largest logit, that
is within rounding."""
CONFIRMED, NOT_FINITE, OUTSIDE_BOX, OUTSIDE_BALL, OUTSIDE_MASK, NOT_MISCLASSIFIED, NOT_TARGET = range(len(FAULTS))


@dataclass(frozen=True)
class JudgeResult:
    """The judge's decision about some points.

    Attributes:
        fault: an index into `FAULTS` for each point, int64 (M,).
        prediction: the class of each point, int64 (M,); -1 if the point is not finite.
        distance: distance to the clean example in the ball's norm, float64 (M,).
        tied: whether a point misses its goal, but so closely that rounding may decide, bool (M,).
        clear: whether a point reaches its goal by more than rounding, bool (M,).
    """

    fault: Tensor
    prediction: Tensor
    distance: Tensor
    tied: Tensor
    clear: Tensor

    @property
    def confirmed(self) -> Tensor:
        """Mask of the points that are successes, bool (M,)."""
        return self.fault == CONFIRMED


class Judge:
    """Rule on claimed successes and on clean examples, in float32 whatever the search used.

    Attributes:
        forwards: forward passes spent on judging.
        looks_like_probabilities: whether the clean logits are non-negative and sum to 1.
        place_of_logits: description of where in an answer the logits are; empty if they are the answer.
        masked: whether each class is masked on every clean example, bool (K,); empty before the clean pass.
        least_likely: wrong class with the lowest clean logit, int64 (N,), if the clean pass was asked for it.
    """

    def __init__(self, network: FrozenNetwork, batcher: MicroBatcher) -> None:
        self.network, self.batcher, self.forwards = network, batcher, 0
        self.looks_like_probabilities = False
        self.place_of_logits = ""
        self.masked = torch.zeros(0, dtype=torch.bool)
        self.least_likely: Tensor | None = None

    def predict(self, x: Images) -> Tensor:
        """Return logits (M, K) in float32, on the network's device, for images on any device.

        Raises:
            InputError: the network cannot take such images, or does not return logits.
        """
        logits = self.batcher(self.network.predict, x, differentiates=False)
        self.forwards += len(x)
        return logits

    def clean(self, x: Images, y: Tensor, ids: Tensor, *, least_likely: bool = False) -> Tensor:
        """Return the predicted classes (N,) of clean examples.

        Args:
            x, y, ids: the examples.
            least_likely: whether the attribute of that name is needed.

        Raises:
            InputError: NaN or infinite logits, labels that the network does not know, answers that change when the
                question is repeated or with the other images of the batch, or hidden changes of the network.
        """
        logits = self.predict(x)
        check_clean(logits, y, ids)
        self.masked = is_masked(logits).all(0).cpu()
        if least_likely:
            # Neither the label nor a masked class, which no image can be turned into.
            possible = logits.masked_fill(is_masked(logits), torch.inf)
            self.least_likely = possible.scatter(1, y.to(logits.device)[:, None], torch.inf).argmin(1)
        # Ask again with the same micro-batch, so that only randomness inside the network can change the answers.
        again = x[: self.batcher.forward_size]
        if isinstance(self.network.module, Service) and self.batcher.forward_size > 1:
            check_service(logits[: len(again)], self.predict, again)
        else:
            repeated = self.predict(again)
            check_repeatable(logits[: len(again)], repeated)
            if not isinstance(self.network.module, Service):
                self._check_alone(x, logits, exact=torch.equal(logits[: len(again)], repeated))
        self.looks_like_probabilities = bool(((logits >= 0).all() & ((logits.sum(1) - 1).abs() < 1e-4).all()).item())
        return logits.argmax(1)

    def _check_alone(self, x: Images, logits: Tensor, *, exact: bool) -> None:
        """Check that the network treats every image alone and does not change itself.

        Raises:
            InputError: the network depends on the batch, takes one size of batches only, or hides changes of itself.
        """
        parts = [slice(*ends) for ends in ALONE if ends[1] <= len(x)]
        alone: list[Tensor] = []
        among: list[tuple[Tensor, Tensor]] = []
        few = six(x)
        try:
            for part in parts:
                alone.append(self.network.predict(x[part]))
            among = [trial(self.network.predict, few) for trial in (among_strangers, dim_among_strangers)]
        except InputError as error:
            raise InputError(
                f"the network takes {min(len(x), self.batcher.forward_size)} images at once, but not fewer: give it "
                f"a dynamic batch size ({error})"
            ) from error
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        # If memory ran out, the parts that fitted are compared; the larger ones would not fit in the attacks, either.
        self.forwards += sum(len(each) for each in alone) + (TRIALS * len(KEPT) if among else 0)
        pairs = [(logits[part], answer) for part, answer in zip(parts, alone, strict=False)]
        for companions in among:
            check_companions(*companions, exact=exact)
        pairs += [(six(logits), first) for first, _ in among[:1]]
        check_sizes(pairs)
        self.place_of_logits = self.network.place_of_logits(x[:1])
        self.forwards += 1
        if self.network.state is not None:
            self.network.state.require_visible_changes()

    def rule(self, ball: Ball, points: Tensor, y: Tensor, target: Tensor | None = None) -> JudgeResult:
        """Rule on points (M, C, H, W) claimed to be successes inside `ball`.

        Args:
            ball: the allowed points.
            points: the claims.
            y: true labels (M,); without a target, any other prediction is a success.
            target: classes (M,) that must be predicted; None if there is no target.
        """
        goal, missed = Goal(y, target), NOT_MISCLASSIFIED if target is None else NOT_TARGET
        sound = finite(points)
        logits = self.predict(torch.where(sound.view(-1, 1, 1, 1), points, ball.center))
        prediction = torch.where(sound, logits.argmax(1), -1)
        fault = torch.full_like(y, CONFIRMED)
        # The first fault in the list is the one that is named, so it is written last.
        fault[~goal.reached(logits) | ~finite(logits)] = missed
        fault[~ball.keeps_fixed(points)] = OUTSIDE_MASK
        fault[~ball.contains(points)] = OUTSIDE_BALL
        fault[~in_box(points)] = OUTSIDE_BOX
        fault[~sound] = NOT_FINITE
        margin, rounding = goal.margin(logits), TIE * largest(logits)
        tied = (fault == missed) & (margin <= rounding) & finite(logits)
        clear = (fault == CONFIRMED) & (margin < -rounding)
        return JudgeResult(fault, prediction, distance(points, ball.center, ball.norm), tied, clear)
