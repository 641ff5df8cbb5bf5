"""Ascent in l1: sparse steps, whose number of values adapts, in a ball that shrinks (Croce & Hein 2021)."""

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, where

from robench.numerics.ball import Ball
from robench.numerics.norms import restricted

RADII = (3, 2, 1)
"""Radius of the ball in each stage, in units of eps."""
STAGE = 0.3
"""Share of the steps in each stage before the last one."""
PERIOD = 0.04
"""Share of a stage's steps between two checkpoints."""
FEWER = 1.5
"""A step changes this many times fewer values than the best point does; a step size is divided by it, too."""
SPARSER = 0.95
"""If the best point changes less than this share of the values that it changed before, the step size is set back."""
SHORTEST = 0.1
"""Smallest step size, in units of the radius."""


class Stage(NamedTuple):
    """Position of a step: the stage's radius in units of eps, the step within the stage, the stage's steps."""

    radius: int
    i: int
    length: int

    @property
    def is_checkpoint(self) -> bool:
        """Return whether step size and sparsity adapt before this step."""
        return self.i > 0 and self.i % max(int(PERIOD * self.length), 1) == 0


def stage(t: int, steps: int) -> Stage:
    """Return the stage of step t; a run of few steps has only the last stage."""
    early = int(STAGE * steps)
    for radius in RADII[:-1]:
        if t < early:
            return Stage(radius, t, early)
        t -= early
    return Stage(RADII[-1], t, steps - early * (len(RADII) - 1))


def sparse_step(ball: Ball, x: Tensor, gradient: Tensor, size: Tensor, count: Tensor) -> Tensor:
    """Move the `count` (N,) values of largest slope, and all ties, equally far, together by `size` (N,)."""
    slope = restricted(gradient, ball.mask).flatten(1)
    order = slope.abs().sort(dim=1, descending=True).values
    least = order.gather(1, (count - 1).clamp(0, slope.shape[1] - 1)[:, None])
    sign = where(slope.abs() >= least, slope, 0.0).sign()
    each = size[:, None] / sign.abs().sum(1, keepdim=True).clamp_min(1)
    return ball.project(x + (each * sign).view_as(x))


def changed_values(x: Tensor, center: Tensor) -> Tensor:
    """Return the number of values in which points differ from the clean examples, int64 (N,)."""
    return (x != center).flatten(1).sum(1)


def step_count(x: Tensor, center: Tensor, fewer: float) -> Tensor:
    """Return how many values the next step moves, int64 (N,): all that are at their walls, and fewer of the others.

    The published code counts values at their walls like others; then the optimum of a linear network is not reached.
    """
    full = ((x != center) & ((x == 0) | (x == 1))).flatten(1).sum(1)
    return full + ((changed_values(x, center) - full) / fewer).long().clamp_min(1)


def adapted(size: Tensor, radius: float, before: Tensor, changed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the step sizes after a checkpoint, (N,), and which examples go back to their best point, bool (N,)."""
    back = changed < SPARSER * before
    shorter = (size / FEWER).clamp_min(SHORTEST * radius)
    return where(back, torch.full_like(size, radius), shorter), back


WIDEST = 4.0
"""Radius of the ball at the start of a short run, in units of eps."""
NARROW = 0.4
"""Share of the steps of a short run, the last ones, that stay in the ball of radius eps."""
HALF = 2.0
"""A step of a short run moves this many times fewer values than the point has changed."""
LEAST = 0.3
"""Smallest step size in a short run, in units of the radius."""


def run_radius(i: int, length: int) -> float:
    """Return the radius of the ball that holds point i of a short run, in units of eps: it shrinks along a line."""
    return 1 + (WIDEST - 1) * max(1 - i / ((1 - NARROW) * length), 0.0)


def run_start(ball: Ball, x: Tensor, random: Tensor, length: int) -> Tensor:
    """Return the first point of a short run: x and a random point of the ball, as far away as the first ball allows."""
    wide = replace(ball, eps=run_radius(0, length) * ball.eps)
    return wide.project(x + run_radius(0, length) * (random - ball.center))


def run_step(ball: Ball, x: Tensor, gradient: Tensor, i: int, length: int) -> Tensor:
    """Return point i + 1 of a short run: half as many values as have changed move, in a ball that shrinks."""
    radius = run_radius(i + 1, length) * ball.eps
    size = radius * max((1 + math.cos(math.pi * i / length)) / 2, LEAST)
    count = step_count(x, ball.center, HALF)
    return sparse_step(replace(ball, eps=radius), x, gradient, gradient.new_full((len(x),), size), count)
