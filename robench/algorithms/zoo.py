"""ZOO: coordinate descent with derivatives measured by two queries."""

import dataclasses
from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, where
from torch.nn.functional import max_pool2d

from robench.access.answers import Bounds
from robench.algorithms.base import STRICT, Algorithm, Count, Positive, State, Task
from robench.numerics.randomness import one_of
from robench.specs import Access

BETA = (0.9, 0.999, 1e-8)
"""Adam's constants."""


@dataclasses.dataclass(frozen=True)
class Moments(State):
    """The iterate, and Adam's moments and number of updates for each coordinate, all (A, D)."""

    m: Tensor
    v: Tensor
    updates: Tensor


@dataclass(frozen=True, config=STRICT)
class ZOO(Algorithm[Moments]):
    """Update one random coordinate of each example per step: central difference, then Adam (Chen et al. 2017).

    The derivative of f(x) = max(Z_y - max_{k != y} Z_k, 0), the C&W objective, along coordinate i is
    (f(x + sigma e_i) - f(x - sigma e_i)) / (2 sigma) (Eq. 6); the coordinate moves by Adam, with moments for each
    coordinate (Alg. 2), inside the ball. If f falls below 0 the example is broken, so the maximum has no effect.
    The original minimises the l2 distance with a penalty; here the ball replaces the penalty, so that
    all attacks are judged alike. Both probes are candidates, so an update takes two queries, not three.

    Attributes:
        sigma: distance of a probe from the iterate.
        rate: Adam's learning rate.
        block: side in pixels of a coordinate, which is a square of one channel (the attack-space dimension
            reduction of Sec. 3.3, with the nearest neighbour for the upscaling); 1 means single pixels.
    """

    sigma: Positive = 1e-4
    rate: Positive = 0.01
    block: Count = 1

    access: ClassVar[Access] = "score"
    bounds: ClassVar[Bounds] = "none"
    checks_own_proposals: ClassVar[bool] = True
    needs_fp32: ClassVar[bool] = True
    can_aim: ClassVar[bool] = True

    def cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Count two probes per update."""
        return 2 * steps, 0

    def init(self, task: Task) -> Moments:
        """Start from the clean point, with all moments 0."""
        channels, height, width = task.x.shape[1:]
        size = channels * -(-height // self.block) * -(-width // self.block)
        none = task.x.new_zeros(len(task.x), size)
        return Moments(task.x, m=none, v=none, updates=none)

    def step(self, state: Moments, t: int, task: Task) -> Moments:
        """Update one coordinate of each example."""
        i = self._coordinate(task, t, state.m.shape[1])[:, None]
        along = self._along(i, state.x)
        slope = self.derivative(state.x, along, task)[:, None]
        first, second, tiny = BETA
        updates = state.updates.gather(1, i) + 1
        m = first * state.m.gather(1, i) + (1 - first) * slope
        v = second * state.v.gather(1, i) + (1 - second) * slope.square()
        move = (m / (1 - first**updates)) / ((v / (1 - second**updates)).sqrt() + tiny)
        x = task.ball.project(state.x - self.rate * move.view(-1, 1, 1, 1) * along)
        return Moments(
            x,
            m=state.m.scatter(1, i, m),
            v=state.v.scatter(1, i, v),
            updates=state.updates.scatter(1, i, updates),
        )

    def _coordinate(self, task: Task, t: int, size: int) -> Tensor:
        """Draw one of `size` coordinates for each example, (A,); with a mask, one that may change a value."""
        uniform, mask = task.random.uniform((), t, "coordinate"), task.ball.mask
        if mask is None:
            return (uniform * size).long().clamp_max(size - 1)
        return one_of(max_pool2d(mask.float(), self.block, ceil_mode=True).flatten(1) > 0, uniform)

    def derivative(self, x: Tensor, along: Tensor, task: Task) -> Tensor:
        """Measure the margin's derivative (A,) along directions (A, C, H, W); clipped probes lie closer together."""
        rows = torch.arange(len(x), device=x.device)
        ahead, behind = (x + self.sigma * along).clamp(0, 1), (x - self.sigma * along).clamp(0, 1)
        logits = task.oracle.logits(torch.cat([ahead, behind]), rows.repeat(2), candidate=True)
        value = task.goal.take(rows.repeat(2)).margin(logits).view(2, -1)
        apart = (ahead - behind).flatten(1).amax(1)
        return where(apart > 0, (value[0] - value[1]) / apart.clamp_min(self.sigma / 2), 0.0)

    def _along(self, i: Tensor, x: Tensor) -> Tensor:
        """Return the coordinate's pixels as ones, in the shape of x."""
        channels, height, width = x.shape[1:]
        across, down = -(-width // self.block), -(-height // self.block)
        grid = torch.zeros(len(x), channels * down * across, dtype=x.dtype, device=x.device).scatter(1, i, 1.0)
        blocks = grid.view(-1, channels, down, across)
        whole = blocks.repeat_interleave(self.block, 2).repeat_interleave(self.block, 3)
        return whole[:, :, :height, :width]


ALGORITHM = ZOO
