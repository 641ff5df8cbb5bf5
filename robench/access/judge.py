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
    check_places,
    check_service,
    check_sizes,
    dim_among_strangers,
    six,
)
from robench.access.row_random import seeded_rows
from robench.access.stochastic import JUDGE_DRAWS, Draws, one_draw_of
from robench.classifiers.frozen import FrozenNetwork
from robench.classifiers.outputs import (
    check_clean,
    check_repeatable,
    is_masked,
    largest,
    require_finite,
    require_random,
)
from robench.classifiers.service import Service
from robench.data.pixels import Images
from robench.devices import out_of_memory
from robench.errors import FaultError, InputError
from robench.numerics.ball import Ball, distance, finite, in_box
from robench.numerics.goal import Goal
from robench.numerics.stats import clear_majority

FAULTS = (
    "", "not finite", "outside [0, 1]", "outside the ball", "outside the mask", "not misclassified",
    "not of the target class",
)  # fmt: skip
"""Possible faults of a claimed success, in the order of checking; 0 is confirmed."""
NEAR_VOTES = 2
"""Draws by which a success of a random network may be missed so that rounding may have decided."""
TIE = 1e-4
"""Largest lead of the true class (with a target, of the target's strongest rival), relative to the largest logit, that
is within rounding."""
CONFIRMED, NOT_FINITE, OUTSIDE_BOX, OUTSIDE_BALL, OUTSIDE_MASK, NOT_MISCLASSIFIED, NOT_TARGET = range(len(FAULTS))


@dataclass(frozen=True)
class JudgeResult:
    """The judge's decision about some points.

    Attributes:
        fault: an index into `FAULTS` for each point, int64 (M,).
        prediction: the class of each point, int64 (M,); K for a rejection, -1 if the point is not finite.
        distance: distance to the clean example in the ball's norm, float64 (M,).
        tied: whether a point misses its goal, but so closely that rounding may decide, bool (M,).
        clear: whether a point reaches its goal by more than rounding, bool (M,).
        right: number of the judge's draws that were no success, int64 (M,), without a target or a detector those that
            gave the label; None if the network is not random.
        complete: whether all draws were made, bool (M,); only then `right` counts.
    """

    fault: Tensor
    prediction: Tensor
    distance: Tensor
    tied: Tensor
    clear: Tensor
    right: Tensor | None = None
    complete: Tensor | None = None

    @property
    def confirmed(self) -> Tensor:
        """Mask of the points that are successes, bool (M,)."""
        return self.fault == CONFIRMED


