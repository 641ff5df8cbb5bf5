"""NES and SPSA: estimate the gradient from pairs of scores, and take BIM's steps along it."""

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from robench.algorithms.base import STRICT, Algorithm, Count, Positive, State, Task
from robench.specs import Access

GROUP = 16
"""Number of directions of an example that are drawn together; another number would give other directions."""
BATCHES = 4
"""Number of micro-batches of probes that exist at a time."""


@dataclass(frozen=True, config=STRICT)
class Antithetic(Algorithm[State]):
    """Steepest ascent along a gradient that is estimated from scores.

    g = 1 / (2 sigma q) sum_i (J(x + sigma u_i) - J(x - sigma u_i)) u_i, x_{t+1} = Proj(x_t + alpha u(g)).
    With Gaussian directions u_i it is NES (Ilyas et al., ICML 2018), with Rademacher directions SPSA (Uesato et al.,
    ICML 2018); J = max_{i != y} Z_i - Z_y as in the paper's appendix B.2, the start is the clean point. An
    iterate is queried before its gradient is estimated, so a step takes 1 + 2 q queries and a broken example
    costs no probes. Probes are clipped to [0, 1], as a real system would do.

    Attributes:
        rel_step: alpha / eps.
        draw: distribution of the directions, which are drawn for each example separately.
        directions: q.
        sigma: distance of a probe from the iterate.
    """

    rel_step: Positive
    draw: Literal["gaussian", "rademacher"]
    directions: Count = 128
    sigma: Positive = 1e-3

    access: ClassVar[Access] = "score"
    needs_fp32: ClassVar[bool] = True
    can_aim: ClassVar[bool] = True

    def cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Count the iterate and two probes per direction for each step, and the engine's last look."""
        return steps * (1 + 2 * self.directions) + 1, 0

    def init(self, task: Task) -> State:
        """Start from the clean point."""
        return State(task.x)

    def step(self, state: State, t: int, task: Task) -> State:
        """Query the iterate; if it is classified correctly, take a step along the estimated gradient."""
        standing = ~task.goal.reached(task.oracle.logits(state.x, candidate=True))
        x = state.x.clone()
        # A few examples at a time, so that their probes fill the micro-batches.
        left = standing.nonzero().flatten()
        for rows in left.split(max(BATCHES * task.oracle.batcher.size // (2 * GROUP), 1)) if len(left) else ():
            part = task.take(rows)
            slope = self.gradient(state.x[rows], rows, t, part)
            x[rows] = part.ball.ascend(state.x[rows], slope, self.rel_step * part.ball.eps)
        return replace(state, x=x)

    def gradient(self, x: Tensor, rows: Tensor, t: int, task: Task) -> Tensor:
        """Estimate the gradient at points x (M, C, H, W) of the active examples `rows`, to which `task` belongs."""
        total = torch.zeros_like(x)
        for first in range(0, self.directions, GROUP):
            shape = (min(GROUP, self.directions - first), *x.shape[1:])
            draw = task.random.normal if self.draw == "gaussian" else task.random.signs
            u = draw(shape, t, f"directions {first}")
            probes = torch.stack([x[:, None] + self.sigma * u, x[:, None] - self.sigma * u], 2).clamp(0, 1)
            each = 2 * shape[0]
            logits = task.oracle.logits(probes.flatten(0, 2), rows.repeat_interleave(each))
            of = torch.arange(len(x), device=x.device).repeat_interleave(each)
            value = -task.goal.take(of).margin(logits).view(len(x), -1, 2)
            total += torch.einsum("mg,mgchw->mchw", value[..., 0] - value[..., 1], u)
        return total / (2 * self.sigma * self.directions)


ALGORITHM = Antithetic
