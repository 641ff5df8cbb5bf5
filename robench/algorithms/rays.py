"""RayS: a search over rays that sees decisions only."""

import dataclasses
from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, where

from robench.access.answers import Bounds
from robench.algorithms.base import STRICT, Algorithm, Positive, State, Task
from robench.numerics.ball import per_example
from robench.specs import Access, Norm


@dataclasses.dataclass(frozen=True)
class Rays(State):
    """State of the search of each example; rays are (A, D) of signs, all else is (A,).

    Attributes:
        best, radius: the best ray, and the largest distance along it at which the decision changes.
        tried: the ray under trial.
        low, high: interval in which the radius of `tried` is searched.
        searching: whether that binary search is running.
        level, block: number of the flipped block, where a ray is cut into 2^level blocks.
    """

    best: Tensor
    radius: Tensor
    tried: Tensor
    low: Tensor
    high: Tensor
    searching: Tensor
    level: Tensor
    block: Tensor


@dataclass(frozen=True, config=STRICT)
class RayS(Algorithm[Rays]):
    """Algorithm 3 of Chen & Gu 2020 (RayS: a ray searching method for hard-label adversarial attack, KDD 2020).

    A ray is a vector of signs d; its radius is the linf distance at which x + r d, clipped to [0, 1], changes
    the decision. A trial flips one block of the best ray (halves, quarters, and so on) and queries the new ray at the
    best radius; only if that point is misclassified, the radius of the new ray is found by binary search. Every step is
    exactly one query of each example, also during the binary search, so the number of steps is the budget.

    After blocks of single pixels the search begins again with the whole ray, while the published code goes on with
    single pixels; on digits this breaks one or two percentage points more.

    Attributes:
        tolerance: the l2 length at which the binary search ends, as in the published code.
    """

    tolerance: Positive = 1e-3

    version: ClassVar[int] = 2
    access: ClassVar[Access] = "decision"
    norms: ClassVar[tuple[Norm, ...]] = ("linf",)
    bounds: ClassVar[Bounds] = "none"
    checks_own_proposals: ClassVar[bool] = True

    def init(self, task: Task) -> Rays:
        """Start with the ray of ones at the radius of the whole box, not queried yet; its opposite comes next."""
        ones = torch.ones_like(task.x).flatten(1)
        whole, none = torch.ones_like(ones[:, 0]), torch.zeros_like(task.y)
        return Rays(
            task.x, best=ones, radius=whole, tried=ones, low=whole * 0, high=whole, searching=none.bool(),
            level=none, block=none - 1,
        )  # fmt: skip

    def step(self, state: Rays, t: int, task: Task) -> Rays:
        """Make one query along the tried ray, at the best radius or in the middle of its interval."""
        searching, middle = state.searching, (state.low + state.high) / 2
        broken = task.oracle.labels(_at(task.x, state.tried, where(searching, middle, state.radius)), candidate=True)
        crossed = broken != task.y
        high = where(searching, where(crossed, middle, state.high), state.radius)
        low = where(searching & ~crossed, middle, state.low) * searching
        place, size = _places(task)
        # Along a vector of D signs a step of r in linf has the l2 length r sqrt(D).
        found = searching & (high - low < self.tolerance / size**0.5)
        better = found & (high < state.radius)
        best = where(better[:, None], state.tried, state.best)
        radius = where(better, high, state.radius)
        onwards = found | (~searching & ~crossed)
        level, block = _next(state.level, state.block, size)
        level, block = where(onwards, level, state.level), where(onwards, block, state.block)
        tried = where(onwards[:, None], _flipped(best, level, block, place, size), state.tried)
        still = (searching & ~found) | (~searching & crossed)
        return Rays(_at(task.x, best, radius), best, radius, tried, low, high, still, level, block)


def _at(x: Tensor, ray: Tensor, radius: Tensor) -> Tensor:
    return (x + per_example(radius, x) * ray.view_as(x)).clamp(0, 1)


def _places(task: Task) -> tuple[Tensor, Tensor | int]:
    """Return the place of each value in the order of flips, (A or 1, D), and the number of values that may change.

    With a mask, only values that may change have places of their own, so that no query is spent on the others.
    """
    mask = task.ball.mask
    if mask is None:
        size = task.x[0].numel()
        return torch.arange(size, device=task.x.device)[None, :], size
    free = mask.flatten(1)
    return free.cumsum(1) - 1, free.sum(1)


def _next(level: Tensor, block: Tensor, size: Tensor | int) -> tuple[Tensor, Tensor]:
    """Return the next block; after the last block of single pixels, the whole ray again."""
    length = -(-size // 2**level)
    over = (block + 1) * length >= size
    deepest = 2**level >= size
    level = where(over, where(deepest, 0, level + 1), level)
    return level, where(over, 0, block + 1)


def _flipped(ray: Tensor, level: Tensor, block: Tensor, place: Tensor, size: Tensor | int) -> Tensor:
    """Return the rays with the sign of one of 2^level equal blocks of places flipped."""
    length = -(-size // 2**level)
    start = (block * length)[:, None]
    return where((place >= start) & (place < start + length[:, None]), -ray, ray)


ALGORITHM = RayS
