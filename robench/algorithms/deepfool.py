"""DeepFool: step after step to the nearest linearised boundary."""

import dataclasses
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from robench.access.answers import Bounds
from robench.algorithms.base import STRICT, Algorithm, Positive, State, Task
from robench.numerics.ball import TINY, onto_hyperplane, per_example


@dataclasses.dataclass(frozen=True)
class BoundaryPath(State):
    """The iterate x_i, its overshot proposal x (N, C, H, W), and whether the boundary is crossed, bool (N,)."""

    iterate: Tensor
    crossed: Tensor


@dataclass(frozen=True, config=STRICT)
class DeepFool(Algorithm[BoundaryPath]):
    """Algorithm 2 of Moosavi-Dezfooli et al. 2016 (DeepFool, CVPR 2016), for p = 2, infinity (Eq. 11) and 1.

    With f'_k = Z_k - Z_y and gradients w'_k, the class k with the smallest |f'_k| / |w'_k|_q is the closest to
    x_i, and x_{i+1} = x_i + |f'_k| / |w'_k|_q u(w'_k), u the steepest direction, lies on its linearised
    boundary. The proposal is x + (1 + overshoot) (x_i - x): the overshoot applies once, to the whole
    perturbation, and carries it across the boundary to which the x_i converge. An example stops at its
    first misclassified proposal. It is a minimum-norm attack: the proposal is a success under eps if it
    lies inside the ball. Pixels stay in [0, 1]: in l1, where u is a single pixel that would soon be at its wall, the
    step is the shortest one within [0, 1] to the same linearised boundary.

    Attributes:
        overshoot: eta.
    """

    overshoot: Positive = 0.02

    bounds: ClassVar[Bounds] = "none"
    can_aim: ClassVar[bool] = True

    def cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Count the proposal and the iterate of each step, and a backward for each wrong class."""
        return 2 * steps + 1, steps * (classes - 1)

    def init(self, task: Task) -> BoundaryPath:
        """Start from the clean point."""
        return BoundaryPath(task.x, iterate=task.x, crossed=torch.zeros_like(task.y, dtype=torch.bool))

    def step(self, state: BoundaryPath, t: int, task: Task) -> BoundaryPath:
        """Stop if the proposal is misclassified, else step to the nearest linearised boundary."""
        crossed = state.crossed if t == 0 or state.crossed.all() else self._looked(state, task)
        rows = (~crossed).nonzero().flatten()
        if not len(rows):
            return replace(state, crossed=crossed)
        clean, start = task.x[rows], state.iterate[rows]
        iterate = (start + _nearest_boundary(start, rows, task)).clamp(0, 1)
        proposal = (clean + (1 + self.overshoot) * (iterate - clean)).clamp(0, 1)
        return BoundaryPath(
            state.x.index_copy(0, rows, proposal), iterate=state.iterate.index_copy(0, rows, iterate), crossed=crossed
        )

    def _looked(self, path: BoundaryPath, task: Task) -> Tensor:
        rows = (~path.crossed).nonzero().flatten()
        wrong = task.goal.take(rows).reached(task.oracle.logits(path.x[rows], rows, candidate=True))
        return path.crossed.index_copy(0, rows, wrong)


def _nearest_boundary(x: Tensor, rows: Tensor, task: Task) -> Tensor:
    """Return the smallest steps that lead to a linearised boundary from points x of some of the examples."""
    gradients, logit_gaps, _, _ = task.oracle.jacobian(x, rows=rows)
    away = logit_gaps.abs() / task.ball.dual(gradients.flatten(0, 1)).view_as(logit_gaps).clamp_min(TINY)
    length, nearest = away.min(dim=1)
    rows_of = torch.arange(len(x), device=x.device)
    slope = gradients[rows_of, nearest]
    if task.ball.norm == "l1":
        return onto_hyperplane(x, slope, -logit_gaps[rows_of, nearest], "l1")
    return per_example(length, slope) * task.ball.take(rows).steepest(slope)


ALGORITHM = DeepFool
