"""Auto-PGD: projected gradient ascent that adapts its step size."""

import dataclasses
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, where

from robench.access.answers import Bounds
from robench.algorithms.base import STRICT, ObjectiveName, State, Task
from robench.algorithms.gradient import GradientAttack
from robench.algorithms.sparse_ascent import FEWER, Stage, adapted, changed_values, sparse_step, stage, step_count
from robench.numerics.ball import per_example

PATIENCE = 0.75
"""rho: the step size is halved if the objective rises in less than this share of a period's steps (condition 1)."""
MOMENTUM = 0.75
"""alpha: the weight of the new step against the step before."""


@dataclasses.dataclass(frozen=True)
class Ascent(State):
    """State of Algorithm 1; images are (N, C, H, W), all else is (N,).

    Attributes:
        last: the iterate before x.
        best, best_gradient, best_value: the point of largest objective so far.
        value: the objective at `last`.
        step_size: eta.
        rises: increases of the objective since the last checkpoint.
        checked_value: `best_value` at the last checkpoint.
        halved: whether the last checkpoint halved the step size.
        target: target class of a targeted objective.
        changed: in l1, number of changed values of `best` at the last checkpoint; in other norms 0.
    """

    last: Tensor
    best: Tensor
    best_gradient: Tensor
    best_value: Tensor
    value: Tensor
    step_size: Tensor
    rises: Tensor
    checked_value: Tensor
    halved: Tensor
    target: Tensor
    changed: Tensor


