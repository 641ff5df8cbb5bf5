"""The fast adaptive boundary attack: onto linearised boundaries, biased towards the clean point."""

import dataclasses
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, where

from robench.access.answers import Bounds
from robench.algorithms.base import STRICT, Algorithm, Positive, State, Task
from robench.numerics.ball import TINY, distance, onto_hyperplane, per_example


@dataclasses.dataclass(frozen=True)
class Boundary(State):
    """The iterate, and the class that a targeted attack aims at, (N,)."""

    target: Tensor


@dataclass(frozen=True, config=STRICT)
class FAB(Algorithm[Boundary]):
    """Algorithm 1 of Croce & Hein 2020a (Minimally distorted adversarial examples, ICML 2020), p = infinity and 2.

    The hyperplane is the linearisation at x_i of the decision boundary of the closest class; d is the exact
    projection onto it within [0, 1] (Eq. 6), from x_i and from the clean point x:
    x_{i+1} = clip((1 - a) (x_i + eta d(x_i)) + a (x + eta d(x))), a = min(|d(x_i)| / (|d(x_i)| + |d(x)|), alpha)
    (Eqs. 9, 10). A misclassified x_i first goes back: x_i <- (1 - beta) x + beta x_i.

    It is a minimum-norm attack: no step knows eps, and a point is a success if it lies inside the ball.
    The first run starts from the clean point; further runs start from a random point of the ball of half the
    radius, because points farther than eps do not count here. If targeted, each restart takes the next
    wrong class in the order of the clean logits, from the clean point until all classes have had their turn.

    Attributes:
        targeted: aim at one class per restart instead of the closest per step: one backward pass instead of K - 1.
        alpha, eta, beta: as above; the values of the paper.
    """

    targeted: bool = False
    alpha: Positive = 0.1
    eta: Positive = 1.05
    beta: Positive = 0.9

    bounds: ClassVar[Bounds] = "none"
    can_aim: ClassVar[bool] = True

    def cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Count two forwards per step, and a backward for each class that is compared."""
        return 2 * steps + 1 + self.targeted, steps * (1 if self.targeted else classes - 1)

    def init(self, task: Task) -> Boundary:
        """Start from the clean point, or from a random point if the clean point has been tried."""
        target, rounds = task.target() if self.targeted else (task.y, task.random.restart)
        start = task.x + (task.random_point(0, "start") - task.x) / 2 if rounds else task.x
        return Boundary(start, target=target)

    def step(self, state: Boundary, t: int, task: Task) -> Boundary:
        """Query x; if it is misclassified, go back towards the clean point; then cross the closest boundary."""
        crossed = task.goal.reached(task.oracle.logits(state.x, candidate=True))
        back = task.x + self.beta * (state.x - task.x)
        x = where(per_example(crossed, back), back, state.x)
        w, gap = self._closest(x, state.target, task)
        # Float64 for the clean point's gap, because it is the difference of two large sums.
        shift = (w.double() * (task.x.double() - x.double())).flatten(1).sum(1)
        here = onto_hyperplane(x, w, -gap, task.ball.norm)
        there = onto_hyperplane(task.x, w, -(gap + shift), task.ball.norm)
        near, far = (distance(d, torch.zeros_like(d), task.ball.norm) for d in (here, there))
        a = per_example((near / (near + far).clamp_min(TINY)).clamp_max(self.alpha).to(x.dtype), x)
        x = (1 - a) * (x + self.eta * here) + a * (task.x + self.eta * there)
        return replace(state, x=x.clamp(0, 1))

    def _closest(self, x: Tensor, target: Tensor, task: Task) -> tuple[Tensor, Tensor]:
        """Return gradient and value of the logit gap whose linearised boundary is closest to x."""
        classes = target[:, None] if self.targeted else None
        gradients, logit_gaps, _, _ = task.oracle.jacobian(x, classes)
        lengths = task.ball.dual(gradients.flatten(0, 1)).view_as(logit_gaps)
        nearest = (logit_gaps.abs() / lengths.clamp_min(TINY)).argmin(1)
        rows = torch.arange(len(x), device=x.device)
        return gradients[rows, nearest], logit_gaps[rows, nearest]


ALGORITHM = FAB
