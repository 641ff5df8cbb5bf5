"""Carlini and Wagner's l2 attack (not their linf attack, and not PGD on the margin)."""

import dataclasses
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, where

from robench.access.answers import Bounds
from robench.algorithms.base import STRICT, Algorithm, Count, Positive, State, Task
from robench.numerics.ball import per_example
from robench.numerics.losses import Objective
from robench.specs import Norm

SATURATION = 1e-6
"""Distance of pixels from 0 and 1, in units of the half range, because atanh(+-1) is infinite."""
ADAM = (0.9, 0.999, 1e-16)
"""Adam's constants. The usual 1e-8 would freeze nearly saturated pixels, whose gradients are smaller."""
UNBOUNDED = 1e10


@dataclasses.dataclass(frozen=True)
class BinarySearch(State):
    """One run of Adam and the binary search around it; images are (N, C, H, W), all else is (N,).

    Attributes:
        w: x = (tanh(w) + 1) / 2.
        m, v: Adam's moments.
        c, lower, upper: the constant, and bounds of the smallest constant that succeeds.
        won: whether this constant has succeeded.
    """

    w: Tensor
    m: Tensor
    v: Tensor
    c: Tensor
    lower: Tensor
    upper: Tensor
    won: Tensor


@dataclass(frozen=True, config=STRICT)
class CWL2(Algorithm[BinarySearch]):
    """Minimise |x' - x|_2^2 + c f(x'), f = max(Z_y - max_{k != y} Z_k, -kappa) (Carlini & Wagner 2017, Sec. V, f_6).

    x' = (tanh(w) + 1) / 2 keeps the pixels in [0, 1]; Adam moves w. Step t is iteration t mod `iterations`
    of binary search t // `iterations` for the smallest c: each example has a separate c and a verdict on it,
    and starts again from its clean point. It is a minimum-norm attack: every iterate is a candidate.

    Attributes:
        iterations: iterations of Adam for each c.
        rate: Adam's learning rate.
        c: the first constant; it grows tenfold until it succeeds.
        kappa: the required margin; if logits are cosines, more than 2 is impossible.
    """

    iterations: Count = 1000
    rate: Positive = 0.01
    c: Positive = 1e-3
    kappa: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)
    bounds: ClassVar[Bounds] = "none"
    can_aim: ClassVar[bool] = True

    def init(self, task: Task) -> BinarySearch:
        """Start from the clean point as w, with the first constant."""
        w = ((2 * task.x - 1) * (1 - SATURATION)).atanh()
        none, c = torch.zeros_like(w), torch.full_like(w[:, 0, 0, 0], self.c)
        lower, upper = torch.zeros_like(c), torch.full_like(c, UNBOUNDED)
        return BinarySearch(_image(w), w=w, m=none, v=none, c=c, lower=lower, upper=upper, won=c < 0)

    def step(self, state: BinarySearch, t: int, task: Task) -> BinarySearch:
        """Run one iteration of Adam; after the last iteration for a constant, choose the next constant."""
        search, i = state, t % self.iterations
        ascent, value, logits = task.oracle.gradient(search.x, Objective("margin"))
        won = search.won | (task.goal.reached(logits) & (value >= self.kappa))
        search = replace(search, won=won)
        if i == self.iterations - 1:
            return self._next_constant(search, task)
        pull = per_example(where(value < self.kappa, search.c, 0.0), ascent)
        slope = (2 * (search.x - task.x) - pull * ascent) / (2 * search.w.cosh().square())
        return self._adam(search, slope, i)

    def _adam(self, search: BinarySearch, slope: Tensor, i: int) -> BinarySearch:
        first, second, tiny = ADAM
        m = first * search.m + (1 - first) * slope
        v = second * search.v + (1 - second) * slope.square()
        rate = self.rate * (1 - second ** (i + 1)) ** 0.5 / (1 - first ** (i + 1))
        w = search.w - rate * m / (v.sqrt() + tiny)
        return replace(search, x=_image(w), w=w, m=m, v=v)

    def _next_constant(self, search: BinarySearch, task: Task) -> BinarySearch:
        """Halve the interval if an upper end is known, else multiply the constant by ten."""
        upper = where(search.won, search.c.minimum(search.upper), search.upper)
        lower = where(search.won, search.lower, search.c.maximum(search.lower))
        c = where(upper < UNBOUNDED, (lower + upper) / 2, search.c * 10)
        fresh = self.init(task)
        return replace(fresh, c=c, lower=lower, upper=upper)


def _image(w: Tensor) -> Tensor:
    return (w.tanh() + 1) / 2


ALGORITHM = CWL2