@dataclass(frozen=True, config=STRICT, kw_only=True)
class APGD(GradientAttack[Ascent]):
    """Algorithm 1 of Croce & Hein 2020b (Reliable evaluation of adversarial robustness, ICML 2020).

    x_{t+1} = P(x_t + a (z_{t+1} - x_t) + (1 - a) (x_t - x_{t-1})), z_{t+1} = P(x_t + eta u(grad J(x_t))).
    At the checkpoints of Sec. 3.1 eta is halved, and the search goes back to its best point, separately for
    each example, if (1) the objective rose in too few of the steps since the last checkpoint, or
    (2) eta was not halved at the last checkpoint and the best objective is still the same.

    The checkpoints are fractions of the number of steps, so a short run is no prefix of a long one.
    Each restart of a targeted objective takes the next wrong class in the order of the clean
    logits, and begins again after the last class.

    In l1 it is l1-APGD (Croce & Hein 2021, "Mind the box", ICML 2021): the ball shrinks from 3 eps over 2 eps to eps,
    steps move a number of values that adapts, and there is no momentum; see `sparse_ascent`. The run begins at a point
    that is uniform in the largest ball; `normal_start` begins as the published code does.

    Attributes:
        objective: J; `dlr` (Eq. 6) and `dlr_targeted` (Eq. 7) do not change under a scaling of the logits.
        normal_start: whether a run in l1 begins at the projection of a normal point into the largest ball.
    """

    objective: ObjectiveName | Literal["dlr", "dlr_targeted"] = "ce"  # type: ignore[assignment]
    normal_start: bool = False

    later: ClassVar[frozenset[str]] = frozenset({"normal_start"})

    bounds: ClassVar[Bounds] = "own"
    is_prefix_stable: ClassVar[bool] = False

    def cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Count one more forward, for the targets."""
        return steps + 1 + (self.objective == "dlr_targeted"), steps

    def init(self, task: Task) -> Ascent:
        """Start from a random point of the ball, with step size 2 eps."""
        x = task.random_point(0, "start")
        lowest = torch.full_like(x[:, 0, 0, 0], float("-inf"))
        return Ascent(
            x=x,
            last=x,
            best=x,
            best_gradient=torch.zeros_like(x),
            best_value=lowest,
            value=lowest,
            step_size=torch.full_like(lowest, 2 * task.ball.eps),
            rises=torch.zeros_like(task.y),
            checked_value=lowest,
            halved=torch.zeros_like(task.y, dtype=torch.bool),
            target=task.target()[0] if self.objective == "dlr_targeted" else task.y,
            changed=torch.zeros_like(task.y),
        )

    def step(self, state: Ascent, t: int, task: Task) -> Ascent:
        """Query x_t, adapt the step size at a checkpoint, and take one step."""
        if task.ball.norm == "l1":
            return self._sparse_step(state, t, task)
        given = (state.target,) if self.objective == "dlr_targeted" else ()
        gradient, value, _ = task.oracle.gradient(state.x, self.loss(task), given=given)
        ascent = _booked(state, gradient, value, t)
        before = [0, *checkpoints(task.steps)]
        if t in before[1:]:
            ascent, gradient = _checked(ascent, gradient, t - before[before.index(t) - 1])
        # If the search went back to its best point, `ascent.x` is that point.
        ball, eta, a = task.ball, per_example(ascent.step_size, gradient), MOMENTUM if t else 1.0
        z = ball.project(ascent.x + eta * ball.steepest(gradient))
        x = ball.project(ascent.x + a * (z - ascent.x) + (1 - a) * (ascent.x - ascent.last))
        return replace(ascent, x=x, last=state.x)

    def _sparse_step(self, state: Ascent, t: int, task: Task) -> Ascent:
        """Take a step in l1; points outside the ball of radius eps are no candidates."""
        at, clean = stage(t, task.steps), task.x
        ball, radius = replace(task.ball, eps=at.radius * task.ball.eps), at.radius * task.ball.eps
        if at.i == 0:
            state = replace(state, x=ball.project(state.x if t else clean + self._first(state.x - clean, at, task)))
            size = torch.full_like(state.step_size, radius)
            state = replace(state, step_size=size, changed=changed_values(state.x, clean))
            state = replace(state, best_value=torch.full_like(size, float("-inf")))
        given = (state.target,) if self.objective == "dlr_targeted" else ()
        gradient, value, _ = task.oracle.gradient(state.x, self.loss(task), given=given, candidate=at.radius == 1)
        ascent = _booked(state, gradient, value, at.i)
        if at.is_checkpoint:
            changed = changed_values(ascent.best, clean)
            size, back = adapted(ascent.step_size, radius, ascent.changed, changed)
            image = per_example(back, gradient)
            ascent = replace(ascent, x=where(image, ascent.best, ascent.x), step_size=size, changed=changed)
            gradient = where(image, ascent.best_gradient, gradient)
        if at.radius > 1 and at.i == at.length - 1:
            return replace(ascent, x=ascent.best)
        x = sparse_step(ball, ascent.x, gradient, ascent.step_size, step_count(ascent.best, clean, FEWER))
        return replace(ascent, x=x)

    def _first(self, delta: Tensor, at: Stage, task: Task) -> Tensor:
        """Return the perturbation with which a run in l1 begins, for one that is uniform in the ball of radius eps."""
        if self.normal_start:
            return task.random.normal(tuple(delta.shape[1:]), 0, "normal start")
        return at.radius * delta


def checkpoints(steps: int) -> list[int]:
    """Return w_j = ceil(p_j N), p_1 = 0.22, p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06) (Sec. 3.1)."""
    share, length, found = 22, 22, []
    while share < 100:
        found.append(-(-share * steps // 100))
        length = max(length - 3, 6)
        share += length
    return found


def _booked(ascent: Ascent, gradient: Tensor, value: Tensor, t: int) -> Ascent:
    """Update the state after a query of x: the best point so far, and the number of increases."""
    better = value > ascent.best_value
    image = per_example(better, gradient)
    best_value = where(better, value, ascent.best_value)
    return replace(
        ascent,
        best=where(image, ascent.x, ascent.best),
        best_gradient=where(image, gradient, ascent.best_gradient),
        best_value=best_value,
        rises=ascent.rises + (value > ascent.value) if t else ascent.rises,
        checked_value=ascent.checked_value if t else best_value,
        value=value,
    )


def _checked(ascent: Ascent, gradient: Tensor, length: int) -> tuple[Ascent, Tensor]:
    """Adapt each example's step size at a checkpoint, `length` steps after the previous checkpoint."""
    few = ascent.rises < PATIENCE * length
    stuck = ~ascent.halved & (ascent.best_value == ascent.checked_value)
    halve = few | stuck
    image = per_example(halve, gradient)
    ascent = replace(
        ascent,
        x=where(image, ascent.best, ascent.x),
        step_size=where(halve, ascent.step_size / 2, ascent.step_size),
        rises=torch.zeros_like(ascent.rises),
        checked_value=ascent.best_value,
        halved=halve,
    )
    return ascent, where(image, ascent.best_gradient, gradient)


ALGORITHM = APGD