class Judge:
    """Rule on claimed successes and on clean examples, in float32 whatever the search used.

    A random network is asked several times about each point: a success is what more than half of the draws are, and
    the prediction is the label if at least half of them give it.

    Attributes:
        forwards: forward passes spent on judging.
        looks_like_probabilities: whether the clean logits are non-negative and sum to 1.
        place_of_logits: description of where in an answer the logits are; empty if they are the answer.
        masked: whether each class is masked on every clean example, bool (K,); empty before the clean pass.
        least_likely: wrong class with the lowest clean logit, int64 (N,), if the clean pass was asked for it.
        clean_right: number of draws that gave the label of each clean example, int64 (N,), if the network is random.
    """

    def __init__(self, network: FrozenNetwork, batcher: MicroBatcher, draws: Draws | None = None) -> None:
        self.network, self.batcher, self.draws, self.forwards = network, batcher, draws, 0
        self.fixed = network if draws is None else one_draw_of(network, draws)
        self.clean_right: Tensor | None = None
        self.looks_like_probabilities = False
        self.place_of_logits = ""
        self.masked = torch.zeros(0, dtype=torch.bool)
        self.least_likely: Tensor | None = None

    def predict(self, x: Images) -> Tensor:
        """Return logits (M, K) in float32, on the network's device, for images on any device.

        Of a random network these are the logits of one draw, the same for every image.

        Raises:
            InputError: the network cannot take such images, or does not return logits.
        """
        logits = self.batcher(self.fixed.predict, x, differentiates=False)
        self.forwards += len(x)
        return logits

    def clean(self, x: Images, y: Tensor, ids: Tensor, *, least_likely: bool = False) -> Tensor:
        """Return the predicted classes (N,) of clean examples; K for a rejection.

        Args:
            x, y, ids: the examples.
            least_likely: whether the attribute of that name is needed.

        Raises:
            InputError: NaN or infinite logits, labels that the network does not know, answers that change when the
                question is repeated or with the other images of the batch, or hidden changes of the network.
        """
        logits = self.predict(x)
        classes = self.network.classes(logits)
        check_clean(logits, y, ids, classes)
        self.masked = is_masked(logits).all(0)[:classes].cpu()
        if least_likely:
            # Neither the label nor a masked class, which no image can be turned into.
            possible = logits.masked_fill(is_masked(logits), torch.inf)[:, :classes]
            self.least_likely = possible.scatter(1, y.to(logits.device)[:, None], torch.inf).argmin(1)
        # Ask again with the same micro-batch, so that only randomness inside the network can change the answers.
        again = x[: self.batcher.forward_size]
        if isinstance(self.network.module, Service) and self.batcher.forward_size > 1:
            check_service(logits[: len(again)], self.predict, again)
        elif self.draws is None or self.draws.repeats:
            repeated = self.predict(again)
            check_repeatable(logits[: len(again)], repeated)
            if not isinstance(self.network.module, Service):
                self._check_alone(x, logits, exact=torch.equal(logits[: len(again)], repeated))
        self.looks_like_probabilities = any(_are_probabilities(each) for each in (logits, logits[:, :classes]))
        return logits.argmax(1) if self.draws is None else self._majority(self.draws, x, y, ids)

    def _majority(self, draws: Draws, x: Images, y: Tensor, ids: Tensor) -> Tensor:
        """Return the predicted classes (N,) of clean examples by a random network; see `Votes.prediction`.

        Raises:
            InputError: the network is not random, or gives NaN or infinite logits.
        """
        votes = draws.votes(self.batcher, self.network.predict, x, ids, Goal(y, rejects=self.network.rejects))
        self.forwards += int(votes.draws.sum())
        require_finite(votes.finite, ids)
        require_random(votes.varied)
        self.clean_right = votes.right(y)
        return votes.prediction(y).to(self.network.device)

    def _check_alone(self, x: Images, logits: Tensor, *, exact: bool) -> None:
        """Check that the network treats every image alone and does not change itself.

        Raises:
            InputError: the network depends on the batch, takes one size of batches only, or hides changes of itself.
        """
        parts = [slice(*ends) for ends in ALONE if ends[1] <= len(x)]
        alone: list[Tensor] = []
        among: list[tuple[Tensor, Tensor]] = []
        few = six(x)
        shared = self.draws is not None and not self.draws.by_row
        ask = self._one_pass if shared else self.fixed.predict
        try:
            for part in parts:
                alone.append(self.fixed.predict(x[part]))
            among = [trial(ask, few) for trial in (among_strangers, dim_among_strangers)]
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
        if not shared:
            pairs += [(six(logits), first) for first, _ in among[:1]]
        try:
            for companions in among:
                check_companions(*companions, exact=exact)
            check_sizes(pairs)
        except InputError:
            check_places(self.fixed.predict, few)
            raise
        self.place_of_logits = self.network.place_of_logits(x[:1])
        self.forwards += 1
        if self.network.state is not None:
            self.network.state.require_visible_changes()

    def _one_pass(self, x: Tensor) -> Tensor:
        """Return the logits (M, K) of one pass over all images of a random network, with the same numbers every time.

        A network whose images share random numbers is asked for one image at a time, which would hide what they share
        beyond these.
        """
        with seeded_rows([0]):
            return self.network.predict(x)

    def rule(
        self,
        ball: Ball,
        points: Tensor,
        y: Tensor,
        target: Tensor | None = None,
        *,
        ids: Tensor | None = None,
        all_draws: bool = False,
    ) -> JudgeResult:
        """Rule on points (M, C, H, W) claimed to be successes inside `ball`.

        Args:
            ball: the allowed points.
            points: the claims.
            y: true labels (M,); without a target, any other prediction is a success, but a rejection never.
            target: classes (M,) that must be predicted; None if there is no target.
            ids: the examples' stable ids (M,), which key the draws of a random network.
            all_draws: whether a random network is asked to the end about a point that cannot be a success any more.
        """
        goal, missed = Goal(y, target, self.network.rejects), NOT_MISCLASSIFIED if target is None else NOT_TARGET
        sound = finite(points)
        answer = self._answers(torch.where(sound.view(-1, 1, 1, 1), points, ball.center), goal, ids, all_draws)
        prediction = torch.where(sound, answer.prediction, -1)
        fault = torch.full_like(y, CONFIRMED)
        # The first fault in the list is the one that is named, so it is written last.
        fault[~answer.reached] = missed
        fault[~ball.keeps_fixed(points)] = OUTSIDE_MASK
        fault[~ball.contains(points)] = OUTSIDE_BALL
        fault[~in_box(points)] = OUTSIDE_BOX
        fault[~sound] = NOT_FINITE
        tied, clear = (fault == missed) & answer.near, (fault == CONFIRMED) & answer.clear
        return JudgeResult(
            fault, prediction, distance(points, ball.center, ball.norm), tied, clear, answer.right, answer.complete
        )

    def _answers(self, x: Tensor, goal: Goal, ids: Tensor | None, all_draws: bool) -> "Answers":
        if self.draws is None:
            logits = self.predict(x)
            margin, rounding, sound = goal.margin(logits), TIE * largest(logits), finite(logits)
            near, clear = (margin <= rounding) & sound, margin < -rounding
            return Answers(logits.argmax(1), goal.reached(logits) & sound, near, clear)
        if ids is None:
            raise FaultError("the judge of a random network needs the ids of the examples.")
        votes = self.draws.votes(self.batcher, self.network.predict, x, ids, goal, all_draws=all_draws)
        self.forwards += int(votes.draws.sum())
        reached = (2 * votes.won > JUDGE_DRAWS) & votes.finite
        complete = votes.draws == JUDGE_DRAWS
        prediction = votes.prediction(goal.y)
        if self.network.rejects:  # a success is accepted more often than not, so its prediction is a class
            accepted = votes._replace(counts=votes.counts[:, :-1])
            prediction = torch.where(reached, accepted.prediction(goal.y), prediction)
        # The draws repeat, so only rounding can decide; where they do not, whatever a binomial test leaves open.
        open_ = 2 * NEAR_VOTES if self.draws.repeats else 2 * clear_majority(JUDGE_DRAWS) - JUDGE_DRAWS
        near = 2 * votes.won >= JUDGE_DRAWS - open_
        found = (prediction, reached, near, reached, votes.draws - votes.won, complete)
        return Answers(*(each.to(x.device) for each in found))


@dataclass(frozen=True)
class Answers:
    """The network's answers about some points, all (M,).

    Attributes:
        prediction: the classes, int64.
        reached: whether the goal is reached.
        near: whether the goal is missed so closely that rounding, or the draws, may decide; read where it is missed.
        clear: whether the goal is reached by more than rounding; read where it is reached.
        right, complete: as in `JudgeResult`, if the network is random.
    """

    prediction: Tensor
    reached: Tensor
    near: Tensor
    clear: Tensor
    right: Tensor | None = None
    complete: Tensor | None = None


def judge_of(network: FrozenNetwork, draws_seed: int | None, x: Tensor) -> Judge:
    """Return a judge of a stored verdict.

    Args:
        network: the network.
        draws_seed: seed of the draws with which a random network was asked; None for any other network.
        x: images that the network takes.
    """
    batcher = MicroBatcher.auto(network.device)
    if draws_seed is None:
        return Judge(network, batcher)
    return Judge(network, batcher, Draws.recognised(1, draws_seed, network.predict, x[:1]))


def _are_probabilities(values: Tensor) -> bool:
    return bool(((values >= 0).all() & ((values.sum(1) - 1).abs() < 1e-4).all()).item())
